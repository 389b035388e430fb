"""Files in LIBSVM's format: a set is read as one, and what is wrong with a file is told by file, line and cause."""

import bz2
import gzip
import lzma
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdec import checks, data
from jaxdec.data import images


def write(path, content: bytes):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def read(folder, train: bytes, test: bytes | None = None, **options):
    path = write(folder / "z", train)
    (folder / "z.t").unlink(missing_ok=True)
    if test is not None:
        write(folder / "z.t", test)
    return data.libsvm(path, **options)


def test_a_file_and_its_test_set_have_one_base_and_one_number_of_features(tmp_path):
    zero = read(tmp_path, b"1 0:5 2:2\n-1 1:1\n", b"1 1:7 2:3\n-1 2:1\n")
    assert zero.inputs.tolist() == [[5, 0, 2], [0, 1, 0]]
    assert zero.test_inputs.tolist() == [[0, 7, 3], [0, 0, 1]]
    test_alone = read(tmp_path, b"1 1:5 2:2\n-1 1:1\n", b"1 0:7\n-1 4:1\n")
    assert test_alone.inputs.tolist() == [[0, 5, 2, 0, 0], [0, 1, 0, 0, 0]]
    assert test_alone.test_inputs.tolist() == [[7, 0, 0, 0, 0], [0, 0, 0, 0, 1]]
    one = read(tmp_path, b"1 1:5\n-1 2:1\n", b"1\n-1 3:1\n")
    assert one.inputs.tolist() == [[5, 0, 0], [0, 1, 0]]
    assert one.test_inputs.tolist() == [[0, 0, 0], [0, 0, 1]]
    assert read(tmp_path, b"1 1:5\n-1 2:1\n", base=0).inputs.tolist() == [[0, 5, 0], [0, 0, 1]]
    with pytest.raises(ValueError, match=r"z has the index 0, and base=1 says"):
        read(tmp_path, b"1 0:5\n-1 2:1\n", base=1)
    with pytest.raises(ValueError, match=r"z\.t has more features than 2: there is the index 3"):
        read(tmp_path, b"1 1:5\n-1 2:1\n", b"1 3:1\n-1 1:1\n", features=2)


ROWS = st.lists(st.lists(st.booleans(), min_size=4, max_size=4), min_size=2, max_size=5)


@settings(max_examples=30, deadline=None)
@given(train=ROWS, test=ROWS, base=st.integers(0, 1))
def test_what_is_written_is_read_whatever_is_zero(tmp_path_factory, train, test, base):
    def text(rows):
        pairs = [" ".join(f"{j + base}:{j + 1}" for j, one in enumerate(row) if one) for row in rows]
        return "".join(f"{(-1) ** i} {line}\n" for i, line in enumerate(pairs)).encode()

    folder = tmp_path_factory.mktemp("svm")
    found = read(folder, text(train), text(test), features=4, base=base)
    for rows, inputs in ((train, found.inputs), (test, found.test_inputs)):
        np.testing.assert_array_equal(inputs, np.array(rows) * [1, 2, 3, 4])


GOOD = b"1 1:1\n-1 2:1\n"
WRONG = {
    b"1 1:1\nx 2:1\n": "line 2: the target 'x' is not a finite number",
    b"1 1:1\n1,2 2:1\n": "line 2: the target '1,2' is not a finite number, but several labels",
    b"nan 1:1\n1 2:1\n": "line 1: the target 'nan' is not a finite number",
    b"1 1:1\n-1 what\n": "line 2: 'what' is not INDEX:VALUE",
    b"1 1:1\n-1 2\n": "line 2: '2' is not INDEX:VALUE",
    b"1 1:1\n-1 a:2\n": "line 2: the index 'a' is not an integer of at least 0",
    b"1 1:1\n-1 -2:2\n": "line 2: the index '-2' is not an integer of at least 0",
    b"1 1:1\n-1 1.5:2\n": "line 2: the index '1.5' is not an integer of at least 0",
    b"1 1:1\n-1 :2\n": "line 2: the index '' is not an integer of at least 0",
    b"1 1:1\n-1 3:1 2:2\n": "line 2: the index 2 comes after 3; they ascend",
    b"1 1:1\n-1 3:1 3:2\n": "line 2: the index 3 comes after 3; they ascend",
    b"1 1:1\n-1 2:\n": "line 2: the value '' of the index 2 is not a finite number",
    b"1 1:1\n-1 2:x\n": "line 2: the value 'x' of the index 2 is not a finite number",
    b"1 1:1\n-1 2:nan\n": "line 2: the value 'nan' of the index 2 is not a finite number",
    b"1 1:1\n-1 2:1e999\n": "line 2: the value '1e999' of the index 2 is not a finite number",
    b"1 1:1\n-1 2:1:3\n": "line 2: the value '1:3' of the index 2 is not a finite number",
    b"1 1:1\n-1 99999999999999999999:1\n": "line 2: the index 99999999999999999999 is too large",
    b"": "there are no samples",
    b"\n# nothing\n": "there are no samples",
    b"label,x\n1,2\n": "line 1: the target 'label,x' is not a finite number",
    b"<!DOCTYPE html>\n<html>": "it is a page of the web",
    b"PK\x03\x04....": "it is a zip archive: unpack it",
    GOOD.decode().encode("utf-16"): "it is text in UTF-16: save it as UTF-8",
    b"\x28\xb5\x2f\xfd....": "it is compressed with zstd",
    b"\x00\x01\xff\xfe\n": "line 1: the target",
}


@pytest.mark.parametrize("content", WRONG)
@pytest.mark.parametrize("where", ["z", "z.t"])
def test_what_is_wrong_is_told_by_file_line_and_cause(tmp_path, content, where):
    with pytest.raises(ValueError, match=re.escape(WRONG[content])) as error:
        read(tmp_path, *((content, GOOD) if where == "z" else (GOOD, content)))
    assert str(error.value).startswith(f"{tmp_path / where} is not in LIBSVM's format: ")
    assert "None" not in str(error.value)


@settings(max_examples=60, deadline=None)
@given(content=st.binary(max_size=60) | st.text(alphabet="012 :.-+eanif#q,\n\ufeff", max_size=60).map(str.encode))
def test_any_file_is_read_or_refused_by_its_name(tmp_path_factory, content):
    path, refused = write(tmp_path_factory.mktemp("any") / "some", content), None
    try:
        assert np.all(np.isfinite(data.libsvm(path).inputs))
    except ValueError as error:
        refused = str(error)
    assert refused is None or (str(path) in refused and "None" not in refused)


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_a_mark_of_utf8_at_the_beginning_is_no_part_of_the_data(tmp_path, compress):
    assert read(tmp_path, compress(b"\xef\xbb\xbf" + GOOD)).targets.tolist() == [1, 0]


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_corrupt_compressed_files_are_called_so(tmp_path, compress):
    whole = compress(GOOD * 500)
    middle = len(whole) // 2
    broken = [whole[:-4], whole[:middle], whole[:middle] + bytes(8) + whole[middle + 8 :], whole[:10] + bytes(30)]
    for content in broken:
        with pytest.raises(ValueError, match=r"z is corrupt or cut off: .* Fetch it again"):
            read(tmp_path, content)


def test_dense_inputs_that_do_not_fit_are_refused_before_they_are_made(tmp_path, monkeypatch):
    content = b"1 1:1\n-1 47236:1\n" * 10
    assert read(tmp_path, content).inputs.shape == (20, 47236)
    with pytest.raises(
        ValueError, match=r"z as dense inputs of 20 samples by 10{12} features, .* would take 160 TB of memory"
    ):
        read(tmp_path, content, features=10**12, sparse=False)
    with pytest.raises(ValueError, match=r"10{17} features, the largest index of .*z: a model .* take 800 PB"):
        read(tmp_path, content, features=10**17)
    monkeypatch.setattr(checks.room, "machine", lambda: 4 * 10**6)
    with pytest.raises(ValueError, match=r"would take 7\.56 MB of memory, and this machine has 4 MB; take sparse=True"):
        read(tmp_path, content)


def test_paths_may_use_the_home_and_variables(tmp_path, monkeypatch):
    path = write(tmp_path / "z", GOOD)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SETS", str(tmp_path))
    for name in ("~/z", "$SETS/z", "${SETS}/z", path):
        assert data.libsvm(name).targets.tolist() == [1, 0]
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "$NONE", GOOD)
    assert data.libsvm("$NONE").name == "$NONE"
    with pytest.raises(ValueError, match=r"the path is '\$NOWHERE/z', and there is no \$NOWHERE"):
        data.libsvm("$NOWHERE/z")


def idx(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return header + array.tobytes()


@pytest.mark.parametrize("load", [data.mnist, data.fashion_mnist])
@pytest.mark.parametrize("form", ["{}", "{}.gz"])
def test_a_set_like_mnist_is_read_from_its_folder(tmp_path, monkeypatch, load, form):
    rng, folder = np.random.default_rng(0), tmp_path / "kmnist"
    arrays = {part: rng.integers(256, size=(6, 5, 4), dtype=np.uint8) for part in ("inputs", "test_inputs")}
    arrays |= {part: np.arange(6, dtype=np.uint8) for part in ("targets", "test_targets")}
    for part, name in images.IDX_FILES.items():
        content = gzip.compress(idx(arrays[part])) if form.endswith("gz") else idx(arrays[part])
        write(folder / form.format(name if form == "{}" else name.replace("-idx", ".idx")), content)
    monkeypatch.setenv("SETS", str(tmp_path))
    for place in (folder, "$SETS/kmnist"):
        found = load(place)
        assert (found.name, found.classes, found.images) == ("kmnist", 6, True)
        np.testing.assert_array_equal(found.inputs[..., 0], arrays["inputs"])
        np.testing.assert_array_equal(found.test_targets, arrays["test_targets"])
    next(folder.iterdir()).unlink()
    with pytest.raises(FileNotFoundError, match=r"there is none of .*-ubyte\.gz in .*kmnist; a set has four files"):
        load(folder)
