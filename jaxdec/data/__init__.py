"""Data on the host: where samples come from (`sources`) and which node holds which (`partitions`).

>>> from jaxdec import data
>>> digits = data.digits()
>>> partition = data.dirichlet(digits, n=10, alpha=0.5, seed=1)
>>> partition.n, partition.unused(len(digits.targets))
(10, 0)
"""

from jaxdec.data.files import libsvm
from jaxdec.data.partitions import Partition, describe, dirichlet, explicit, from_lists, iid, label_counts
from jaxdec.data.sources import (
    Dataset,
    binary,
    breast_cancer,
    dataset,
    digits,
    synthetic_classification,
    synthetic_regression,
)

__all__ = [
    "Dataset",
    "Partition",
    "binary",
    "breast_cancer",
    "dataset",
    "describe",
    "digits",
    "dirichlet",
    "explicit",
    "from_lists",
    "iid",
    "label_counts",
    "libsvm",
    "synthetic_classification",
    "synthetic_regression",
]
