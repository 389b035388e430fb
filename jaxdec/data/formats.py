"""Reading the formats that data sets come in. What does not add up is refused whole."""

import io
import math
import pickle
import struct
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from jaxdec.data.files import content, opened

__all__ = ["IDX_DTYPES", "cifar_binary", "cifar_pickle", "class_folders", "idx", "labelled", "members", "parse_idx"]

IDX_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def idx(path: Path) -> np.ndarray:
    """The array in a file of the IDX format, gzip or not.

    The format: two zero bytes, a byte for the type, one for the number of dimensions, the dimensions as big-endian
    32-bit integers, then the values.

    Raises:
        ValueError: if the header is not IDX, or announces another number of bytes than the file has.
    """
    return parse_idx(content(path), path)


def parse_idx(data: bytes, path: Path) -> np.ndarray:
    """The array in the bytes of an IDX file; see `idx`."""
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in IDX_DTYPES:
        raise ValueError(
            f"{path} is not an IDX file: it starts with {data[:4].hex(' ') or 'nothing'}, expected 00 00, then a type "
            f"among {', '.join(f'{k:02x}' for k in IDX_DTYPES)}"
        )
    dtype, dimensions = np.dtype(IDX_DTYPES[data[2]]), data[3]
    start = 4 + 4 * dimensions
    shape = struct.unpack(f">{dimensions}I", data[4:start]) if len(data) >= start else ()
    expected = start + math.prod(shape) * dtype.itemsize
    if len(data) < start or len(data) != expected:
        raise ValueError(
            f"{path} has {len(data)} bytes, but its header says {dimensions} dimensions {shape}, {expected} bytes; "
            "it is cut off or corrupt: fetch it again"
        )
    return np.frombuffer(data, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))


def labelled(images: np.ndarray, labels: np.ndarray, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Images and their labels as they are, if they are images of bytes, labels of bytes, and equally many.

    Raises:
        ValueError: otherwise.
    """
    if images.dtype != np.uint8 or images.ndim < 2 or labels.dtype != np.uint8 or labels.ndim != 1:
        raise ValueError(
            f"{where}: images have shape {images.shape} {images.dtype} and labels {labels.shape} {labels.dtype}; "
            "expected unsigned bytes, (N, height, width) and (N,). Were the two files swapped?"
        )
    if len(images) != len(labels):
        raise ValueError(f"{where}: {len(images)} images but {len(labels)} labels; one of the files is another set's")
    return images, labels


def cifar_binary(data: bytes, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 32, 32, 3) and labels (N,) of CIFAR-10's binary form: a label, then red, green and blue planes.

    Raises:
        ValueError: if the bytes are not whole records, or a label is not in 0..9.
    """
    if len(data) == 0 or len(data) % 3073:
        raise ValueError(f"{name} has {len(data)} bytes, not a positive multiple of a record's 3073; it is cut off")
    records = np.frombuffer(data, np.uint8).reshape(-1, 3073)
    return _planes(records[:, 1:]), _ten(records[:, 0], name)


def cifar_pickle(data: bytes, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 32, 32, 3) and labels (N,) of CIFAR-10's python form: a pickled dict with `data` and `labels`.

    Raises:
        ValueError: if it holds anything but plain data and arrays, or those of another shape.
    """
    try:
        batch = _ArraysOnly(io.BytesIO(data), encoding="bytes").load()
        pixels, labels = np.asarray(batch[b"data"]), np.asarray(batch[b"labels"])
    except (pickle.UnpicklingError, EOFError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise ValueError(f"{name} is not a batch of CIFAR-10's python form: {error!r}") from error
    if pixels.dtype != np.uint8 or pixels.shape != (len(labels), 3072):
        raise ValueError(
            f"{name} has data of shape {pixels.shape} {pixels.dtype} and {len(labels)} labels; expected (N, 3072) "
            "unsigned bytes and N labels"
        )
    return _planes(pixels), _ten(labels, name)


class _ArraysOnly(pickle.Unpickler):
    """Reads plain data and NumPy arrays; a pickle that asks for anything else, and so could run code, is refused."""

    ALLOWED: ClassVar[dict[str, Any]] = {
        "_reconstruct": np._core.multiarray._reconstruct,
        "ndarray": np.ndarray,
        "dtype": np.dtype,
    }

    def find_class(self, module: str, name: str) -> Any:
        if module.split(".")[0] == "numpy" and name in self.ALLOWED:
            return self.ALLOWED[name]
        if (module, name) == ("_codecs", "encode"):  # how Python 3 writes bytes in an old protocol
            return lambda text, encoding: text.encode(encoding) if isinstance(text, str) else text
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


def _planes(pixels: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))


def _ten(labels: np.ndarray, name: str) -> np.ndarray:
    if np.any(outside := (labels < 0) | (labels > 9)):
        raise ValueError(f"{name} has the label {labels[outside][0]}, expected 0..9; it is another file, or corrupt")
    return labels.astype(np.int32)


def members(path: Path) -> Iterator[tuple[str, bytes]]:
    """The names and contents of the files in a tar archive, compressed or not, in its order.

    Raises:
        ValueError: if the archive is corrupt or cut off.
    """
    try:
        with opened(path) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                if member.isfile() and (file := archive.extractfile(member)):
                    yield member.name, file.read()
    except tarfile.TarError as error:
        raise ValueError(f"{path} is not a tar archive, or is cut off: {error}. Fetch it again") from error


def class_folders(files: Iterable[tuple[str, bytes]], where: str) -> tuple[dict[str, Any], list[str]]:
    """Arrays of images in files SPLIT/CLASS/NAME, SPLIT being train or test, sorted by class and name.

    Returns:
        a dict of `train_images` (N, height, width, 3) uint8, `train_labels` (N,) int32 and the same for `test_`; and
        the names of the classes, sorted: label k is the k-th.

    Raises:
        ValueError: if a file is not where it should be, is no image, or differs in size; or if train and test do not
            have the same classes.
    """
    from PIL import Image, UnidentifiedImageError

    decoded: dict[tuple[str, str, str], np.ndarray] = {}
    for name, data in files:
        parts = Path(name).parts
        if len(parts) != 3 or parts[0] not in ("train", "test"):
            raise ValueError(f"{where} has the file {name}; expected only train/CLASS/NAME and test/CLASS/NAME")
        try:
            with Image.open(io.BytesIO(data)) as image:
                decoded[parts[0], parts[1], parts[2]] = np.asarray(image.convert("RGB"))
        except (UnidentifiedImageError, OSError) as error:
            raise ValueError(f"{name} in {where} is not an image: {error}") from error
    if len(shapes := {image.shape for image in decoded.values()}) != 1:
        raise ValueError(
            f"{where} has images of the shapes {sorted(shapes)}; expected one shape, and at least one image"
        )
    classes = {split: sorted({key[1] for key in decoded if key[0] == split}) for split in ("train", "test")}
    if classes["train"] != classes["test"]:
        raise ValueError(f"{where} has the classes {classes['train']} to train and {classes['test']} to test")
    number = {name: k for k, name in enumerate(classes["train"])}
    found: dict[str, Any] = {}
    for split in ("train", "test"):
        keys = sorted(key for key in decoded if key[0] == split)
        found[f"{split}_images"] = np.stack([decoded[key] for key in keys])
        found[f"{split}_labels"] = np.array([number[key[1]] for key in keys], np.int32)
    return found, classes["train"]
