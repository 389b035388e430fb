"""What would not fit into this machine's memory is refused before it is begun."""

import os
from functools import cache
from pathlib import Path

__all__ = ["CELL", "affordable", "machine", "readable"]

CELL = 4000  # bytes that a configuration of a sweep takes at least, before anything of it is computed


@cache
def machine() -> int:
    """Bytes of this machine's memory, or of what its container may use; a tebibyte where the system does not tell."""
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 2**40
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
        raise ValueError(
            f"{what} would take {readable(needed)} of memory, and this machine has {readable(there)}; {advice}"
        )


def readable(size: float) -> str:
    """A number of bytes in units of at most three digits.

    >>> readable(7_649_289_984), readable(8e11)
    ('7.65 GB', '800 GB')
    """
    units = ("bytes", "kB", "MB", "GB", "TB", "PB", "EB")
    size, k = float(min(size, 10**24)), 0
    while size >= 999.5 and k < len(units) - 1:
        size, k = size / 1000, k + 1
    return f"{size:.3g} {units[k]}"
