"""Holding: a method that uses the last vector that arrived in place of one that was lost."""

from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, PyTree

from jaxdec import checks
from jaxdec._module import module
from jaxdec.algorithms._exchange import Wrapper, among, mixed, products, refuse, taken
from jaxdec.networks.arcs import ByArcs
from jaxdec.types import Iterates

__all__ = ["Held", "State", "held"]


class State(NamedTuple):
    x: Iterates  # (n, d), the iterates of the method
    method: PyTree  # the method's state
    heard: Bool[Array, "n k"]  # whether something has arrived
    last: tuple[Array, ...]  # (n, k, ...) for each product with W: what arrived last


@module
class Held(Wrapper):
    """A method that holds what arrived last. Made by `held`."""

    stands_loss: ClassVar[bool] = True
    method: Any

    @property
    def requires(self) -> frozenset[str]:
        """What the method needs of the weights that are sent with; and arcs that stay."""
        return self._facts.requires | {"arcs", "fixed arcs"}

    def check(self) -> None:
        checks.own(self.method)

    def advise(self, problem) -> None:
        checks.advice(self.method, problem)

    def init(self, problem, x0, r):
        arcs = r.W.arcs
        if isinstance(r.W, ByArcs) and arcs.alive is not None:
            raise ValueError(
                "held uses what arrived before in place of what was lost, and in this network the weight of what is "
                'lost goes elsewhere: take networks.lossy(network, loss, rule="arcs"), under which weights stay'
            )
        state, cost = self.method.init(problem, x0, r)
        found = products(self.method, problem, state, r)
        last = tuple(jnp.zeros((*arcs.weight.shape, *a.shape[1:]), a.dtype) for a in found)
        return State(state.x, state, jnp.zeros(arcs.weight.shape, bool), last), cost

    def step(self, problem, s, r):
        arcs = r.W.arcs
        arrived = jnp.asarray(arcs.arrived)
        known = s.heard | arrived

        def send(x, last):
            last = jnp.where(among(arrived, last), arcs.hear(x), last)
            return mixed(r.W, x, jnp.where(among(known, last), last, x[:, None])), last

        state, cost, last = taken(self.method, problem, s.method, r, send, s.last)
        return State(state.x, state, known, last), cost


def held(method: Any) -> Held:
    r"""A method that stands unknown loss: what is lost is replaced by the last that arrived over that arc.

    With z_j what node j sends, and s_ij the last round in which its message to i arrived::

        x_i = W_ii z_i + Σ_j W_ij z_j(s_ij)

    Until the first message of j arrives, i uses its own vector in its place.

    It is for methods that mix iterates once a round. With a fixed W under the losses and exact gradients the fixed
    point of `DSGD` and `DSGDm` is kept, though not the mean on the way; of `DAdam` and `DFedSAM` none is known. No
    tracker keeps its own, so that other methods are refused. What is the method's can be swept,
    `over={"method.lr": [0.1, 0.2]}`.

    Symbols: z_j is what node j multiplies by W; what i holds of it is in `last`.
    Cost per round: that of the method; what is lost was sent.
    W: the reliable one of a network that loses messages unknown to all, `networks.lossy(network, loss, rule="arcs")`,
    as the method needs it; its arcs stay.
    Reference: asynchronous iterations with bounded delay, as in Tsitsiklis, Bertsekas, Athans (1986), Distributed
    asynchronous deterministic and stochastic gradient optimization algorithms, as it is recalled.

    Args:
        method: an algorithm that mixes iterates.

    Raises:
        TypeError: if it is no algorithm.
        ValueError: if it mixes anything else.

    >>> from jaxdec import algorithms, networks, problems, run
    >>> problem, network = problems.quadratic(8, 3), networks.ring(8)
    >>> method, lossy = algorithms.DSGD(lr=0.1), networks.lossy(network, 0.3, rule="arcs")
    >>> reliable, result = run(method, problem, network, rounds=600), run(held(method), problem, lossy, rounds=600)
    >>> bool(abs(reliable.state.x - result.state.x).max() < 1e-5)
    True
    """
    refuse(
        "held",
        method,
        ("iterates",),
        "what it sends is mass, and mass that is used again is counted twice; under unknown loss it needs running sums",
    )
    return Held(method)
