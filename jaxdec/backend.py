"""What JAX is told before it computes: a device for each core of a CPU, and programs that are kept.

The command line calls `begin`. Of one's own program, where it is wanted, it is the first thing.
"""

import hashlib
import os
import platform
from pathlib import Path

import jax

from jaxdec.data.files import cache

__all__ = ["MOST", "begin", "cores"]

MOST = 16  # devices of a CPU: a program is compiled for all of them
DEVICES = "--xla_force_host_platform_device_count"


def begin() -> None:
    """Make each core of a CPU a device, and keep compiled programs from one process to the next.

    Where one sweep does not fill the cores its configurations are spread over them. Programs are kept in the folder
    `programs` of the user cache, `JAXDEC_CACHE`, for this kind of processor. What is set already, `XLA_FLAGS` with a
    number of devices or `JAX_COMPILATION_CACHE_DIR`, stays. Call it before anything is computed: a number of devices
    that comes later changes nothing.

    >>> begin()  # doctest: +SKIP
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if DEVICES not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {DEVICES}={min(cores(), MOST)}".strip()
    if not jax.config.jax_compilation_cache_dir:  # type: ignore[attr-defined]
        jax.config.update("jax_compilation_cache_dir", str(cache() / "programs" / _processor()))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> str:
    """A name for what programs are compiled for: machines that share a folder may differ in it."""
    known, named = Path("/proc/cpuinfo"), [platform.machine(), platform.processor()]
    if known.exists():
        lines = dict.fromkeys(
            line for line in known.read_text().splitlines() if line.startswith(("model name", "flags"))
        )
        named += lines
    return hashlib.sha256("\n".join(named).encode()).hexdigest()[:8]
