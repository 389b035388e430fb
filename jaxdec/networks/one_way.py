"""Loss that neither end of an arc knows of: the weights stay what they are, and `arcs.arrived` says what came through.

No W says what becomes of a round then, so that there is no `W @ x`: what is sent and does not arrive is under way. A
method that keeps it, arc by arc, needs slots that mean the same arc in every round: those of the union graph.
"""

from dataclasses import replace
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Num

from jaxdec._module import module
from jaxdec.networks.arcs import UNROLLED, Arcs, Known, Masks, Table, roomy, table

__all__ = ["OneWay", "laid", "one_way", "union"]


@module
class OneWay(Masks):
    """The weights that nodes send with, and on which arcs something arrives: what neither end knows of the other."""

    own: Num[Known, " n"]  # of what a node keeps
    arcs: Arcs

    @property
    def n(self) -> int:
        return self.own.shape[-1]

    def __matmul__(self, x: Any) -> NoReturn:
        self._none()

    def dense(self) -> NoReturn:
        """There is none: an error that says so."""
        self._none()

    def masked(self, *_: Any, **__: Any) -> NoReturn:
        """There is none: an error that says so."""
        self._none()

    def degrees(self):
        """How many others each node hears, (n,)."""
        return jnp.count_nonzero(self.arcs.arrived & (self.arcs.weight != 0), axis=1)

    def losing(self, lost: Bool[Known, "n k"]) -> "OneWay":
        """The same where some of what was to arrive does not."""
        return OneWay(self.own, replace(self.arcs, alive=self.arcs.arrived & ~lost))

    def _none(self) -> NoReturn:
        raise TypeError(
            'there is no W of a round under networks.lossy(network, loss, rule="arcs"): neither end of an arc knows '
            "what was lost there. Take a method that keeps running sums, such as RobustPushSum, or write one with "
            'W.own and W.arcs; or another rule, such as "link"'
        )


def one_way(W: Any, who: Table | None) -> OneWay:
    """The weights of an operator, in slots that are the same in every round."""
    return OneWay(W.own, W.arcs if who is None else laid(W.arcs, who))


def laid(arcs: Arcs, who: Table) -> Arcs:
    """Arcs in the slots of a table made by `union`, which has them all; where it has more, nothing is sent."""
    n, k = who.sender.shape
    nodes = np.arange(n)[:, None]
    ordered = jnp.where(who.sender == nodes, n, who.sender)  # the padding is at the end
    find = lambda row, senders: jnp.searchsorted(row, senders, method="compare_all" if k <= UNROLLED else "scan")
    slot = jnp.where(arcs.exists, jax.vmap(find)(ordered, arcs.sender), k)  # what is none is put nowhere
    put = lambda v: jnp.zeros((n, k), v.dtype).at[nodes, slot].set(v, mode="drop")
    used = arcs.exists if arcs.used is None else arcs.exists & arcs.used
    return Arcs(put(arcs.weight), who, put(arcs.arrived), put(used))


def union(sender: np.ndarray) -> Table | None:
    """The table of all arcs of a pool with these senders, (size, n, k); None where its slots never change.

    Raises:
        ValueError: if it does not fit.
    """
    if np.all(sender == sender[:1]):
        return None
    n = sender.shape[1]
    receiver = np.broadcast_to(np.arange(n)[:, None], sender.shape)
    arcs = np.unique((receiver.astype(np.int64) * n + sender)[sender != receiver])
    heard = np.bincount(arcs // n, minlength=n)
    roomy(n, int(heard.max()), np.float64)
    slots = np.tile(np.arange(n)[:, None], (1, heard.max()))
    slots[arcs // n, np.arange(len(arcs)) - (np.cumsum(heard) - heard)[arcs // n]] = arcs % n
    return table(slots)
