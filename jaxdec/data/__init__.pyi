from .characters import alphabet, text
from .clustering import clusters, rebalanced, tsne_clusters
from .contents import Statistics, describe, label_counts, statistics
from .images import cifar10, fashion_mnist, mnist
from .label_skew import classes_per_node, dirichlet, main_class, shards
from .partitions import Partition, contiguous, explicit, from_lists, iid, quantity, stackable
from .selection import subset, take
from .sources import Dataset, binary, breast_cancer, dataset, digits, split
from .svmlight import libsvm
from .synthetic import synthetic_classification, synthetic_regression

__all__ = [
    "Dataset",
    "Partition",
    "Statistics",
    "alphabet",
    "binary",
    "breast_cancer",
    "cifar10",
    "classes_per_node",
    "clusters",
    "contiguous",
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
    "subset",
    "synthetic_classification",
    "synthetic_regression",
    "take",
    "text",
    "tsne_clusters",
]
