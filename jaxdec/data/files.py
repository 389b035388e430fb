"""Datasets in files: the folder that `JAXDEC_DATA` names. Nothing is downloaded."""

import os
from pathlib import Path

import numpy as np

from jaxdec.data.sources import Dataset, dataset


def libsvm(path_or_name: str | os.PathLike[str], *, features: int | None = None) -> Dataset:
    """Samples in LIBSVM's text format, as dense float64 inputs, with those of the file `.t` beside it as test set.

    Two distinct targets, such as -1 and 1, become the labels 0 and 1; other targets are those of a regression.

    Args:
        path_or_name: a file, or the name of one in the subfolder `libsvm` of the folder that JAXDEC_DATA names, such as
            "a9a", "w8a" or "phishing".
        features: how many inputs a sample has; None is the largest index in the file.

    Raises:
        FileNotFoundError: if there is no such file.
    """
    from sklearn.datasets import load_svmlight_file

    path = file("libsvm", path_or_name)
    inputs, targets = load_svmlight_file(str(path), n_features=features)[:2]
    labels = np.unique(targets)
    read = {"inputs": np.asarray(inputs.todense()), "targets": targets}
    test = path.with_name(path.name + ".t")
    if test.exists():
        test_inputs, read["test_targets"] = load_svmlight_file(str(test), n_features=inputs.shape[1])[:2]
        read["test_inputs"] = np.asarray(test_inputs.todense())
    if len(labels) == 2:
        read |= {k: (v == labels[1]).astype(np.int32) for k, v in read.items() if k.endswith("targets")}
    return dataset(**read, classes=2 if len(labels) == 2 else None, name=path.name)


def file(kind: str, path_or_name: str | os.PathLike[str]) -> Path:
    """The path of a file that is given, or that lies in the subfolder `kind` of the folder that JAXDEC_DATA names.

    Raises:
        FileNotFoundError: if it is in neither place, with where to put it.
    """
    if (given := Path(path_or_name)).is_file():
        return given
    folder = os.environ.get("JAXDEC_DATA")
    if folder and (found := Path(folder) / kind / path_or_name).is_file():
        return found
    where = (
        f"{folder}/{kind}, of JAXDEC_DATA," if folder else f"the subfolder {kind} of the folder JAXDEC_DATA (not set)"
    )
    source = "; it is among https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/" if kind == "libsvm" else ""
    raise FileNotFoundError(f"there is no file {str(path_or_name)!r}, and none in {where}. Put it there{source}")
