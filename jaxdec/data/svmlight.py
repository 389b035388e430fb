"""Sets in LIBSVM's text format."""

import codecs
import math
import os
import re
from pathlib import Path
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp

from jaxdec import checks
from jaxdec.data.files import Remote, cache, check_digest, content, expanded, file, opened
from jaxdec.data.sources import Dataset, dataset

__all__ = ["CALLED", "DENSE", "SHA256", "SUFFIXES", "URL", "libsvm"]

URL = "https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/"
DENSE = 10**9  # bytes of dense inputs above which sparse ones stay sparse
SUFFIXES = ("", ".bz2", ".gz", ".xz")

# Sets whose name in papers is not that of their file.
CALLED = {"covtype": ("covtype.libsvm.binary.scale", "covtype.libsvm.binary", "covtype.binary")}

# SHA-256 of files that these names stand for.
SHA256 = {
    "a9a": "f5d5ffd8d865ff41328e7ee043e4b020816914ff6843ff15b98905ddbedce906",
    "a9a.t": "1f448a153f0320399a7e40836eb207655b0bde0f21fc941cc472193daa9f5de9",
    "w8a": "6a9fa8fd5f524303240a5db07d4b3d4a51e8b7b4b20a914105d8e3e8c81640f2",
    "w8a.t": "618929ecb01bebb841daec4cae4aa07b97832d29b08652452775598929547fde",
    "phishing": "0cf66ef36604c393da9359b2e5d894a2df8aee31fd184633cefa138add2ef08a",
}


def libsvm(
    path_or_name: str | os.PathLike[str],
    *,
    features: int | None = None,
    labels: bool = False,
    base: Literal[0, 1] | None = None,
    sparse: bool | None = None,
) -> Dataset:
    """Samples in LIBSVM's text format, as float64 inputs, with those of the file `.t` beside it as test set.

    Two distinct targets, such as -1 and 1, become the labels 0 and 1; other targets are those of a regression, unless
    `labels` says that they are classes, which are then numbered in ascending order.

    A name is looked for in the subfolder `libsvm` of the folder that JAXDEC_DATA names, then in that of the user cache,
    also with the endings .bz2, .gz and .xz. a9a, w8a and phishing are else downloaded, and their content is checked
    wherever it was found; what is read by path is not.

    Args:
        path_or_name: a file, or the name of one, such as "a9a", "mushrooms" or "covtype".
        features: how many inputs a sample has; None is the largest index in either file.
        labels: whether more than two distinct targets are classes.
        base: the index of the first feature, in both files; None is 0 if one of them has the index 0, else 1.
        sparse: whether inputs are a sparse matrix, which linear models take; None is where they would take over a
            gigabyte, and a tenth of it at most is not 0.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is not in the format, is corrupt, or is another one than its name says; or if dense
            inputs do not fit in this machine's memory.
    """
    features = None if features is None else checks.integer("features", features, most=10**18)
    path, test = _files(path_or_name)
    read = {where: _read(where) for where in (path, test) if where is not None}
    largest = _largest(read, base)
    first = base if base is not None else min(1, *(_least(inputs) for inputs, _ in read.values()))
    d = features or max(largest.values()) + 1 - first
    if d < 1:
        raise ValueError(f"{path} is without a single feature; expected lines TARGET INDEX:VALUE ...")
    for where, most in largest.items():
        if most - first >= d:
            raise ValueError(f"{where} has more features than {d}: there is the index {most}. Raise features")
    form = _sparse if _stays_sparse(path, [inputs for inputs, _ in read.values()], d, sparse) else _dense
    found: dict[str, Any] = {"inputs": form(read[path][0], first, d), "targets": read[path][1]}
    if test is not None:
        found |= {"test_inputs": form(read[test][0], first, d), "test_targets": read[test][1]}
    values = np.unique(found["targets"])
    classes = len(values) if labels or len(values) == 2 else None
    if classes:
        for part in [part for part in ("targets", "test_targets") if part in found]:
            if len(strange := np.setdiff1d(found[part], values)):
                raise ValueError(f"{path}: the test set has the label {strange[0]:g}, which no training sample has")
            found[part] = np.searchsorted(values, found[part]).astype(np.int32)
    return dataset(**found, classes=classes, name=path.name)


def _files(path_or_name: str | os.PathLike[str]) -> tuple[Path, Path | None]:
    """The files of training and, if there is one, test samples; checked where a name, not a path, was given."""
    name = str(path_or_name)
    others = [called + suffix for called in (name, *CALLED.get(name, ())) for suffix in SUFFIXES][1:]
    path = file("libsvm", path_or_name, names=others, remote=_remote(name), hint=f"; it may be among {URL}")
    stem = path.name.removesuffix(next(suffix for suffix in SUFFIXES[::-1] if path.name.endswith(suffix)))
    beside = (path.with_name(f"{stem}.t{suffix}") for suffix in SUFFIXES)
    test = next((other for other in beside if other.is_file()), None)
    if path == expanded(path_or_name):
        return path, test
    if test is None and path.parent == cache() / "libsvm" and (remote := _remote(f"{name}.t")):
        test = file("libsvm", f"{name}.t", remote=remote)
    for found in (path, test):
        if found is not None and found.name in SHA256:
            check_digest(found, content(found), SHA256[found.name], f"LIBSVM's {found.name}")
    return path, test


def _remote(name: str) -> Remote | None:
    return Remote((f"{URL}binary/{name}",), SHA256[name]) if name in SHA256 else None


def _read(path: Path) -> tuple[Any, np.ndarray]:
    """Sparse inputs and targets of one file, column j being the index j."""
    from sklearn.datasets import load_svmlight_file

    try:
        with opened(path) as stream:
            if stream.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
                stream.seek(0)
            loaded: Any = load_svmlight_file(stream, zero_based=True)
    except (ValueError, OverflowError) as error:
        if "is corrupt or cut off" in str(error):
            raise
        raise ValueError(f"{path} is not in LIBSVM's format: {_fault(path) or error}") from error
    inputs, targets = loaded[:2]
    if not len(targets) or not (np.all(np.isfinite(inputs.data)) and np.all(np.isfinite(targets))):
        raise ValueError(f"{path} is not in LIBSVM's format: {_fault(path) or 'there are no samples'}")
    return inputs, targets


def _least(inputs: Any) -> int:
    return int(inputs.indices.min()) if inputs.nnz else 1


def _largest(read: dict[Path, tuple[Any, np.ndarray]], base: int | None) -> dict[Path, int]:
    """The largest index of each file, or -1; those below the base are refused."""
    if base not in (None, 0, 1):
        raise ValueError(f"base is 0 or 1, the index of the first feature, or None; got {base!r}")
    for path, (inputs, _) in read.items():
        if base and _least(inputs) < base:
            raise ValueError(f"{path} has the index 0, and base=1 says that they begin with 1; leave base=None")
    return {path: int(inputs.indices.max()) if inputs.nnz else -1 for path, (inputs, _) in read.items()}


def _stays_sparse(path: Path, parts: list[Any], d: int, sparse: bool | None) -> bool:
    """Whether the inputs are sparse; dense ones, and models, that do not fit in memory are refused."""
    samples, entries = sum(inputs.shape[0] for inputs in parts), sum(inputs.nnz for inputs in parts)
    size = 8 * samples * d
    sparse = size > DENSE and 10 * entries <= samples * d if sparse is None else sparse
    if not sparse:
        what = f"{path} as dense inputs of {samples} samples by {d} features, {entries} of them not 0,"
        checks.affordable(what, size, "take sparse=True, or fewer samples or features")
    checks.affordable(
        f"{d} features, the largest index of {path}: a model of them", 8 * d, "number the features from 1"
    )
    return sparse


def _sparse(inputs: Any, first: int, d: int) -> sp.csr_array:
    """(N, d) inputs, column j being the index first + j."""
    return sp.csr_array((inputs.data, inputs.indices - first, inputs.indptr), shape=(inputs.shape[0], d))


def _dense(inputs: Any, first: int, d: int) -> np.ndarray:
    """(N, d) inputs, column j being the index first + j."""
    dense = np.zeros((inputs.shape[0], d))
    dense[np.repeat(np.arange(len(dense)), np.diff(inputs.indptr)), inputs.indices - first] = inputs.data
    return dense


_FOREIGN = {
    b"PK": "it is a zip archive: unpack it",
    b"\x28\xb5\x2f\xfd": "it is compressed with zstd: uncompress it",
    codecs.BOM_UTF16_LE: "it is text in UTF-16: save it as UTF-8",
    codecs.BOM_UTF16_BE: "it is text in UTF-16: save it as UTF-8",
    b"<": "it is a page of the web, not a file of data: fetch it again",
}


def _fault(path: Path) -> str | None:
    """What is wrong with a file, in its first line that is not in the format; None where nothing is."""
    data = content(path).removeprefix(codecs.BOM_UTF8)
    if foreign := next((cause for start, cause in _FOREIGN.items() if data.lstrip()[:4].startswith(start)), None):
        return foreign
    for number, line in enumerate(data.splitlines(), 1):
        if (words := line.split(b"#", 1)[0].split()) and (cause := _line(*words)):
            return f"line {number}: {cause}"
    return None


def _line(target: bytes, *pairs: bytes) -> str | None:
    """What is wrong with a line's words."""
    if (number := _number(target)) is None or not math.isfinite(number):
        several = ", but several labels; a sample has one" if b"," in target else ""
        return f"the target {_text(target)} is not a finite number{several}"
    last = -1
    for pair in pairs:
        index, colon, value = pair.partition(b":")
        if index == b"qid":
            continue
        if not colon:
            return f"{_text(pair)} is not INDEX:VALUE"
        if not re.fullmatch(rb"\+?[0-9]+", index):
            return f"the index {_text(index)} is not an integer of at least 0"
        if int(index) <= last:
            return f"the index {int(index)} comes after {last}; they ascend"
        last = int(index)
        if (number := _number(value)) is None or not math.isfinite(number):
            return f"the value {_text(value)} of the index {last} is not a finite number"
    return f"the index {last} is too large for an integer of 64 bits" if last >= 2**63 else None


def _number(word: bytes) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None


def _text(word: bytes) -> str:
    return repr(word[:40].decode("utf-8", "replace"))
