"""What would not fit into this machine's memory is refused before it is begun."""

import os
from pathlib import Path

__all__ = ["CELL", "affordable", "machine"]

CELL = 4000  # bytes that a configuration of a sweep takes at least, before anything of it is computed


def machine() -> int:
    """The bytes of this machine's memory, or of this process's control group if that has fewer."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:  # not in a control group of the second kind
        return total
    return min(total, int(limit)) if limit.isdigit() else total


def affordable(what: str, needed: float, advice: str) -> None:
    """Refuse what takes more bytes than the machine has.

    Raises:
        ValueError: with how many it would take, and how many there are.
    """
    if needed > (there := machine()):
        raise ValueError(f"{what} would take {_size(needed)} of memory, and this machine has {_size(there)}; {advice}")


def _size(count: float) -> str:
    unit = next((u for u in ("TB", "GB", "MB") if count >= _UNITS[u]), "kB")
    return f"{count / _UNITS[unit]:.3g} {unit}"


_UNITS = {"TB": 1e12, "GB": 1e9, "MB": 1e6, "kB": 1e3}
