"""Networks on top of each other: what differs between them without changing what is computed is made equal."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from jaxdec.networks.failing import Lossy, Sleeping
from jaxdec.networks.families import Static
from jaxdec.networks.operators import NeighbourTable
from jaxdec.networks.varying import Varying

__all__ = ["alike"]


def alike(networks: list[Any]) -> list[Any]:
    """The networks, ready to run in one program where their operators have one form.

    What a network provides has been checked by now, so it no longer sets networks apart. Neighbour tables of as many
    nodes get as many slots and arcs, those added weighing 0: `W @ x` stays what it is, to the last bit.
    """
    distinct = {id(network): network for network in networks}
    tables = [t for network in distinct.values() for t in _tables(network)]
    changed = {key: _plain(network, tables) for key, network in distinct.items()}
    return [changed[id(network)] for network in networks]


def _is_table(node: Any) -> bool:
    return isinstance(node, NeighbourTable)


def _tables(network: Any) -> list[NeighbourTable]:
    return [node for node in jax.tree.leaves(network, is_leaf=_is_table) if _is_table(node)]


def _plain(network: Any, tables: list[NeighbourTable]) -> Any:
    if isinstance(network, Static | Varying):
        network = dataclasses.replace(network, provides=frozenset())
    if isinstance(network, Varying):
        network = dataclasses.replace(network, exact_after=None)
    if isinstance(network, Lossy | Sleeping):
        network = dataclasses.replace(network, inner=_plain(network.inner, tables))
    pad = lambda node: _padded(node, tables) if _is_table(node) else node
    return jax.tree.map(pad, network, is_leaf=_is_table)


def _padded(table: NeighbourTable, tables: list[NeighbourTable]) -> NeighbourTable:
    peers = [t for t in tables if t.indices.shape[:-1] == table.indices.shape[:-1]]
    slots = max(t.indices.shape[-1] for t in peers) - table.indices.shape[-1]
    arcs = max(t.rows.shape[-1] for t in peers) - table.rows.shape[-1]
    width = max(t.width for t in peers)
    if not slots and not arcs and width == table.width:
        return table
    own = jnp.broadcast_to(jnp.arange(table.n, dtype=table.indices.dtype)[:, None], (*table.indices.shape[:-1], slots))
    last = lambda a, k, v=0: jnp.pad(a, [(0, 0)] * (a.ndim - 1) + [(0, k)], constant_values=v)
    return NeighbourTable(
        jnp.concatenate([table.indices, own], axis=-1),
        last(table.weights, slots),
        last(table.rows, arcs, table.n - 1),
        last(table.columns, arcs, table.n - 1),
        last(table.values, arcs),
        width,
    )
