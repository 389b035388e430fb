"""What is tested: a method on a problem and a network, its runs, and its rounds taken by hand."""

import dataclasses
from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdec import checks, loop
from jaxdec._module import at_round
from jaxdec.networks.families import Static
from jaxdec.testing.counted import Counted, CountedProblem, counted
from jaxdec.testing.defaults import default_network, keys, on, quiet, round_keys
from jaxdec.testing.states import trajectory
from jaxdec.types import Round, frozen

__all__ = ["Step", "Subject"]

SHORT, CONVERGED = 20, 3000  # rounds: of a comparison, and enough for the slowest method to converge


class Step(NamedTuple):
    """A round taken by hand, without the loop."""

    r: Round
    before: Any  # the state
    after: Any
    cost: Any
    seen: Counted  # what it evaluated and sent


@dataclasses.dataclass(frozen=True, eq=False)
class Subject:
    """A method, what it is tested on, and what is known of it; its runs are made once."""

    algorithm: Any
    problem: Any  # with noise, where it can have some
    network: Any
    x0: Any  # (n, d)
    rounds: int
    seed: int
    exact: bool | None = None
    zero_sum: str | None = None
    conserved: Any = None
    reference: Any = None  # a function, or None

    @property
    def n(self) -> int:
        return self.problem.n

    @cached_property
    def facts(self) -> checks.Facts:
        return checks.facts(self.algorithm)

    @property
    def is_server(self) -> bool:
        """Whether there is one model, the server's."""
        return "server" in self.facts.requires

    @property
    def is_asynchronous(self) -> bool:
        """Whether a round is one event."""
        return "asynchronous" in self.facts.requires

    @cached_property
    def keys(self) -> loop.Keys:
        return keys(self.seed)

    def prepared(self, dtype: Any = None, **parts: Any) -> tuple[Any, ...]:
        """The algorithm, the problem, the network and x0, checked and in one dtype; some may be others."""
        given = {name: parts.get(name, getattr(self, name)) for name in ("algorithm", "problem", "network", "x0")}
        given["x0"] = jnp.asarray(given["x0"], dtype or float)
        return loop.prepare(**given, rounds=1, every=1)

    @property
    def unchanging(self) -> Static:
        """A graph network whose W does not change: the given one, or the default."""
        return self.network if isinstance(self.network, Static) else default_network(self.algorithm, self.n)

    @cached_property
    def unchanging_dense(self) -> Static:
        """The same, as a matrix: what a method holds on its arcs has then one layout, whatever the nodes' names."""
        return Static(on(self.unchanging.W, lambda W: W), self.unchanging.provides)

    # Runs: all arrays of the state, by their paths, in every round.

    @cached_property
    def ran(self) -> dict[str, np.ndarray]:
        return self.run(self.problem)

    @cached_property
    def ran_quietly(self) -> dict[str, np.ndarray]:
        """Without noise, where the problem lets it be switched off: the same program."""
        return self.run(quiet(self.problem))

    def run(self, problem: Any) -> dict[str, np.ndarray]:
        how = {"rounds": self.rounds, "x0": jnp.asarray(self.x0, float), "seed": self.seed}
        return trajectory(self.algorithm, problem, self.network, **how).states

    # Rounds by hand.

    @cached_property
    def hand(self) -> list[Step]:
        """The first rounds, counted."""
        return self.by_hand(4)

    def by_hand(self, rounds: int, *, keys: loop.Keys | None = None, count: bool = True, **parts: Any) -> list[Step]:
        """Round after round without the loop, and the method's own code without compilation: see `simulate`."""
        algorithm, problem, network, x0 = self.prepared(**parts)
        streams, found = keys or self.keys, []
        memory, state, seen = network.init(streams.network), None, Counted.new()
        for t in range(rounds):
            memory, r, now = self._round(algorithm, problem, network, memory, t, streams, x0.dtype)
            if t == 0:
                state, start, seen = _plainly(now.init, problem, x0, dataclasses.replace(r, key=streams.init), count)
                found.append(Step(r, None, state, start, seen))
            before = state
            state, cost, seen = _plainly(now.step, problem, before, r, count)
            if self.facts.absent == "frozen" and r.active is not None:
                state = frozen(r.active, before, state)
            found.append(Step(r, before, state, cost, seen))
        return found

    def _round(self, algorithm, problem, network, memory, t, streams, dtype):
        network_key, key = round_keys(streams, t)
        memory, world = network.at(memory, jnp.asarray(t), network_key)
        r = Round(problem.n, dtype, jnp.asarray(t), streams.data, key, **world._asdict())
        return memory, r, at_round(algorithm, r.t, dtype)

    def shapes(self, dtype: Any) -> tuple[Any, Any]:
        """The states after init and after a step, as shapes."""

        def both(algorithm, problem, network, x0):
            key = jax.random.key(0)
            _, r, now = self._round(algorithm, problem, network, network.init(key), 0, keys(0), x0.dtype)
            state, _ = now.init(problem, x0, r)
            return state, now.step(problem, state, r)[0]

        return jax.eval_shape(both, *self.prepared(dtype))

    def one(self, step: Step, before: Any, W: Any) -> Any:
        """The state after the round of a step, from another state or over another W."""
        algorithm, problem, _, _ = self.prepared()
        now = at_round(algorithm, step.r.t, step.r.dtype)
        return _plainly(now.step, problem, before, dataclasses.replace(step.r, W=W), False)[0]


def _plainly(act: Callable[..., Any], problem: Any, what: Any, r: Round, count: bool) -> tuple[Any, Any, Counted]:
    """`init` or `step` as plain Python: its loops and conditions are those of Python, so that what it does counts."""
    seen = Counted.new()
    if count:
        problem, r = CountedProblem(problem, seen), dataclasses.replace(r, W=counted(r.W, seen))
    with jax.disable_jit():
        return *act(problem, what, r), seen
