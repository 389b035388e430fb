"""What would not fit in this machine's memory, told before it is allocated."""

import os

__all__ = ["fits", "installed", "readable"]


def installed() -> int:
    """Bytes of this machine's memory, or of what its container may use; a tebibyte where the system does not tell."""
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 2**40
    try:
        with open("/sys/fs/cgroup/memory.max", encoding="ascii") as limit:
            return min(size, int(limit.read()))
    except (OSError, ValueError):  # no such file, or "max"
        return size


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


def fits(what: str, size: float, advice: str) -> None:
    """Refuse what would take more memory than this machine has.

    Raises:
        ValueError: with both sizes.
    """
    if size > (most := installed()):
        raise ValueError(f"{what} would take {readable(size)}, and this machine has {readable(most)}; {advice}")
