"""Sets in LIBSVM's text format."""

import os
from pathlib import Path

import numpy as np

from jaxdec.data.files import Remote, cache, check_digest, content, file, opened
from jaxdec.data.sources import Dataset, dataset

__all__ = ["CALLED", "SHA256", "SUFFIXES", "URL", "libsvm"]

URL = "https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/"
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


def libsvm(path_or_name: str | os.PathLike[str], *, features: int | None = None, labels: bool = False) -> Dataset:
    """Samples in LIBSVM's text format, as dense float64 inputs, with those of the file `.t` beside it as test set.

    Two distinct targets, such as -1 and 1, become the labels 0 and 1; other targets are those of a regression, unless
    `labels` says that they are classes, which are then numbered in ascending order.

    A name is looked for in the subfolder `libsvm` of the folder that JAXDEC_DATA names, then in that of the user cache,
    also with the endings .bz2, .gz and .xz. a9a, w8a and phishing are else downloaded, and their content is checked
    wherever it was found; what is read by path is not.

    Args:
        path_or_name: a file, or the name of one, such as "a9a", "mushrooms" or "covtype".
        features: how many inputs a sample has; None is the largest index in the file.
        labels: whether more than two distinct targets are classes.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is not in the format, is corrupt, or is another one than its name says.
    """
    path, test = _files(path_or_name)
    inputs, targets = _read(path, features)
    read = {"inputs": inputs, "targets": targets}
    if test is not None:
        read["test_inputs"], read["test_targets"] = _read(test, inputs.shape[1])
    values = np.unique(targets)
    classes = len(values) if labels or len(values) == 2 else None
    if classes:
        for part in [part for part in ("targets", "test_targets") if part in read]:
            if len(strange := np.setdiff1d(read[part], values)):
                raise ValueError(f"{path}: the test set has the label {strange[0]:g}, which no training sample has")
            read[part] = np.searchsorted(values, read[part]).astype(np.int32)
    return dataset(**read, classes=classes, name=path.name)


def _files(path_or_name: str | os.PathLike[str]) -> tuple[Path, Path | None]:
    """The files of training and, if there is one, test samples; checked where a name, not a path, was given."""
    name = str(path_or_name)
    others = [called + suffix for called in (name, *CALLED.get(name, ())) for suffix in SUFFIXES][1:]
    path = file("libsvm", path_or_name, names=others, remote=_remote(name), hint=f"; it may be among {URL}")
    stem = path.name.removesuffix(next(suffix for suffix in SUFFIXES[::-1] if path.name.endswith(suffix)))
    beside = (path.with_name(f"{stem}.t{suffix}") for suffix in SUFFIXES)
    test = next((other for other in beside if other.is_file()), None)
    if path == Path(path_or_name):
        return path, test
    if test is None and path.parent == cache() / "libsvm" and (remote := _remote(f"{name}.t")):
        test = file("libsvm", f"{name}.t", remote=remote)
    for found in (path, test):
        if found is not None and found.name in SHA256:
            check_digest(found, content(found), SHA256[found.name], f"LIBSVM's {found.name}")
    return path, test


def _remote(name: str) -> Remote | None:
    return Remote((f"{URL}binary/{name}",), SHA256[name]) if name in SHA256 else None


def _read(path: Path, features: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Dense inputs and targets of one file."""
    from sklearn.datasets import load_svmlight_file

    try:
        with opened(path) as stream:
            inputs, targets = load_svmlight_file(stream, n_features=features)[:2]
    except ValueError as error:
        raise ValueError(f"{path} is not in LIBSVM's format, or has more features than {features}: {error}") from error
    return np.asarray(inputs.todense()), targets
