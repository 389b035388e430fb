"""What stands for W in a step whose messages do not arrive as they were sent, and the methods that stand it.

A step's products with W are taken one after the other, and each has a memory of its own, which the wrapper of the
method keeps as its state. How many there are, and of what shapes, is found by tracing a step.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import repeat
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import get_opaque_trace_state
from jaxtyping import PyTree

from jaxdec import checks
from jaxdec.types import Cost, Round

__all__ = ["Wrapper", "among", "mixed", "products", "refuse", "taken"]


class Wrapper:
    """What a method that wraps a `method` says of itself: what that says."""

    @property
    def _facts(self) -> checks.Facts:
        return checks.facts(self.method)  # pyrefly: ignore[missing-attribute]

    @property
    def wants(self):
        return self._facts.wants

    @property
    def absent(self) -> str:
        return self._facts.absent

    @property
    def replicas(self) -> bool:
        return self._facts.replicas


class Exchange:
    """Stands for W in one step: `W @ x` goes through the next memory, and what is then remembered is in `after`."""

    def __init__(self, name: str, send: Callable[[Any, Any], tuple[Any, Any]], memories: Iterable[Any]):
        self._name, self._send, self._memories, self._where = name, send, iter(memories), get_opaque_trace_state()
        self.after: list[Any] = []

    def __matmul__(self, x):
        if get_opaque_trace_state() != self._where:
            raise ValueError(
                f"{self._name} multiplies by W inside of a loop, a branch or a transformation of JAX, where what was "
                "sent cannot be remembered; write `r.W @ x` in step itself"
            )
        mixed, memory = self._send(x, next(self._memories))
        self.after.append(memory)
        return mixed


def taken(
    method: Any, problem: Any, state: PyTree, r: Round, send: Callable[[Any, Any], Any], memories: Iterable[Any]
) -> tuple[PyTree, Cost, tuple[Any, ...]]:
    """A step of the method, and the memories after it; `send` makes of x and a memory `W @ x` and the memory."""
    W = Exchange(type(method).__name__, send, memories)
    state, cost = method.step(problem, state, replace(r, W=W))
    return state, cost, tuple(W.after)


def products(method: Any, problem: Any, state: PyTree, r: Round) -> tuple[jax.ShapeDtypeStruct, ...]:
    """What a step of the method multiplies by W, in its order.

    Raises:
        ValueError: if that is inside of a loop or a branch of JAX, where it cannot be remembered.
    """
    trace = lambda state: taken(method, problem, state, r, lambda x, _: (x, x), repeat(()))[2]
    return jax.eval_shape(trace, state)


def mixed(W: Any, x: Any, heard: Any) -> Any:
    """`W @ x` of each node's own vector and of what it has heard, (n, k, ...)."""
    return among(W.own, x) * x + W.arcs.sum(among(W.arcs.weight, heard) * heard)


def among(a: Any, x: Any) -> Any:
    """Numbers or a mask of nodes or arcs, to go with what is kept on them."""
    a = jnp.asarray(a)
    return a.reshape(*a.shape, *(1,) * (x.ndim - a.ndim))


def refuse(wrapper: str, method: Any, kinds: tuple[str, ...], otherwise: str) -> None:
    """Refuse a method of which the wrapper would make something else.

    Args:
        wrapper: its name.
        method: what it is to wrap.
        kinds: what methods it wraps may mix.
        otherwise: why it does not wrap those that mix something else.
    """
    checks.part("algorithm", method)
    facts, name = checks.facts(method), type(method).__name__
    if facts.mixes in kinds:
        return
    raise ValueError(f"{wrapper} cannot wrap {name}: {next(_reasons(facts, name, otherwise))}")


def _reasons(facts: checks.Facts, name: str, otherwise: str) -> Iterator[str]:
    if "asynchronous" in facts.requires:
        yield "its rounds are events that have times; give networks.asynchronous a latency"
    if "server" in facts.requires:
        yield "its messages go to a server and back, not over arcs; networks.asynchronous(networks.server(n)) is late"
    if facts.replicas:
        yield "it keeps copies of its neighbours' vectors, which a message that is late or lost makes wrong for ever"
    if facts.stands_loss:
        yield "it keeps itself what is under way or arrived before, and works on arcs; what mixes by W alone is wrapped"
    if facts.mixes is not None:
        yield otherwise
    yield (
        "it does not say that it mixes iterates once a round, or mass. What a tracker, a correction or a dual is worth "
        "depends on what neighbours had in the same round, and with old messages the fixed point is another. Those "
        'that say so, `mixes = "iterates"` or "mass" in the class, are DSGD, DSGDm, DAdam and DFedSAM, PushSumGossip '
        "and StochasticGradientPush"
    )
