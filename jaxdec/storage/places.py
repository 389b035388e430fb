"""Paths as users write them, and whether something can be written there."""

import os
import re
import tempfile
from pathlib import Path
from urllib.parse import unquote

__all__ = ["as_file", "from_file", "located", "writable"]


def located(path: str | os.PathLike[str]) -> Path:
    """The path with `~` and variables of the environment filled in.

    Raises:
        ValueError: if a part of it is a variable that is not set, or the home of nobody, and no file or folder either.

    >>> os.environ["JAXDEC_EXAMPLE"] = "runs"
    >>> located("$JAXDEC_EXAMPLE/a [draft]").parts
    ('runs', 'a [draft]')
    """
    found = Path(os.path.expanduser(os.path.expandvars(path)))
    for k, part in enumerate(found.parts):
        unset = re.fullmatch(r"\$\w+|\$\{\w+\}", part) or (k == 0 and part.startswith("~"))
        if unset and not Path(*found.parts[: k + 1]).exists():
            raise ValueError(f"{os.fspath(path)}: there is no {part} in the environment; set it, or write another path")
    return found


def writable(path: Path, folder: bool = False) -> Path:
    """A file, or a folder, that can be written; the folders that it lies in are made.

    Raises:
        OSError: if it cannot, so that nothing is computed first.
    """
    where = path if folder else path.parent
    if not folder and path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; give the name of a file")
    if not folder and path.exists() and not os.access(path, os.W_OK):
        raise PermissionError(f"{path} is there and may not be written; give another file")
    try:
        where.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=where):
            pass
    except OSError as error:
        raise OSError(f"nothing can be written in {where}: {error.strerror}; give another place") from error
    return path


def as_file(name: str) -> str:
    """A name as that of a file or of an array in an archive: what neither takes is written as in an address, `%2F`.

    >>> as_file("test_loss"), as_file("K-GT [ours]"), as_file("a/b"), as_file(".x")
    ('test_loss', 'K-GT [ours]', 'a%2Fb', '%2Ex')
    """
    odd = r"[/\\%\x00-\x1f\x7f\ud800-\udfff]|^\.|^__"
    return re.sub(odd, lambda found: "".join(f"%{b:02X}" for b in found[0].encode("utf-8", "surrogatepass")), name)


def from_file(found: str) -> str:
    """The name that `as_file` was given.

    >>> from_file("a%2Fb")
    'a/b'
    """
    return unquote(found, errors="surrogatepass")
