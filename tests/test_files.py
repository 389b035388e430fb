"""Laws of files: where they are looked for, what is refused, what is downloaded, and what is read from each format."""

import bz2
import gzip
import hashlib
import io
import lzma
import os
import pickle
import re
import struct
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxdec import data
from jaxdec.data import files, formats, images, svmlight
from jaxdec.data.files import Remote

REAL = Path(os.environ.get("JAXDEC_DATA", "/nowhere"))
RNG = np.random.default_rng(0)
PICTURES = RNG.integers(256, size=(6, 4, 3), dtype=np.uint8)
LABELS = np.array([0, 9, 2, 3, 3, 1], np.uint8)


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """An empty data folder and an empty cache, and no network."""

    def none(remote, path):
        raise OSError("no network")

    monkeypatch.setenv("JAXDEC_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("JAXDEC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(files, "download", none)
    return tmp_path / "data", tmp_path / "cache"


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def idx(array: np.ndarray) -> bytes:
    code = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}[array.dtype.str[1:]]
    return (
        struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape)
        + array.astype(array.dtype.newbyteorder(">")).tobytes()
    )


def tar(members: dict[str, bytes], compress=gzip.compress) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return compress(buffer.getvalue())


# IDX and the sets in it.


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "i4", "f4", "f8"])
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_idx_arrays_come_back(tmp_path, dtype, compress):
    array = RNG.integers(100, size=(2, 3, 4)).astype(dtype)
    found = formats.idx(write(tmp_path / "a", compress(idx(array))))
    assert found.dtype == array.dtype
    assert np.array_equal(found, array)


GOOD = idx(PICTURES)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (GOOD[:-1], r"has 87 bytes, but its header says 3 dimensions \(6, 4, 3\), 88 bytes"),
        (GOOD + b"\0", "has 89 bytes, .* 88 bytes"),
        (GOOD[:9], "has 9 bytes, .* cut off or corrupt"),
        (b"", "is not an IDX file: it starts with nothing"),
        (b"\0\1\x08\1" + GOOD[4:], "is not an IDX file: it starts with 00 01 08 01"),
        (b"\0\0\x0a\3" + GOOD[4:], "is not an IDX file: it starts with 00 00 0a 03"),
        (gzip.compress(GOOD)[:-5], "is corrupt or cut off"),
        (gzip.compress(GOOD)[:-12] + bytes(12), "is corrupt or cut off"),
        (b"<html>404</html>", "is not an IDX file"),
    ],
)
def test_a_wrong_idx_file_is_refused_whole(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        formats.idx(write(tmp_path / "a", content))


SET = {"inputs": PICTURES, "targets": LABELS, "test_inputs": PICTURES[:2], "test_targets": LABELS[:2]}


def test_an_idx_set_has_images_with_one_channel():
    found = images.idx_dataset(SET, "small")
    assert found.inputs.shape == (6, 4, 3, 1)
    assert found.inputs.dtype == np.uint8
    assert found.classes == 10
    assert np.array_equal(found.inputs[..., 0], PICTURES)
    assert np.array_equal(found.targets, LABELS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"targets": LABELS[:5]}, "small, training set: 6 images but 5 labels"),
        ({"test_targets": LABELS[:3]}, "small, test set: 2 images but 3 labels"),
        ({"inputs": LABELS, "targets": PICTURES}, r"images have shape \(6,\) uint8 .* Were the two files swapped"),
        ({"inputs": PICTURES.astype(np.float32)}, "float32 .* expected unsigned bytes"),
        ({"targets": LABELS + 1}, r"labels \[10\] outside 0..9"),
    ],
)
def test_images_and_labels_that_do_not_belong_together_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        images.idx_dataset(SET | change, "small")


def test_files_that_are_not_the_set_of_their_name_are_refused(folders):
    for part, name in images.IDX_FILES.items():
        write(folders[0] / "mnist" / f"{name}.gz", gzip.compress(idx(SET[part])))
        write(folders[1] / "fashion_mnist" / name, idx(SET[part]))
    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte.gz is not the .* of mnist: .* expected ba891046"):
        data.mnist()
    with pytest.raises(ValueError, match="fashion_mnist has 6 and 2 images, expected 60000 and 10000"):
        data.fashion_mnist()


@pytest.mark.parametrize("load", [data.mnist, data.fashion_mnist, data.cifar10])
def test_a_set_that_is_nowhere_names_its_file_and_the_folders(folders, load):
    kind = load.__name__
    with pytest.raises(FileNotFoundError) as caught:
        load()
    name = "cifar-10-python.tar.gz" if kind == "cifar10" else "train-images-idx3-ubyte.gz"
    for part in (name, str(folders[0] / kind), str(folders[1] / kind), "could not be downloaded: no network"):
        assert part in str(caught.value)


# Places.


def test_the_data_folder_comes_before_the_cache_and_a_path_before_both(folders, tmp_path):
    places = [folder / "libsvm" / "some" for folder in folders]
    for place in (*places[::-1], tmp_path / "some"):
        write(place, b"")
        given = place if place.parent == tmp_path else "some"
        assert files.file("libsvm", given) == place


def test_the_cache_follows_its_variables(monkeypatch):
    for name in ("JAXDEC_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert files.cache() == Path.home() / ".cache" / "jaxdec"
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert files.cache() == Path("/xdg/jaxdec")
    monkeypatch.setenv("JAXDEC_CACHE", "/own")
    assert files.cache() == Path("/own")


def test_the_variables_may_use_the_home_and_other_variables(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setenv("SCRATCH", "/scratch")
    monkeypatch.setenv("JAXDEC_DATA", "~/sets")
    monkeypatch.setenv("JAXDEC_CACHE", "${SCRATCH}/cache")
    assert files.folders("mnist") == [Path("/home/ada/sets/mnist"), Path("/scratch/cache/mnist")]
    monkeypatch.setenv("SCRATCH", "~/scratch")
    monkeypatch.setenv("JAXDEC_CACHE", "$SCRATCH/cache")
    assert files.cache() == Path("/home/ada/scratch/cache")


@pytest.mark.parametrize("variable", ["JAXDEC_DATA", "JAXDEC_CACHE"])
@pytest.mark.parametrize(("given", "unknown"), [("$NONE/a", "$NONE"), ("/b/${NONE}", "${NONE}"), ("~no1/a", "~no1")])
def test_a_variable_that_uses_what_there_is_not_is_refused(folders, monkeypatch, variable, given, unknown):
    monkeypatch.delenv("NONE", raising=False)
    monkeypatch.setenv(variable, given)
    message = f"{variable} is {given!r}, and there is no {unknown}; name a folder"
    with pytest.raises(ValueError, match=re.escape(message)):
        files.folders("mnist")


# Downloads, from a server on this machine.


@pytest.fixture
def server(monkeypatch):
    """An address, what it serves (name to bytes, or bytes and the length it claims), and what it was asked for."""
    served: dict[str, bytes | tuple[bytes, int]] = {}
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            content = served.get(self.path[1:])
            content, length = content if isinstance(content, tuple) else (content, len(content or b""))
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *arguments):
            pass

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}/", served, asked
        running.shutdown()
        thread.join()


CONTENT = RNG.bytes(200_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def test_a_download_is_kept_in_the_cache_and_not_repeated(server, tmp_path, monkeypatch):
    address, served, asked = server
    monkeypatch.setenv("JAXDEC_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("JAXDEC_CACHE", str(tmp_path / "cache"))
    served |= {"cut": (CONTENT[:99], 200_000), "good": CONTENT}
    for name in ("a", "b"):
        remote = Remote((f"{address}missing", f"{address}cut", f"{address}good"), SHA256)
        for _ in range(2):
            found = files.file("kind", name, remote=remote)
            assert found == tmp_path / "cache" / "kind" / name
            assert found.read_bytes() == CONTENT
    assert asked == ["/missing", "/cut", "/good"] * 2
    assert sorted(path.name for path in (tmp_path / "cache" / "kind").iterdir()) == ["a", "b"]


def test_a_download_shows_what_is_fetched_and_how_far_it_is(server, tmp_path, capfd):
    address, served, _ = server
    served["good"] = CONTENT
    files.download(Remote((f"{address}good",), SHA256), tmp_path / "name")
    assert "100%" in capfd.readouterr().err


@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT[:-1] + b"x", b"<html></html>", b""])
def test_a_download_that_is_another_file_is_refused_and_leaves_nothing(server, tmp_path, content):
    address, served, _ = server
    served["bad"] = content
    with pytest.raises(ValueError, match=r"/bad: SHA256 .* expected .* but got .* put a good copy in .*/kind"):
        files.download(Remote((f"{address}bad",), SHA256), tmp_path / "kind" / "name")
    assert list((tmp_path / "kind").iterdir()) == []


def test_a_download_that_is_cut_off_is_refused_and_leaves_nothing(server, tmp_path, monkeypatch):
    address, served, _ = server
    monkeypatch.setenv("JAXDEC_CACHE", str(tmp_path))
    served["cut"] = CONTENT[:99], 200_000
    with pytest.raises(FileNotFoundError, match=r"no file 'name'.*could not be downloaded: .*/cut: .*IncompleteRead"):
        files.file("kind", "name", remote=Remote((f"{address}cut",), SHA256))
    assert list((tmp_path / "kind").iterdir()) == []


def test_what_cannot_be_downloaded_says_why(server, tmp_path, monkeypatch):
    monkeypatch.setenv("JAXDEC_CACHE", str(tmp_path))
    monkeypatch.delenv("JAXDEC_DATA", raising=False)
    remote = Remote((f"{server[0]}missing", "http://127.0.0.1:9/"), SHA256)
    with pytest.raises(
        FileNotFoundError, match=r"JAXDEC_DATA \(not set\) or .*missing: 404 .*; http://127.0.0.1:9/: .*refused"
    ):
        files.file("kind", "name", remote=remote)


def test_what_is_known_comes_over_https_and_has_a_sha256(folders, monkeypatch):
    remotes = [Remote(bases, digest) for bases, digests in images.SERVED.values() for digest in digests]
    asked: list[Remote] = []

    def ask(remote, path):
        asked.append(remote)
        raise OSError

    monkeypatch.setattr(files, "download", ask)
    loads = [data.mnist, data.fashion_mnist, lambda: data.cifar10("python"), lambda: data.cifar10("binary")]
    loads += [lambda name=name: data.libsvm(name) for name in svmlight.SHA256]
    for load in loads:
        with pytest.raises(FileNotFoundError):
            load()
    assert len(asked) == len(loads)
    for urls, digest in remotes + asked:
        assert all(url.startswith("https://") for url in urls)
        assert re.fullmatch("[0-9a-f]{64}", digest)


def test_a_set_is_downloaded_file_by_file(server, tmp_path, monkeypatch):
    address, served, _ = server
    monkeypatch.setenv("JAXDEC_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("JAXDEC_CACHE", str(tmp_path / "cache"))
    large = dict(SET, inputs=np.zeros((60_000, 1, 1), np.uint8), targets=np.zeros(60_000, np.uint8))
    large |= dict(test_inputs=np.ones((10_000, 1, 1), np.uint8), test_targets=np.ones(10_000, np.uint8))
    served |= {f"{name}.gz": gzip.compress(idx(large[part])) for part, name in images.IDX_FILES.items()}
    digests = tuple(hashlib.sha256(served[f"{name}.gz"]).hexdigest() for name in images.IDX_FILES.values())
    monkeypatch.setitem(images.SERVED, "fashion_mnist", images.Served((address,), digests))
    for _ in range(2):
        assert data.fashion_mnist().inputs.shape == (60_000, 1, 1, 1)
        served.clear()  # the second time it comes from the cache


def test_a_libsvm_set_comes_with_its_test_set(server, tmp_path, monkeypatch):
    address, served, _ = server
    monkeypatch.setenv("JAXDEC_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("JAXDEC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(svmlight, "URL", address)
    served |= {"binary/a9a": b"-1 1:1\n+1 2:1\n", "binary/a9a.t": b"+1 2:3\n"}
    for name in ("a9a", "a9a.t"):
        monkeypatch.setitem(svmlight.SHA256, name, hashlib.sha256(served[f"binary/{name}"]).hexdigest())
    found = data.libsvm("a9a")
    assert found.inputs.tolist() == [[1, 0], [0, 1]]
    assert found.test_inputs.tolist() == [[0, 3]]


# CIFAR-10.


def cifar(k: int) -> tuple[np.ndarray, np.ndarray]:
    return np.random.default_rng(k).integers(256, size=(k + 1, 32, 32, 3), dtype=np.uint8), np.arange(k + 1) % 10


def binary(k: int) -> bytes:
    pictures, labels = cifar(k)
    return b"".join(bytes([y]) + a.transpose(2, 0, 1).tobytes() for a, y in zip(pictures, labels, strict=True))


def python2(k: int) -> bytes:
    """The pickle that Python 2 writes of {"data": array, "labels": list}, opcode by opcode."""
    pictures, labels = cifar(k)
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85U\x01b\x87R(K\x01K"
    array += (
        bytes([k + 1]) + b"M\0\x0c\x86cnumpy\ndtype\nU\x02u1K\0K\x01\x87R(K\x03U\x01|NNN" + b"J\xff\xff\xff\xff" * 2
    )
    pixels = pictures.transpose(0, 3, 1, 2).tobytes()
    array += b"K\0tb\x89T" + struct.pack("<I", len(pixels)) + pixels + b"tb"
    return b"\x80\x02}(U\x04data" + array + b"U\x06labels](" + b"".join(b"K" + bytes([y]) for y in labels) + b"eu."


def python3(k: int) -> bytes:
    pictures, labels = cifar(k)
    batch = {b"data": pictures.transpose(0, 3, 1, 2).reshape(k + 1, -1), b"labels": labels.tolist(), b"name": b"batch"}
    return pickle.dumps(batch, protocol=2)


BATCHES = [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]


@pytest.mark.parametrize(
    ("form", "make", "suffix"), [("binary", binary, ".bin"), ("python", python2, ""), ("python", python3, "")]
)
def test_cifar_batches_are_read_in_their_order_from_both_forms(tmp_path, form, make, suffix):
    members = {f"cifar/{name}{suffix}": make(k) for k, name in reversed(list(enumerate(BATCHES)))}
    found = images.cifar10_batches(write(tmp_path / "a", tar(members | {"cifar/readme.html": b""})), form)
    assert np.array_equal(found.inputs, np.concatenate([cifar(k)[0] for k in range(5)]))
    assert np.array_equal(found.targets, np.concatenate([cifar(k)[1] for k in range(5)]))
    assert np.array_equal(found.test_inputs, cifar(5)[0])
    assert np.array_equal(found.test_targets, cifar(5)[1])


class Evil:
    def __reduce__(self):
        return os.system, ("exit 1",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps(Evil()), "asks for posix.system"),
        (pickle.dumps({b"data": np.zeros((2, 3072), np.uint8)}), "is not a batch .*labels"),
        (
            pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": [1]}),
            r"shape \(2, 3072\) uint8 and 1 labels",
        ),
        (pickle.dumps({b"data": np.zeros((1, 3072)), b"labels": [1]}), "float64 and 1 labels"),
        (pickle.dumps({b"data": np.zeros((1, 3072), np.uint8), b"labels": [10]}), "the label 10, expected 0..9"),
        (python2(3)[:-900], "is not a batch of CIFAR-10's python form"),
        (b"", "is not a batch"),
    ],
)
def test_pickles_hold_nothing_but_arrays_and_numbers(content, message):
    with pytest.raises(ValueError, match=message):
        formats.cifar_pickle(content, "batch")


@pytest.mark.parametrize(
    ("content", "message"),
    [(binary(2)[:-1], "has 9218 bytes, not a positive multiple"), (b"", "0 bytes"), (b"\xff" * 3073, "label 255")],
)
def test_binary_batches_are_whole_records(content, message):
    with pytest.raises(ValueError, match=message):
        formats.cifar_binary(content, "batch")


def test_archives_that_are_incomplete_or_not_official_are_refused(folders):
    whole = tar({f"cifar/{name}.bin": binary(k) for k, name in enumerate(BATCHES[:-1])})
    path = write(folders[0] / "cifar10" / "cifar-10-binary.tar.gz", whole)
    with pytest.raises(ValueError, match=r"lacks test_batch\.bin"):
        images.cifar10_batches(path, "binary")
    with pytest.raises(ValueError, match=r"is not the official cifar-10-binary.tar.gz: .* expected c4a38c50"):
        data.cifar10()
    with pytest.raises(ValueError, match="corrupt or cut off"):
        images.cifar10_batches(write(path, whole[:-300]), "binary")
    with pytest.raises(ValueError, match="not a tar archive"):
        images.cifar10_batches(write(path, gzip.compress(b"no archive at all" * 100)), "binary")
    with pytest.raises(ValueError, match="form is one of 'python', 'binary', 'jpeg' or None; got 'png'"):
        data.cifar10("png")


def picture(k: int, size: int = 32) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((size, size, 3), k, np.uint8)).save(buffer, "png")
    return buffer.getvalue()


def folder_archive(**more: bytes) -> bytes:
    members = {
        f"{split}/{name}/{j}.jpg": picture(100 * (split == "test") + 2 * k + j)
        for j in (1, 0)
        for split in ("train", "test")
        for k, name in enumerate(reversed(images.CIFAR10_CLASSES))
    }
    return tar(members | more, lzma.compress)


def test_class_folders_are_sorted_decoded_once_and_named_as_what_they_are(folders, monkeypatch):
    path = write(folders[0] / "cifar10" / "cifar10-jpeg.tar.xz", folder_archive())
    found = data.cifar10()
    assert "JPEG" in found.name
    assert found.targets.tolist() == [k for k in range(10) for _ in range(2)]
    expected = np.array([2 * (9 - k) + j for k in range(10) for j in range(2)])
    assert np.array_equal(found.inputs[:, 5, 7, 1], expected)
    assert np.array_equal(found.test_inputs[:, 5, 7, 1], expected + 100)
    assert len(list((folders[1] / "cifar10").iterdir())) == 4

    def never(*arguments):
        raise RuntimeError

    monkeypatch.setattr(formats, "class_folders", never)
    assert np.array_equal(data.cifar10("jpeg").inputs, found.inputs)
    write(path, folder_archive(**{"train/bird/2.jpg": picture(7)}))
    with pytest.raises(RuntimeError):  # another archive is not taken for the one decoded
        data.cifar10()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"train/bird/2.jpg": picture(0, 16)}, r"images of the shapes \[\(16, 16, 3\), \(32, 32, 3\)\]"),
        ({"train/bird/2.jpg": picture(0)[:60]}, "train/bird/2.jpg in .* is not an image"),
        ({"bird/2.jpg": picture(0)}, "has the file bird/2.jpg; expected only train/CLASS/NAME"),
        ({"train/cow/2.jpg": picture(0)}, "'cow'.* to train and .* to test"),
        ({"train/cow/2.jpg": picture(0), "test/cow/2.jpg": picture(0)}, "has the classes .*'cow'.*, expected"),
    ],
)
def test_class_folders_that_are_not_cifar_are_refused(folders, more, message):
    write(folders[0] / "cifar10" / "cifar10-jpeg.tar.xz", folder_archive(**more))
    with pytest.raises(ValueError, match=message):
        data.cifar10()
    assert not (folders[1] / "cifar10").exists()


# LIBSVM.


TEXT = b"3 1:0.5 3:2\n1 2:1\n7 1:1\n"


@pytest.mark.parametrize(
    ("suffix", "compress"), [("", bytes), (".bz2", bz2.compress), (".gz", gzip.compress), (".xz", lzma.compress)]
)
def test_libsvm_files_may_be_compressed_and_their_targets_labels(folders, suffix, compress):
    path = write(folders[0] / "libsvm" / f"three{suffix}", compress(TEXT))
    write(folders[0] / "libsvm" / f"three.t{suffix}", compress(b"7 2:9\n"))
    for given in ("three", path):
        found = data.libsvm(given, labels=True)
        assert found.inputs.tolist() == [[0.5, 0, 2], [0, 1, 0], [1, 0, 0]]
        assert (found.targets.tolist(), found.test_targets.tolist(), found.classes) == ([1, 0, 2], [2], 3)
        assert data.libsvm(given).targets.tolist() == [3, 1, 7]
    assert data.libsvm("three", features=5).inputs.shape == (3, 5)


def test_a_set_is_found_by_the_name_it_has_in_papers(folders):
    write(folders[1] / "libsvm" / "covtype.libsvm.binary.scale.bz2", bz2.compress(b"1 1:1\n2 2:1\n"))
    assert data.libsvm("covtype").targets.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (bz2.compress(TEXT)[:-4], "is corrupt or cut off"),
        (lzma.compress(TEXT)[:-4], "is corrupt or cut off"),
        (b"1 1:0.5\n2 what\n", "is not in LIBSVM's format"),
        (b"1 1:0.5\n2 7:1\n", "more features than 3"),
    ],
)
def test_a_file_that_is_not_libsvms_is_refused(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        data.libsvm(write(tmp_path / "some", content), features=3)


def test_a_known_name_is_a_known_file_and_a_path_is_free(folders):
    path = write(folders[0] / "libsvm" / "a9a", b"-1 1:1\n+1 2:1\n")
    with pytest.raises(ValueError, match=r"is not LIBSVM's a9a: .* expected f5d5ffd8"):
        data.libsvm("a9a")
    assert data.libsvm(path).classes == 2
    write(folders[0] / "libsvm" / "a9a.t", b"0 1:1\n")
    with pytest.raises(ValueError, match="the test set has the label 0, which no training sample has"):
        data.libsvm(path)


# The real files.


def real(name: str) -> None:
    if not (REAL / name).exists():
        pytest.skip(f"needs {name} in the folder that JAXDEC_DATA names")


def test_the_real_mnist_is_whole():
    real("mnist/train-images-idx3-ubyte.gz")
    found = data.mnist()
    assert found.inputs.shape == (60_000, 28, 28, 1)
    assert np.bincount(found.test_targets).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    for part, digest in ((found.inputs, images.MNIST_CONTENT[0]), (found.test_inputs, images.MNIST_CONTENT[2])):
        header = struct.pack(">HBB3I", 0, 8, 3, len(part), 28, 28)
        assert hashlib.sha256(header + part.tobytes()).hexdigest() == digest


def test_the_real_libsvm_sets_are_whole():
    for name in ("a9a", "a9a.t", "w8a", "w8a.t", "phishing"):
        real(f"libsvm/{name}")
        files.check_digest(REAL, (REAL / "libsvm" / name).read_bytes(), svmlight.SHA256[name], name)


@pytest.mark.slow  # decoding takes half a minute
def test_the_real_cifar_has_its_classes(tmp_path, monkeypatch):
    real("cifar10/cifar10-jpeg.tar.xz")
    monkeypatch.setenv("JAXDEC_CACHE", str(tmp_path))
    for _ in range(2):
        found = data.cifar10("jpeg")
        assert np.bincount(found.targets).tolist() == [5000] * 10
        assert np.bincount(found.test_targets).tolist() == [1000] * 10
        assert found.inputs.shape == (50_000, 32, 32, 3)
