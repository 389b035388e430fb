"""Finding files: the folder that `JAXDEC_DATA` names, then the user cache, then a download with a checksum.

A set of the kind "mnist" lies in the subfolder `mnist` of either. The user cache is the folder that `JAXDEC_CACHE`
names, else the platform's, such as `~/.cache/jaxdec`; what is downloaded or decoded goes there. Both variables may use
`~` and other variables.
"""

import bz2
import gzip
import hashlib
import lzma
import os
import re
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple
from urllib.parse import urlsplit

import pooch

__all__ = [
    "TIMEOUT",
    "Remote",
    "atomic",
    "cache",
    "check_digest",
    "content",
    "download",
    "expanded",
    "file",
    "folders",
    "opened",
]

TIMEOUT = 20.0  # seconds without an answer, after which a server counts as out of reach


class Remote(NamedTuple):
    """A file that can be downloaded: from where, and what its bytes hash to."""

    urls: tuple[str, ...]  # tried in this order
    sha256: str  # of the file as it is served


def cache() -> Path:
    """The user cache; it need not exist."""
    return _named("JAXDEC_CACHE") or pooch.os_cache("jaxdec")


def folders(kind: str) -> list[Path]:
    """Where files of a kind are looked for, in this order."""
    data = _named("JAXDEC_DATA")
    return [*([data / kind] if data else []), cache() / kind]


def _named(variable: str) -> Path | None:
    """The folder that a variable names, with what it uses filled in; None where it is not set.

    Raises:
        ValueError: if it uses a variable that is not set, or the home of nobody.
    """
    return expanded(given, variable) if (given := os.environ.get(variable)) else None


def expanded(given: str | os.PathLike[str], what: str = "the path") -> Path:
    """A path with `~` and environment variables filled in; what lies there under that very name comes first.

    Raises:
        ValueError: if it uses a variable that is not set, or the home of nobody.
    """
    if os.path.exists(given):
        return Path(given)
    path = os.path.expanduser(os.path.expandvars(given))
    if unknown := re.search(r"\$\w+|\$\{[^}]*\}|^~[^/\\]*", path):
        raise ValueError(f"{what} is {str(given)!r}, and there is no {unknown[0]}; name a folder")
    return Path(path)


def file(
    kind: str,
    path_or_name: str | os.PathLike[str],
    *,
    names: Sequence[str] = (),
    remote: Remote | None = None,
    hint: str = "",
) -> Path:
    """The path of a file that is given, or that lies in a folder of its kind, or that is downloaded there.

    Args:
        kind: the subfolder, such as "mnist" or "libsvm".
        path_or_name: a file, whose path may use `~` and environment variables, or the name of one.
        names: other names that the file may have.
        remote: where it can be had; None if nowhere.
        hint: what the error says about where to get it.

    Raises:
        FileNotFoundError: if it is nowhere, with the names and the folders that were tried, and why it was not
            downloaded.
        ValueError: if what was downloaded has the wrong checksum.
    """
    given, places = expanded(path_or_name), folders(kind)
    if given.is_file():
        return given
    names = [str(path_or_name), *names]
    for place in places:
        for name in names:
            if (place / name).is_file():
                return place / name
    failed = ""
    if remote is not None:
        try:
            return download(remote, places[-1] / names[0])
        except OSError as error:
            failed = f" It could not be downloaded: {error}."
    unset = "" if os.environ.get("JAXDEC_DATA") else f"the subfolder {kind} of the folder JAXDEC_DATA (not set) or "
    where = unset + " or ".join(map(str, places))
    also = f" (nor {', '.join(names[1:])})" if names[1:] else ""
    raise FileNotFoundError(f"there is no file {names[0]!r}, and none in {where}{also}.{failed} Put it there{hint}")


def download(remote: Remote, path: Path) -> Path:
    """The file of `remote` at `path`, which is written whole or not at all.

    Raises:
        OSError: if no address has the file, or it cannot be written.
        ValueError: if the bytes have another checksum, or an address is neither https nor on this machine.
    """
    for url in remote.urls:
        if urlsplit(url).scheme != "https" and urlsplit(url).hostname not in ("localhost", "127.0.0.1"):
            raise ValueError(f"{url} is not https: what comes from there can be changed on the way")
    # Any: the signature of pooch's own downloaders is not the one that retrieve asks for
    fetch: Any = pooch.HTTPDownloader(progressbar=True, timeout=TIMEOUT, chunk_size=1 << 16)
    failures = []
    for url in remote.urls:
        try:
            pooch.retrieve(url, f"sha256:{remote.sha256}", path.name, path.parent, downloader=fetch)
            return path
        except OSError as error:  # those of requests among them
            failures.append(f"{url}: {error}")
        except ValueError as error:
            raise ValueError(f"{url}: {error} Try again, or put a good copy in {path.parent}") from error
    raise OSError("; ".join(failures))


@contextmanager
def atomic(path: Path) -> Iterator[IO[bytes]]:
    """A file to write, which is at `path` once the block has ended, and nowhere if it fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


_OPENERS = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The file's content, uncompressed if it is gzip, bzip2 or xz, whatever its name.

    Raises:
        ValueError: if the compressed data are corrupt or cut off.
    """
    with path.open("rb") as file:
        start = file.read(6)
    opener: Any = next((opener for magic, opener in _OPENERS.items() if start.startswith(magic)), open)
    try:
        with opener(path, "rb") as file:
            yield file
    except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the system's; those of corrupt data have no number
        raise ValueError(f"{path} is corrupt or cut off: {error}. Fetch it again") from error


def content(path: Path) -> bytes:
    """All of the file's content, uncompressed."""
    with opened(path) as file:
        return file.read()


def check_digest(path: Path, data: bytes, sha256: str, what: str) -> None:
    """Refuse content that is not the one expected.

    Raises:
        ValueError: with both checksums.
    """
    if (found := hashlib.sha256(data).hexdigest()) != sha256:
        raise ValueError(
            f"{path} is not {what}: its content has sha256 {found}, expected {sha256}. It is corrupt, cut off or "
            "another file; fetch it again, or read it by path"
        )
