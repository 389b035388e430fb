"""Which codecs a Zarr directory from elsewhere may name: those that turn bytes into numbers, and run nothing.

Zarr finds a codec by the name that the metadata gives, and some of those that are registered unpickle what they are
given. So the names are looked at before anything is opened.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jaxdec.storage.files import read_json

__all__ = ["CODECS", "METADATA", "check_codecs"]

METADATA = (".zarray", ".zmetadata", "zarr.json")
_PLAIN = ("blosc", "bz2", "crc32c", "delta", "gzip", "lz4", "lzma", "shuffle", "zlib", "zstd")
_TEXTS = ("vlen-utf8", "vlen-bytes")
CODECS = frozenset({*_PLAIN, *_TEXTS, "bytes", "transpose", "sharding_indexed"} | {f"numcodecs.{k}" for k in _PLAIN})


def check_codecs(path: Path) -> None:
    """Refuse a Zarr directory whose metadata name a codec that is not known to be harmless.

    Raises:
        ValueError: naming the file and the codec.
    """
    for file in _metadata(path, set()):
        if unknown := sorted({*_codecs(read_json(file))} - CODECS):
            raise ValueError(
                f"{file} names the codec {', '.join(unknown)}, which may run what is in the file, and is not opened. "
                f"Known are {', '.join(sorted(CODECS))}"
            )


def _metadata(path: Path, met: set[Path]) -> Iterator[Path]:
    """All files of metadata below a directory, through links too, as Zarr goes."""
    if path.resolve() in met:
        return
    met.add(path.resolve())
    for file in sorted(path.iterdir()):
        if file.is_dir():
            yield from _metadata(file, met)
        elif file.name in METADATA:
            yield file


def _codecs(found: Any) -> Iterator[str]:
    """The codecs that metadata name, of version 2 by `id` and of version 3 by `name`, wherever they are nested."""
    if isinstance(found, list):
        for value in found:
            yield from _codecs(value)
    if not isinstance(found, dict):
        return
    for key, value in found.items():
        if key in ("compressor", "filters", "codecs", "index_codecs"):
            for codec in value if isinstance(value, list) else [value]:
                if codec is not None:
                    yield _name(codec)
        yield from _codecs(value)


def _name(codec: Any) -> str:
    name = codec.get("id", codec.get("name")) if isinstance(codec, dict) else codec
    return name if isinstance(name, str) else repr(codec)
