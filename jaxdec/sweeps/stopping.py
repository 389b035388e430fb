"""What the signals mean with which people and batch systems stop a sweep."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Terminated", "terminable"]


class Terminated(SystemExit):
    """SIGTERM has come: a program that does not catch it ends with the status 143, as it would have."""


@contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM raises `Terminated` here, where nobody else deals with it."""
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _raised)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _raised(number: int, frame: FrameType | None) -> None:
    raise Terminated(128 + number)
