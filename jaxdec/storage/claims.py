"""Claims: which of several processes does what, said by files on a file system that they share.

A claim is a file that is created if it is not there, which every file system does once. Its holder touches it every few
seconds; one that nobody touches any more, or whose process is known to be over, is stale and is taken over. The files
of a claim are numbered: the one of the highest number holds, so that of several processes that find it stale one alone
creates the next.
"""

import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from jaxdec.storage.files import unwritten
from jaxdec.storage.processes import ended, this

__all__ = ["BEAT", "STALE", "Claims"]

BEAT = 5.0  # seconds from one touch to the next
STALE = 60.0  # seconds after which a claim that was not touched is nobody's; NFS may hide a touch for some of them


class Claims:
    """The claims of one process, in a directory."""

    def __init__(self, path: Path):
        self.path = path
        self.held: dict[str, Path] = {}
        self.text = ""  # what the claims of this process say
        self._seen: dict[Path, tuple[object, float]] = {}  # when a claim was first seen as it is
        self._stop = threading.Event()

    def take(self, name: str) -> bool:
        """Claim something, unless another process has.

        Raises:
            OSError: if the directory does not let itself be written.
        """
        files = self._files(name)
        said = {file: _said(file) for file in files}
        if files and self._holds(files[-1]):
            return False
        file = self.path / f"{name}.{_number(files[-1]) + 1 if files else 0}"
        about = {"process": this(), "host": socket.gethostname(), "id": secrets.token_hex(8)}
        self.text = self.text or json.dumps(about)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with open(file, "x") as opened:
                opened.write(self.text)
        except FileExistsError:
            return False
        except OSError as error:
            with suppress(OSError):
                file.unlink(missing_ok=True)
            raise unwritten(file, error) from error
        now, new = self._files(name), lambda other: other not in said or _said(other) != said[other]
        if now[-1:] != [file] or any(self._holds(other) for other in now[:-1] if new(other)):
            file.unlink(missing_ok=True)  # this one had looked before another took it over and gave it up: no turn yet
            return False
        for stale in files:
            if not new(stale):
                stale.unlink(missing_ok=True)
        if not self.held:
            self._stop = threading.Event()
            threading.Thread(target=self._beat, args=(self._stop,), daemon=True).start()
        self.held[name] = file
        return True

    def mine(self, name: str) -> bool:
        """Whether what was claimed still is: a process that slept for long may have lost it to another."""
        files = self._files(name)
        return bool(files) and files[-1] == self.held.get(name) and _read(files[-1])[0] == self.text

    def free(self, name: str) -> None:
        """Give up a claim."""
        lost = not self.mine(name)
        if (file := self.held.pop(name, None)) is not None and not lost:
            file.unlink(missing_ok=True)
        if not self.held:
            self._stop.set()

    def free_all(self) -> None:
        """Give up all claims."""
        for name in list(self.held):
            self.free(name)

    def clean(self) -> None:
        """Remove the claims of processes that ended when what they claimed was done."""
        with suppress(OSError):  # there are none, or the directory is not to be written
            for name in {file.name.rpartition(".")[0] for file in self.path.iterdir()} - self.held.keys():
                with self.tried(name):
                    pass

    @contextmanager
    def tried(self, name: str) -> Iterator[bool]:
        """Hold a claim, where no other process has it; whether that is so."""
        held = self.take(name)
        try:
            yield held
        finally:
            if held:
                self.free(name)

    @contextmanager
    def alone(self, name: str) -> Iterator[None]:
        """Wait for a claim, which others have for moments alone, and hold it for a while."""
        while not self.take(name):
            time.sleep(0.01)
        try:
            yield
        finally:
            self.free(name)

    def _files(self, name: str) -> list[Path]:
        """The files of a claim by their numbers."""
        try:
            there = [path for path in self.path.iterdir() if path.name.rpartition(".")[0] == name]
        except FileNotFoundError:
            return []
        return sorted((path for path in there if path.suffix[1:].isdigit()), key=_number)

    def _holds(self, file: Path) -> bool:
        """Whether a claim is that of a process that goes on."""
        try:
            seen = text, _ = _read(file)
        except FileNotFoundError:  # it has just been given up
            return True
        with suppress(ValueError, KeyError, TypeError):
            if ended(json.loads(text)["process"]):
                return False
        now = time.monotonic()  # clocks of several machines differ: what counts is how long it has been seen unchanged
        before, since = self._seen.get(file, (None, now))
        self._seen[file] = seen, since if before == seen else now
        return now - self._seen[file][1] < STALE

    def _beat(self, stop: threading.Event) -> None:
        while not stop.wait(BEAT):
            for file in list(self.held.values()):
                with suppress(OSError):  # lost, or the disk is: what is written next will say so
                    os.utime(file)


def _number(file: Path) -> int:
    return int(file.suffix[1:])


def _said(file: Path) -> str | None:
    """What a claim says; None where it is gone."""
    try:
        return _read(file)[0]
    except FileNotFoundError:
        return None


def _read(file: Path) -> tuple[str, int]:
    """What a claim says and when it was touched; opened, since NFS then asks its server."""
    with open(file, errors="replace") as opened:
        return opened.read(), os.fstat(opened.fileno()).st_mtime_ns
