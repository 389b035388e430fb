"""Devices as one axis, and what is laid along it: the configurations of a sweep, or the nodes of one run."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

__all__ = ["NODE", "mesh", "nodes", "over_nodes"]

NODE = "node"


def mesh(devices: int | Sequence[Any] | None, axis: str) -> Mesh:
    """The devices as one axis. None takes all, of all hosts; an integer the first so many.

    Raises:
        ValueError: if there are not so many, or some process would be left without.
    """
    everything = jax.devices()
    if isinstance(devices, int | np.integer) and not isinstance(devices, bool):
        if not 1 <= devices <= len(everything):
            raise ValueError(f"devices={devices}, but there are {len(everything)}: {everything}")
        chosen = everything[:devices]
    else:
        chosen = everything if devices is None else list(devices) if isinstance(devices, Sequence) else []
    if not chosen or not all(isinstance(d, jax.Device) for d in chosen) or len(set(chosen)) < len(chosen):
        raise ValueError(f"devices is a number of devices, a list of different ones, or None for all; got {devices!r}")
    if (used := {d.process_index for d in chosen}) != set(range(jax.process_count())):
        raise ValueError(
            f"the devices given are those of processes {sorted(used)} of {jax.process_count()}; every process that "
            "makes this call takes part with at least one device"
        )
    return Mesh(np.asarray(chosen), (axis,))


def nodes(devices: int | Sequence[Any] | None, n: int) -> Mesh | None:
    """The devices that n nodes are laid over in equal shares; None where none are named.

    Raises:
        ValueError: if they cannot be, or belong to several processes.
    """
    if devices is None:
        return None
    where = mesh(devices, NODE)
    if jax.process_count() > 1:
        raise ValueError(f"run lays nodes over the devices of one process, and there are {jax.process_count()}")
    if n % where.size:
        shares = [k for k in range(where.size, 0, -1) if n % k == 0]
        raise ValueError(f"{n} nodes have no equal shares on {where.size} devices; take devices={shares[0]}")
    return where


def over_nodes(tree: PyTree, n: int, where: Mesh | None) -> PyTree:
    """Arrays whose first axis is that of the nodes, in equal shares on the devices; all else as it was.

    Where an array lies changes nothing of what is computed with it: one that only happens to have n rows may lie so
    too.
    """
    if where is None:
        return tree
    rows = NamedSharding(where, PartitionSpec(NODE))
    of_nodes = lambda a: isinstance(a, jax.Array | np.ndarray) and a.ndim > 0 and a.shape[0] == n
    return jax.tree.map(lambda a: jax.device_put(jnp.asarray(a), rows) if of_nodes(a) else a, tree)
