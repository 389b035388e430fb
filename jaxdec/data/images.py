"""Image sets: MNIST, Fashion-MNIST and CIFAR-10, as uint8 arrays (N, height, width, channels)."""

import hashlib
import os
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from jaxdec.data import formats
from jaxdec.data.files import Remote, atomic, cache, check_digest, content, expanded, file, folders
from jaxdec.data.sources import Dataset, dataset

__all__ = [
    "CIFAR10_CLASSES",
    "CIFAR10_FILES",
    "CIFAR10_SHA256",
    "IDX_FILES",
    "MNIST_CONTENT",
    "SERVED",
    "Served",
    "cifar10",
    "cifar10_batches",
    "cifar10_folders",
    "fashion_mnist",
    "idx_dataset",
    "mnist",
]

IDX_FILES = {
    "inputs": "train-images-idx3-ubyte",
    "targets": "train-labels-idx1-ubyte",
    "test_inputs": "t10k-images-idx3-ubyte",
    "test_targets": "t10k-labels-idx1-ubyte",
}


class Served(NamedTuple):
    """Where the four files of a set are, and what they are as they are served."""

    bases: tuple[str, ...]
    sha256: tuple[str, ...]  # in the order of IDX_FILES


# The checksums: tensorflow_datasets/url_checksums of github.com/tensorflow/datasets.
SERVED = {
    "mnist": Served(
        ("https://storage.googleapis.com/cvdf-datasets/mnist/", "https://ossci-datasets.s3.amazonaws.com/mnist/"),
        (
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        ),
    ),
    "fashion_mnist": Served(
        ("https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",),
        (
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ),
    ),
}

# SHA-256 of MNIST's files uncompressed, which any copy must have.
MNIST_CONTENT = (
    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
)

CIFAR10_CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
CIFAR10_FILES = {
    "python": "cifar-10-python.tar.gz",
    "binary": "cifar-10-binary.tar.gz",
    "jpeg": "cifar10-jpeg.tar.xz",
}
# The checksums that Keras (keras/src/datasets/cifar10.py) and TensorFlow Datasets give.
CIFAR10_SHA256 = {
    "python": "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
    "binary": "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
}


def mnist(folder: str | os.PathLike[str] | None = None) -> Dataset:
    """MNIST: handwritten digits, 60 000 and 10 000 images of (28, 28, 1) bytes; 10 classes.

    The four IDX files, gzip or not, are looked for in the subfolder `mnist` of the folder that JAXDEC_DATA names, then
    in that of the user cache, and else downloaded there. Their content is checked.

    Args:
        folder: one that has four files of these names, which are read as they are: those of another set like MNIST, or
            an altered one. Its name is the dataset's, its largest label the last class.

    Raises:
        FileNotFoundError: if a file is nowhere and cannot be downloaded, with its name and the folders.
        ValueError: if a file is corrupt, cut off or another one.

    Source: LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition", Proceedings
    of the IEEE, 1998.
    """
    return _idx_set("mnist", MNIST_CONTENT) if folder is None else _idx_folder(expanded(folder))


def fashion_mnist(folder: str | os.PathLike[str] | None = None) -> Dataset:
    """Fashion-MNIST: articles of clothing, 60 000 and 10 000 images of (28, 28, 1) bytes; 10 classes.

    As `mnist`, in the subfolder `fashion_mnist`. What is downloaded has its checksum tested; copies that are found are
    told from others by their headers alone.

    Args:
        folder: as of `mnist`.

    Raises:
        FileNotFoundError: if a file is nowhere and cannot be downloaded, with its name and the folders.
        ValueError: if a file is corrupt, cut off or another one.

    Source: Xiao, Rasul and Vollgraf, "Fashion-MNIST", arXiv:1708.07747.
    """
    return _idx_set("fashion_mnist", None) if folder is None else _idx_folder(expanded(folder))


def _idx_set(kind: str, digests: tuple[str, ...] | None) -> Dataset:
    bases, served = SERVED[kind]
    found = {}
    for k, (part, name) in enumerate(IDX_FILES.items()):
        remote = Remote(tuple(f"{base}{name}.gz" for base in bases), served[k])
        path = file(kind, f"{name}.gz", names=[name], remote=remote)
        data = content(path)
        if digests:
            check_digest(path, data, digests[k], f"the {name} of {kind}")
        found[part] = formats.parse_idx(data, path)
    return idx_dataset(found, kind, sizes=(60_000, 10_000))


def _idx_folder(folder: Path) -> Dataset:
    """The set in a folder of one's own."""
    found = {}
    for part, name in IDX_FILES.items():
        names = [stem + suffix for stem in (name, name.replace("-idx", ".idx")) for suffix in ("", ".gz")]
        path = next((folder / other for other in names if (folder / other).is_file()), None)
        if path is None:
            raise FileNotFoundError(
                f"there is none of {', '.join(names)} in {folder}; a set has four files of these names"
            )
        found[part] = formats.idx(path)
    last = max(int(found[part].max(initial=1)) for part in ("targets", "test_targets"))
    return idx_dataset(found, folder.name, classes=last + 1)


def _present(kind: str, name: str) -> bool:
    return any((folder / name).is_file() for folder in folders(kind))


def idx_dataset(
    found: dict[str, np.ndarray], kind: str, sizes: tuple[int, int] | None = None, classes: int = 10
) -> Dataset:
    """A dataset of the four arrays of an IDX set.

    Raises:
        ValueError: if images and labels do not belong together, or are not as many as `sizes` says.
    """
    images, labels = formats.labelled(found["inputs"], found["targets"], f"{kind}, training set")
    test_images, test_labels = formats.labelled(found["test_inputs"], found["test_targets"], f"{kind}, test set")
    if sizes and (len(images), len(test_images)) != sizes:
        raise ValueError(f"{kind} has {len(images)} and {len(test_images)} images, expected {sizes[0]} and {sizes[1]}")
    held_out = {"test_inputs": test_images[..., None], "test_targets": test_labels}
    return dataset(images[..., None], labels, **held_out, classes=classes, name=kind, images=True)


def cifar10(
    form: Literal["python", "binary", "jpeg"] | None = None, path: str | os.PathLike[str] | None = None
) -> Dataset:
    """CIFAR-10: 50 000 and 10 000 colour images of (32, 32, 3) bytes; 10 classes, airplane to truck.

    An archive is looked for in the subfolder `cifar10` of the folder that JAXDEC_DATA names, then in that of the user
    cache; the python form is else downloaded there. The JPEG form is the same images as files train/CLASS/NAME.jpg and
    test/CLASS/NAME.jpg, slightly changed by their coding, sorted by class: the dataset's name says so, and so should
    whoever reports an accuracy on it. It is decoded once, with Pillow, and kept as .npy files in the user cache.

    Args:
        form: of the archive; None takes the first that is found, of python, binary and JPEG.
        path: an archive to read in place of those, whose checksum is not tested; None means the python form there.

    Raises:
        FileNotFoundError: if there is no archive and none can be downloaded, with the names and the folders.
        ValueError: if an archive is corrupt, cut off or another one.

    Source: Krizhevsky, "Learning multiple layers of features from tiny images", 2009;
    https://www.cs.toronto.edu/~kriz/cifar.html.
    """
    if form is not None and form not in CIFAR10_FILES:
        raise ValueError(f"form is one of {', '.join(map(repr, CIFAR10_FILES))} or None; got {form!r}")
    if path is not None:
        given = expanded(path)
        return cifar10_folders(given) if form == "jpeg" else cifar10_batches(given, form or "python")
    chosen: str = form or next((f for f, name in CIFAR10_FILES.items() if _present("cifar10", name)), "python")
    name = CIFAR10_FILES[chosen]
    hint = f", or one of {', '.join(other for other in CIFAR10_FILES.values() if other != name)}"
    if chosen == "jpeg":
        return cifar10_folders(file("cifar10", name, hint=hint))
    checksum = CIFAR10_SHA256[chosen]
    remote = Remote((f"https://www.cs.toronto.edu/~kriz/{name}",), checksum)
    found = file("cifar10", name, remote=remote, hint=hint)
    check_digest(found, found.read_bytes(), checksum, f"the official {name}")
    return cifar10_batches(found, chosen)


def cifar10_batches(path: Path, form: str) -> Dataset:
    """The dataset in an archive of the python or the binary form, without a check of its checksum.

    Raises:
        ValueError: if it is corrupt or cut off, or batches are missing.
    """
    suffix, parse = ("", formats.cifar_pickle) if form == "python" else (".bin", formats.cifar_binary)
    wanted = [*(f"data_batch_{k}{suffix}" for k in range(1, 6)), f"test_batch{suffix}"]
    batches = {Path(name).name: data for name, data in formats.members(path) if Path(name).name in wanted}
    if missing := [name for name in wanted if name not in batches]:
        raise ValueError(f"{path} lacks {', '.join(missing)}; it is not CIFAR-10 in its {form} form")
    parsed = [parse(batches[name], f"{name} in {path}") for name in wanted]
    images, labels = (np.concatenate(arrays) for arrays in zip(*parsed[:-1], strict=True))
    return _cifar10(images, labels, *parsed[-1], name="cifar10")


def cifar10_folders(path: Path) -> Dataset:
    """The dataset in an archive of class folders, decoded once.

    Raises:
        ValueError: if it is corrupt or cut off, or its classes are not those of CIFAR-10.
    """
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    kept = {part: cache() / "cifar10" / f"{digest[:16]}-{part}.npy" for part in _PARTS}
    if not all(at.is_file() for at in kept.values()):
        found, classes = formats.class_folders(formats.members(path), str(path))
        if classes != CIFAR10_CLASSES:
            raise ValueError(f"{path} has the classes {classes}, expected {CIFAR10_CLASSES}")
        for part, at in kept.items():
            with atomic(at) as stream:
                np.save(stream, found[part])
    arrays: Any = [np.load(at, allow_pickle=False) for at in kept.values()]
    return _cifar10(*arrays, name="cifar10, JPEG-coded")


_PARTS = ("train_images", "train_labels", "test_images", "test_labels")


def _cifar10(images, labels, test_images, test_labels, *, name: str) -> Dataset:
    held_out = {"test_inputs": test_images, "test_targets": test_labels}
    return dataset(images, labels, **held_out, classes=10, name=name, images=True)
