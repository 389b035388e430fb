"""The arc view of a mixing operator: what every node hears, arc by arc, and what is left of W where some is lost.

One layout for all operators, (n, k): slot s of row i is what node i hears there. What is kept on arcs is (n, k, ...),
so that its shape tells it from what is kept on nodes. Rows are padded: a slot that is none has the node itself as its
sender, and weight 0. A weight of 0 may also mean that something was lost: ask `exists` and `arrived`.

The law: `W @ x` equals `W.own * x + W.arcs.sum(W.arcs.weight * W.arcs.hear(x))`, to rounding, for every operator and
for what a mask leaves of it.
"""

from dataclasses import replace
from typing import Any, Literal, TypeAlias, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Num

from jaxdec import checks
from jaxdec._module import module, static
from jaxdec.networks.polynomials import Chebyshev, Power, interval

__all__ = [
    "ROOM",
    "RULES",
    "UNROLLED",
    "Arcs",
    "ByArcs",
    "Masks",
    "Pairs",
    "Rule",
    "Table",
    "opposite",
    "roomy",
    "table",
    "traced_table",
]

Rule: TypeAlias = Literal["link", "sender", "self", "renormalize", "drop"]
RULES: tuple[str, ...] = get_args(Rule)
Known: TypeAlias = Array | np.ndarray  # NumPy's where it is known when compiling

ROOM = 2**25  # slots of a table: those of a star of 5000 nodes, 256 MB for each number of float64 on an arc
UNROLLED = 32  # slots that are added one by one; of more, compiling would take longer than running


@module
class Table:
    """Who is heard in each slot. Where its arrays are NumPy's, they are constants of the program."""

    sender: Int[Known, "n k"]  # the node itself where there is no arc
    reverse: Int[Known, "n k"]  # the slot of the opposite arc in the sender's row, -1 where there is none
    link: Int[Known, "n k"]  # the number of the undirected link, that of any where there is no arc
    count: int = static()  # of the numbers of links

    @property
    def exists(self) -> Bool[Known, "n k"]:
        return self.sender != np.arange(self.sender.shape[0])[:, None]

    def hear(self, x, slot: int | None = None):
        return x[self.sender if slot is None else self.sender[:, slot]]

    def back(self, z):
        return jnp.where(_among(self.reverse >= 0, z), z[self.sender, self.reverse], 0)

    def given(self, v):
        """What the senders' arcs add up to, (n, ...), of what is on arcs and 0 where there is no arc, (n, k, ...)."""
        return jnp.zeros((v.shape[0], *v.shape[2:]), v.dtype).at[self.sender].add(v)

    def both(self, coins):
        return coins[self.link]

    def product(self, own, weight, x):
        add = lambda s, out: out + _along(weight[:, s], x) * x[self.sender[:, s]]
        slots, out = self.sender.shape[1], _along(own, x) * x
        if slots > UNROLLED:
            return jax.lax.fori_loop(0, slots, lambda s, out: add(s, out), out)
        for s in range(slots):
            out = add(s, out)
        return out


@module
class Pairs:
    """Every pair of nodes has its slot: slot j of row i is what i hears of j."""

    exists: Bool[Known, "n n"]

    @property
    def sender(self) -> Int[Known, "n n"]:
        nodes = np.arange(self.exists.shape[0])
        return jnp.where(self.exists, nodes, nodes[:, None])

    @property
    def reverse(self) -> Int[Known, "n n"]:
        return jnp.where(self.exists & self.exists.T, np.arange(self.exists.shape[0])[:, None], -1)

    @property
    def count(self) -> int:
        n = self.exists.shape[0]
        return n * (n - 1) // 2

    def hear(self, x, slot: int | None = None):
        return jnp.broadcast_to(x, (x.shape[0], *x.shape)) if slot is None else jnp.broadcast_to(x[slot], x.shape)

    def back(self, z):
        return jnp.where(_among(self.exists & self.exists.T, z), jnp.swapaxes(z, 0, 1), 0)

    def given(self, v):
        return jnp.sum(v, axis=0)

    def both(self, coins):
        n = self.exists.shape[0]
        if n == 1:
            return jnp.zeros((1, 1), coins.dtype)
        link = np.zeros((n, n), np.int32)
        link[np.triu_indices(n, 1)] = np.arange(self.count)
        return coins[link + link.T]

    def product(self, own, weight, x):
        matrix = weight + jnp.diag(own)
        return jnp.tensordot(matrix, x, axes=1, precision=jax.lax.Precision.HIGHEST)


@module
class Arcs:
    """What the nodes hear, arc by arc: (n, k) each, or (n, k, ...)."""

    weight: Num[Known, "n k"]  # that the node puts on what it hears
    who: Table | Pairs
    alive: Bool[Known, "n k"] | None = None  # on which something arrives; None: on all
    used: Bool[Known, "n k"] | None = None  # on which something is sent, be it lost or not; None: on all

    @property
    def sender(self) -> Int[Known, "n k"]:
        """Whom the node hears; itself where there is no arc."""
        return self.who.sender

    @property
    def reverse(self) -> Int[Known, "n k"]:
        """The slot of the opposite arc in the sender's row, -1 where there is none."""
        return self.who.reverse

    @property
    def exists(self) -> Bool[Known, "n k"]:
        """Where there is an arc, and not padding."""
        return self.who.exists

    @property
    def arrived(self) -> Bool[Known, "n k"]:
        """Where there is an arc, and nothing of it was lost or slept through in this round."""
        return self.exists if self.alive is None else self.exists & self.alive

    @property
    def sent(self) -> Float[Known, ""]:
        """The share of the arcs on which something is sent."""
        used = self.exists if self.used is None else self.exists & self.used
        return jnp.sum(used) / jnp.maximum(1, jnp.sum(self.exists)).astype(self.weight.dtype)

    @property
    def lost(self) -> Float[Known, ""]:
        """The share of what is sent that does not arrive; 0 where nothing is sent."""
        used = self.exists if self.used is None else self.exists & self.used
        return jnp.sum(used & ~self.arrived) / jnp.maximum(1, jnp.sum(used)).astype(self.weight.dtype)

    def hear(self, x, slot: int | None = None):
        """What is at the other end, (n, k, ...) of (n, ...), arrived or not; of one slot alone, (n, ...).

        In a slot without an arc it is the vector of some node.
        """
        return self.who.hear(x, slot)

    def given(self, v):
        """The sums over the arcs that each node sends on, (n, ...), of what is 0 where there is none, (n, k, ...)."""
        return self.who.given(v)

    def back(self, z):
        """Of what is kept on arcs, (n, k, ...), that of the opposite arc; 0 where there is none."""
        return self.who.back(z)

    def sum(self, z):
        """The sums over the arcs of each node, (n, ...), of what is kept on arcs, (n, k, ...)."""
        return jnp.sum(jnp.where(_among(self.exists, z), z, 0), axis=1)


class Masks:
    """What follows from the arc view of an operator: coins on its links, and what is left of it without some arcs."""

    @property
    def links(self) -> tuple[int, ...]:
        """The shape of one coin per undirected link."""
        return (self.arcs.who.count,)  # pyrefly: ignore[missing-attribute]

    def both(self, coins):
        """Of a coin per undirected link that on each arc, (n, k): the same on both arcs of a link."""
        return self.arcs.who.both(coins)  # pyrefly: ignore[missing-attribute]

    def power(self, rounds: int) -> Power:
        """W^rounds, as an operator: so many products with W, one after the other."""
        return Power(self, checks.integer("rounds", rounds))

    def chebyshev(self, rounds: int) -> Chebyshev:
        """The polynomial of W of this degree that averages best, of a symmetric W that is known: see `Chebyshev`."""
        return Chebyshev(self, *interval(self), checks.integer("rounds", rounds))

    def masked(self, alive: Bool[Known, "n k"], rule: Rule = "link", *, silent: bool = False) -> Any:
        """The operator without the arcs that are not alive.

        Args:
            alive: where something arrives; what it says of slots without an arc does not matter.
            silent: whether nothing is sent on the others, and so nothing paid for.
            rule: where the weight of an arc that is lost goes. "link" and "self": to the receiver's own vector, which
                leaves a symmetric W symmetric if both arcs of a link are lost together. "sender": to the sender's own
                vector, which keeps the sums of columns. "renormalize": to all that arrived, in proportion. "drop": it
                is missing.
        """
        own, arcs = self.own, self.arcs  # pyrefly: ignore[missing-attribute]
        used = arcs.used if not silent else alive if arcs.used is None else alive & arcs.used
        alive = alive & arcs.arrived
        weight, lost = jnp.where(alive, arcs.weight, 0), jnp.where(alive, 0, arcs.weight)
        match rule:
            case "link" | "self":
                own = own + jnp.sum(lost, axis=1)
            case "sender":
                own = own + arcs.who.given(lost)
            case "renormalize":
                total = own + jnp.sum(weight, axis=1)
                own, total = jnp.where(total == 0, 1, own), jnp.where(total == 0, 1, total)  # who has nothing keeps x
                own, weight = own / total, weight / total[:, None]
            case _:
                checks.choice("rule", rule, RULES)
        return ByArcs(own, Arcs(weight, arcs.who, alive, used))


@module
class ByArcs(Masks):
    """own_i x_i + Σ_s weight_is x_(sender of is): what a mask makes of an operator."""

    own: Num[Known, " n"]
    arcs: Arcs

    @property
    def n(self) -> int:
        return self.own.shape[-1]

    def __matmul__(self, x):
        return self.arcs.who.product(self.own, self.arcs.weight, x)

    def dense(self):
        """The matrix itself, (n, n)."""
        return self @ jnp.eye(self.n, dtype=jnp.result_type(self.own))

    def degrees(self):
        """How many others each node hears, (n,)."""
        return jnp.count_nonzero(self.arcs.weight, axis=1)

    def lazy(self):
        """(I + W) / 2."""
        return ByArcs((1 + self.own) / 2, replace(self.arcs, weight=self.arcs.weight / 2))


def roomy(n: int, k: int, dtype: Any) -> None:
    """Refuse a table of arcs that would not fit."""
    if n * k > ROOM:
        size = n * k * np.dtype(dtype).itemsize
        raise ValueError(
            f"the arcs of this W would be a table of {n} x {k} slots, since the node that hears most hears {k} others: "
            f"{size / 2**30:.3g} GiB for each number on an arc, where at most {ROOM} slots are made. `W @ x` takes no "
            "such table; for what works on arcs take a graph without hubs"
        )


def table(sender: np.ndarray) -> Table:
    """The table of given senders, (n, k), or of the members of a pool, (size, n, k), links being those of the union.

    On the host, and of NumPy arrays, so that a program has them as constants.
    """
    *size, n, k = sender.shape
    nodes, members = np.arange(n)[:, None], int(np.prod(size))
    blocks = sender.reshape(members, n, k) + n * np.arange(members)[:, None, None]
    reverse = opposite(blocks.reshape(members * n, k), np).reshape(sender.shape)
    pair = np.minimum(nodes, sender).astype(np.int64) * n + np.maximum(nodes, sender)
    exists = sender != nodes
    known, link = np.unique(pair[exists], return_inverse=True)
    links = np.zeros(sender.shape, np.int32)
    links[exists] = link
    return Table(sender.astype(np.int32), reverse.astype(np.int32), links, max(1, len(known)))


def traced_table(sender: Int[Known, "n k"]) -> Table:
    """The same of senders that are known when the program runs; a link has the number of the first of its arcs."""
    n, k = sender.shape
    reverse, arc = opposite(sender, jnp), np.arange(n * k).reshape(n, k)
    return Table(sender, reverse, jnp.where(reverse < 0, arc, jnp.minimum(arc, sender * k + reverse)), max(1, n * k))


def opposite(sender: Any, xp: Any) -> Any:
    """The slot of the opposite arc in the sender's row, -1 where there is none: of NumPy's arrays or JAX's, by `xp`.

    When arcs are sorted by their link, the two of a link come one after the other.
    """
    n, k = sender.shape
    if n * k == 0:
        return sender
    receiver, heard = np.repeat(np.arange(n), k), sender.reshape(-1)
    low, high = xp.minimum(receiver, heard), xp.maximum(receiver, heard)
    order = xp.lexsort((receiver, high, low))
    low, high, slot = low[order], high[order], order % k
    twins, no = (low[1:] == low[:-1]) & (high[1:] == high[:-1]) & (low[1:] < high[1:]), xp.zeros(1, bool)
    next_, last = xp.concatenate([twins, no]), xp.concatenate([no, twins])
    found = xp.where(next_, xp.roll(slot, -1), xp.where(last, xp.roll(slot, 1), -1))
    return found[xp.argsort(order)].reshape(n, k)


def _along(v, x):
    """Numbers of nodes, (n,), to multiply (n, ...) with."""
    return v.reshape(-1, *(1,) * (x.ndim - 1))


def _among(mask, z):
    """A mask of arcs, (n, k), for what is kept on them, (n, k, ...)."""
    return mask.reshape(*mask.shape, *(1,) * (z.ndim - 2))
