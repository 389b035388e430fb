"""Which clients of a server are a round's cohort: drawn uniformly, by the size of their data, or taken in turn.

A selection puts the clients in an order of preference, and the first of those who are awake are the cohort.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PyTree

from jaxdec import checks
from jaxdec._module import module, static
from jaxdec.networks import counts
from jaxdec.types import PRNGKey, ScalarLike

__all__ = ["NAMES", "BySize", "Chosen", "RoundRobin", "Selection", "Uniform", "selection"]


class Chosen(NamedTuple):
    """A round's cohort, of m clients."""

    clients: Int[Array, " m"]  # in increasing order
    active: Bool[Array, " m"] | None  # which of them take part; None: all
    weight: Float[Array, " m"] | None  # in the mean over those who take part, up to a factor; None: equal
    p: ScalarLike | Float[Array, " n"]  # the probability of taking part, were everybody awake


class Selection:
    """What selections have in common."""

    def init(self, key: PRNGKey, n: int, m: int) -> PyTree:
        """What is remembered before round 0, where m of n are chosen in each round."""
        return ()

    def order(self, memory: PyTree, key: PRNGKey, n: int) -> Int[Array, " n"]:
        """The clients, those who are preferred first."""
        raise NotImplementedError

    def went(self, memory: PyTree, last: Int[Array, ""], n: int) -> PyTree:
        """What is remembered after a round, in which `last` was the last that was chosen."""
        return memory

    def probability(self, memory: PyTree, n: int, m: int) -> Any:
        """Of being chosen, of all clients or of each, (n,)."""
        return m / n

    def chosen(
        self, memory: PyTree, key: PRNGKey, n: int, m: int, awake: Bool[Array, " n"] | None = None
    ) -> tuple[PyTree, Chosen]:
        """What is remembered after the round, and its cohort: of those awake as many as there are, up to m."""
        order, p = self.order(memory, key, n), self.probability(memory, n, m)
        if awake is None:
            return self.went(memory, order[m - 1], n), Chosen(jnp.sort(order[:m]), None, None, p)
        order = order[jnp.argsort(~awake[order], stable=True)]
        last = order[jnp.maximum(0, jnp.minimum(m, jnp.sum(awake)) - 1)]
        clients = jnp.sort(order[:m])
        memory = jax.tree.map(lambda old, new: jnp.where(jnp.any(awake), new, old), memory, self.went(memory, last, n))
        return memory, Chosen(clients, awake[clients], None, p)

    def check(self, n: int, m: int) -> None:
        """Raise what is wrong with the numbers, where m of n are chosen in each round."""


@module
class Uniform(Selection):
    """All subsets of m clients are equally likely, in every round anew."""

    def order(self, memory, key, n):
        return jax.random.permutation(key, n)


@module
class RoundRobin(Selection):
    """The clients in turn, by their numbers: in n rounds each takes part m times.

    Who is first is drawn for every seed, so that in each round a client takes part with probability m / n. Those who
    sleep when it is their turn are passed over.
    """

    def init(self, key, n, m):
        return jax.random.randint(key, (), 0, n, jnp.int32)

    def order(self, memory, key, n):
        return (memory + jnp.arange(n, dtype=jnp.int32)) % n

    def went(self, memory, last, n):
        return (last + 1) % n


@module
class BySize(Selection):
    """Clients are drawn one after the other in proportion to the size of their data.

    Without replacement client i is next with probability size_i over the sum of the sizes of those not drawn yet, as
    the candidates of Cho, Wang, Joshi (2020), arXiv:2010.01243, are; the probability of being among the first m is
    computed once for a run. With replacement the draws are independent, and who is drawn twice weighs twice in the
    mean: scheme I of Li, Huang, Yang, Wang, Zhang (2019), arXiv:1907.02189. Both are recalled.

    A method that takes the mean over those who take part, such as `LocalSGD`, then minimizes nearly (with replacement
    and one local step exactly) the mean of the f_i weighted by their sizes; one that divides by p, such as `SGD`, goes
    on to minimize the mean of equal weights. With replacement methods that remember something of each client are
    refused: a client that is drawn twice would have two memories.

    Args:
        sizes: (n,), positive; such as the number of samples of each client.
        replace: whether clients are drawn with replacement.
    """

    sizes: Float[Array | np.ndarray, " n"]
    replace: bool = static(default=False)

    @property
    def _shares(self) -> Float[Array, " n"]:
        sizes = jnp.asarray(self.sizes, jnp.float32)
        return sizes / jnp.sum(sizes)

    def init(self, key, n, m):
        return () if self.replace else counts.inclusion(self._shares, m)

    def order(self, memory, key, n):
        return jnp.argsort(jax.random.exponential(key, (n,), jnp.float32) / self._shares)

    def probability(self, memory, n, m):
        return memory

    def chosen(self, memory, key, n, m, awake=None):
        if not self.replace:
            return super().chosen(memory, key, n, m, awake)
        drawn = jax.random.choice(key, n, (m,), p=self._shares)
        times = jnp.zeros(n, jnp.float32).at[drawn].add(1)
        # Of those who are not drawn, as many as there are doubles fill the cohort, and do not take part.
        clients = jnp.sort(jnp.argsort(-times, stable=True)[:m])
        active = times[clients] > 0
        return memory, Chosen(clients, active, times[clients], jnp.sum(active) * self._shares)

    def check(self, n: int, m: int) -> None:
        checks.speeds("the size of a client's data", self.sizes, n)
        if np.shape(self.sizes) != (n,):
            raise ValueError(f"sizes are those of the data of {n} clients, ({n},); got shape {np.shape(self.sizes)}")


NAMES = {"uniform": Uniform(), "round robin": RoundRobin()}


def selection(given: Any) -> Selection:
    """A selection; some have names.

    Raises:
        ValueError: if there is none of the name.
        TypeError: if it is neither.

    >>> selection("round robin")
    RoundRobin()
    """
    if isinstance(given, BySize):
        sizes = given.sizes
        return BySize(np.asarray(sizes, float) if isinstance(sizes, list | tuple) else sizes, given.replace)
    if isinstance(given, Selection):
        return given
    if isinstance(given, str):
        checks.choice("selection", given, tuple(NAMES))
        return NAMES[given]
    raise TypeError(
        'selection is "uniform", "round robin" or a selection such as selection.BySize(sizes), of '
        f"jaxdec.networks.selection; got {given!r}"
    )
