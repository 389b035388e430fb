"""Where a sweep runs: the configuration axis over a mesh of devices, of one host or of many.

Hosts find each other as JAX does: call `jax.distributed.initialize()` in every process before anything else (on Slurm,
Kubernetes and TPU pods without arguments), and `sweep` the same way in each. Every process computes its share, all get
all results, and process 0 alone reads and writes the store.
"""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxdec import placement

__all__ = [
    "CELL",
    "CPU_CHUNK",
    "agree",
    "default",
    "free",
    "gather",
    "mesh",
    "parse_bytes",
    "per_device",
    "place",
    "share",
]

CELL = "cell"  # the axis of the mesh
EVERYWHERE, CELLS = PartitionSpec(), PartitionSpec(CELL)


def mesh(devices: int | Sequence[Any] | None) -> Mesh:
    """The devices that configurations are spread over, see `placement.mesh`."""
    return placement.mesh(devices, CELL)


def default(where: Mesh) -> bool:
    """Whether this is the one device on which JAX computes anyway, so that nothing need be placed."""
    return where.size == 1 and jax.process_count() == 1 and where.devices.item() == jax.devices()[0]


def place(array: Any, where: Mesh, spec: PartitionSpec) -> jax.Array:
    """An array that every process has, on the devices of the mesh."""
    if default(where):
        return jnp.asarray(array)
    array = np.asarray(array)
    return jax.make_array_from_callback(array.shape, NamedSharding(where, spec), lambda index: array[index])


def gather(tree: Any) -> Any:
    """The arrays of a tree, whole, in every process."""
    if jax.process_count() > 1:
        return jax.tree.map(np.asarray, multihost_utils.process_allgather(tree, tiled=True))
    return jax.tree.map(np.asarray, tree)


def share(produce: Callable[[], bytes]) -> bytes:
    """What process 0 produces, in every process."""
    if jax.process_count() == 1:
        return produce()
    content = np.frombuffer(produce(), np.uint8) if jax.process_index() == 0 else np.empty(0, np.uint8)
    size = int(multihost_utils.broadcast_one_to_all(np.int32(content.size)))
    buffer = np.zeros(size, np.uint8) if jax.process_index() else content
    return np.asarray(multihost_utils.broadcast_one_to_all(buffer)).tobytes()


def agree(decide: Callable[[], Any]) -> Any:
    """What process 0 decides (something that JSON can hold), in every process; and its error, if there is one."""
    if jax.process_count() == 1:
        return decide()
    failed: list[Exception] = []

    def produce() -> bytes:
        try:
            return json.dumps({"value": decide()}).encode()
        except (ValueError, OSError) as error:
            failed.append(error)
            return json.dumps({"error": str(error)}).encode()

    answer = json.loads(share(produce))
    if failed:
        raise failed[0]
    if "error" in answer:
        raise ValueError(f"process 0: {answer['error']}")
    return answer["value"]


# On a CPU larger chunks are slower: 2000 step sizes of K-GT on ten-class digits took 61 s as a whole, 35 s in chunks
# within 400 MB and 39 s within 100 MB.
CPU_CHUNK = 400_000_000


def free(where: Mesh) -> int:
    """Bytes that a program should take at most on each device of the mesh, by what is free now."""
    found = []
    local = [d for d in where.devices.flat if d.process_index == jax.process_index()]
    for device in local:
        stats = device.memory_stats() or {}
        if "bytes_limit" in stats:
            found.append(stats["bytes_limit"] - stats["bytes_in_use"])
    return int(0.8 * min(found)) if found else min(int(0.7 * _host() / len(local)), CPU_CHUNK)


def per_device(total: int, where: Mesh) -> int:
    """A limit in bytes for each device: on a CPU, where a host's devices share its memory, each has its part."""
    local = sum(d.process_index == jax.process_index() for d in where.devices.flat)
    return total // local if where.devices.flat[0].platform == "cpu" else total


def _host() -> int:
    """The memory of this host that is available to this process, in bytes, on Linux within its control group."""
    meminfo = Path("/proc/meminfo")
    if not meminfo.exists():
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    lines = dict(line.split(":") for line in meminfo.read_text().splitlines())
    available = int(lines["MemAvailable"].split()[0]) * 1024
    group = Path("/sys/fs/cgroup")
    try:
        limit, used = (group / "memory.max").read_text().strip(), int((group / "memory.current").read_text())
    except OSError:  # not in a control group of the second kind
        return available
    return available if limit == "max" else min(available, max(int(limit) - used, 0))


def parse_bytes(memory: int | float | str) -> int:
    """A number of bytes, or a text such as '2GB', '500 MB' or '1.5GiB'.

    Raises:
        ValueError: if it is neither, or not positive.

    >>> parse_bytes("2GB"), parse_bytes("1.5 GiB"), parse_bytes(1e6)
    (2000000000, 1610612736, 1000000)
    """
    text = str(memory).strip().lower().removesuffix("b")
    units = {f"{u}{i}": (1024 if i else 1000) ** k for k, u in enumerate(("", "k", "m", "g", "t")) for i in ("", "i")}
    unit = next((u for u in sorted(units, key=len, reverse=True) if u and text.endswith(u)), "")
    try:
        found = float(text.removesuffix(unit)) * units[unit]
    except ValueError:
        found = 0.0
    if not 0 < found < float("inf"):
        raise ValueError(f"memory is a positive number of bytes, or a text such as '2GB'; got {memory!r}")
    return int(found)
