"""Finding files: the folder that `JAXDEC_DATA` names, then the user cache, then a download with a checksum.

A set of the kind "mnist" lies in the subfolder `mnist` of either. The user cache is the folder that `JAXDEC_CACHE`
names, else `jaxdec` in `XDG_CACHE_HOME`, else `~/.cache/jaxdec`; what is downloaded or decoded goes there.
"""

import bz2
import gzip
import hashlib
import http.client
import lzma
import os
import tempfile
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

TIMEOUT = 20.0  # seconds without an answer, after which a server counts as out of reach


class Remote(NamedTuple):
    """A file that can be downloaded: from where, and what its bytes hash to."""

    urls: tuple[str, ...]  # tried in this order
    checksum: str  # "md5:..." or "sha256:..." of the file as it is served


def cache() -> Path:
    """The user cache; it need not exist."""
    if folder := os.environ.get("JAXDEC_CACHE"):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jaxdec"


def folders(kind: str) -> list[Path]:
    """Where files of a kind are looked for, in this order."""
    data = os.environ.get("JAXDEC_DATA")
    return [*([Path(data) / kind] if data else []), cache() / kind]


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
        path_or_name: a file, or the name of one.
        names: other names that the file may have.
        remote: where it can be had; None if nowhere.
        hint: what the error says about where to get it.

    Raises:
        FileNotFoundError: if it is nowhere, with the names and the folders that were tried, and why it was not
            downloaded.
        ValueError: if what was downloaded has the wrong checksum.
    """
    given, places = Path(path_or_name), folders(kind)
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
        OSError: if no address answers.
        ValueError: if the bytes have another checksum.
    """
    failures = []
    for url in remote.urls:
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
                return _store(answer, remote.checksum, url, path)
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            failures.append(f"{url}: {getattr(error, 'reason', None) or error}")
    raise OSError("; ".join(failures))


def _store(answer, checksum: str, url: str, path: Path) -> Path:
    """The answer's bytes, checked, at `path`."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.new(checksum.partition(":")[0])
    size = answer.headers.get("Content-Length")
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    with atomic(path) as file, Progress(*columns) as progress:
        task = progress.add_task(path.name, total=int(size) if size else None)
        while block := answer.read(1 << 16):
            digest.update(block)
            file.write(block)
            progress.advance(task, len(block))
        if digest.hexdigest() != checksum.partition(":")[2]:
            raise ValueError(
                f"{url} has {digest.name} {digest.hexdigest()}, expected {checksum.partition(':')[2]}: the file was "
                f"cut off or is another one. Nothing was kept; try again, or put a good copy in {path.parent}"
            )
    return path


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
    except (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError) as error:
        raise ValueError(f"{path} is corrupt or cut off: {error}. Fetch it again") from error


def content(path: Path) -> bytes:
    """All of the file's content, uncompressed."""
    with opened(path) as file:
        return file.read()


def check_digest(path: Path, data: bytes, checksum: str, what: str) -> None:
    """Refuse content that is not the one expected.

    Raises:
        ValueError: with both checksums.
    """
    kind, _, expected = checksum.partition(":")
    if (found := hashlib.new(kind, data).hexdigest()) != expected:
        raise ValueError(
            f"{path} is not {what}: its content has {kind} {found}, expected {expected}. It is corrupt, cut off or "
            "another file; fetch it again, or read it by path"
        )
