"""Which process wrote a file, and whether it is still there."""

import hashlib
import os
import socket
from functools import cache
from pathlib import Path

__all__ = ["ended", "this"]


@cache
def _place() -> str:
    """A digest of where the numbers of processes mean something: a host since it was started, or a container on it."""
    about = [socket.gethostname()]
    for source in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        path = Path(source)
        if path.is_symlink():
            about.append(os.readlink(path))
        elif path.exists():
            about.append(path.read_text().strip())
    return hashlib.sha256(" ".join(about).encode()).hexdigest()[:12]


def this() -> str:
    """The process that asks, by its place, its number and when it began: no other one ever has all three."""
    pid = os.getpid()
    return f"{_place()}-{pid}-{_begun(pid)}"


def ended(process: str) -> bool:
    """Whether a process, as `this` named it, is known to be over. Of one elsewhere nothing is known."""
    place, _, rest = process.partition("-")
    pid, _, begun = rest.partition("-")
    if place != _place() or not pid.isdigit() or os.name == "nt":
        return False
    return _begun(int(pid)) != begun


def _begun(pid: int) -> str:
    """When a process began, in ticks since the host did; "" where there is none, "0" where nobody says."""
    if Path("/proc/self/stat").exists():
        try:
            state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return ""
        return "" if state in "ZX" else fields[18]
    if os.name == "nt":
        return "0"
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:  # somebody else's
        pass
    return "0"
