"""Data on the host: where samples come from, and which node holds which.

Sets come from `sources`, `images`, `svmlight` and `synthetic`; partitions from `partitions`, `label_skew` and
`clusters`; `contents` tells what a partition holds.

>>> from jaxdec import data
>>> digits = data.digits()
>>> partition = data.dirichlet(digits, n=10, alpha=0.5, seed=1)
>>> partition.n, partition.unused(len(digits.targets))
(10, 0)
"""

from jaxdec.data.clustering import clusters, rebalanced, tsne_clusters
from jaxdec.data.contents import Statistics, describe, label_counts, statistics
from jaxdec.data.images import cifar10, fashion_mnist, mnist
from jaxdec.data.label_skew import classes_per_node, dirichlet, main_class, shards
from jaxdec.data.partitions import Partition, explicit, from_lists, iid, quantity, stackable
from jaxdec.data.sources import (
    Dataset,
    binary,
    breast_cancer,
    dataset,
    digits,
    split,
)
from jaxdec.data.svmlight import libsvm
from jaxdec.data.synthetic import synthetic_classification, synthetic_regression

__all__ = [
    "Dataset",
    "Partition",
    "Statistics",
    "binary",
    "breast_cancer",
    "cifar10",
    "classes_per_node",
    "clusters",
    "dataset",
    "describe",
    "digits",
    "dirichlet",
    "explicit",
    "fashion_mnist",
    "from_lists",
    "iid",
    "label_counts",
    "libsvm",
    "main_class",
    "mnist",
    "quantity",
    "rebalanced",
    "shards",
    "split",
    "stackable",
    "statistics",
    "synthetic_classification",
    "synthetic_regression",
    "tsne_clusters",
]
