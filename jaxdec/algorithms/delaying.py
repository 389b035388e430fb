"""Delays: a method whose messages arrive rounds after they were sent."""

from math import prod
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PyTree, UInt32

from jaxdec import checks
from jaxdec._module import at_round, module, static
from jaxdec.algorithms._exchange import Wrapper, among, mixed, products, refuse, taken
from jaxdec.networks.delays import Delays, delays
from jaxdec.types import Iterates, Round

__all__ = ["Delayed", "State", "delayed"]


class State(NamedTuple):
    x: Iterates  # (n, d), the iterates of the method
    method: PyTree  # the method's state
    keys: UInt32[Array, "n ..."] | tuple[()]  # of delays that are drawn once for each arc, as numbers
    left: Int[Array, "n k longest"] | tuple[()]  # in how many rounds arrives what was sent 1, 2, ... rounds ago
    sent: tuple[Array, ...]  # for each product with W, (n, longest, ...): of iterates what the node sent 1, 2, ...
    # rounds ago; of mass the sum of what is on its way to the node, and arrives in 1, 2, ... rounds


@module
class Delayed(Wrapper):
    """A method whose messages are late. Made by `delayed`."""

    method: Any
    delay: Delays
    longest: int = static()

    @property
    def requires(self) -> frozenset[str]:
        """What the method needs; arcs; and where old vectors stand for new ones, that those are always the same."""
        late: dict[Any, set[str]] = {"iterates": {"arcs", "fixed"}, "mass": {"arcs"}}
        return self._facts.requires | (late[self._facts.mixes] if self.longest else frozenset())

    def check(self) -> None:
        checks.own(self.method)
        self.delay.check()
        checks.integer("Delayed.longest", self.longest, 0)
        self._room(0)

    def advise(self, problem) -> None:
        checks.advice(self.method, problem)
        for shape in {jnp.shape(a) for a in jax.tree.leaves(self.delay)} - {()}:
            if shape != (problem.n, problem.n):
                raise ValueError(
                    f"what differs from arc to arc is (n, n) = ({problem.n}, {problem.n}), of what row i hears of "
                    f"column j; {type(self.delay).__name__} has numbers of shape {shape}"
                )
        if self.delay.by_bits:
            key = jax.eval_shape(lambda: jax.random.key(0))
            x0 = jax.ShapeDtypeStruct((problem.n, problem.d), jnp.zeros(()).dtype)
            self._room(_bits(jax.eval_shape(lambda key, x0: self._products(problem, x0, key), key, x0)))

    def _room(self, bits: int) -> None:
        if (most := self.delay.longest(bits)) > self.longest:
            raise ValueError(
                f"messages {f'of {bits} bits ' if bits else ''}take up to {most} rounds, and longest={self.longest}; "
                "give delayed(...) a longest that none is above: it is how many rounds are remembered"
            )

    def _products(self, problem, x0, key):
        r = Round(problem.n, x0.dtype, jnp.asarray(0), key, key, None)
        method = at_round(self.method, r.t, r.dtype)
        return products(method, problem, method.init(problem, x0, r)[0], r)

    def init(self, problem, x0, r):
        state, cost = self.method.init(problem, x0, r)
        if not self.longest:
            return State(state.x, state, (), (), ()), cost
        found = products(self.method, problem, state, r)
        of_node = jax.vmap(jax.random.fold_in, (None, 0))
        keys = jax.random.key_data(of_node(r.fold("delays"), jnp.arange(r.n))) if self.delay.by_arc else ()
        never = jnp.full((*r.W.arcs.weight.shape, self.longest), 2 * self.longest)  # there is no such message
        left = never if self._facts.mixes == "iterates" else ()
        sent = tuple(jnp.zeros((r.n, self.longest, *a.shape[1:]), a.dtype) for a in found)
        return State(state.x, state, keys, left, sent), cost

    def step(self, problem, s, r):
        if not self.longest:
            state, cost = self.method.step(problem, s.method, r)
            return s._replace(x=state.x, method=state), cost
        delay = self.delay.of(r.W.arcs, s.keys, r.fold("delay"), _bits(s.sent, 2))
        delay = jnp.minimum(delay, self.longest)
        if self._facts.mixes == "mass":
            send, left = self._mass(r.W, delay), ()
        else:
            left = jnp.concatenate([delay[..., None], s.left - 1], axis=-1)  # of messages by their age
            send, left = self._last(r.W, left <= 0), left[..., :-1]
        state, cost, sent = taken(self.method, problem, s.method, r, send, s.sent)
        return State(state.x, state, s.keys, left, sent), cost

    def _mass(self, W, delay):
        """What arrives in a round is added up."""
        ages, arcs = jnp.arange(self.longest + 1), W.arcs
        part = lambda k, x: arcs.who.product(jnp.where(k == 0, W.own, 0), jnp.where(delay == k, arcs.weight, 0), x)

        def send(x, before):
            flying = jax.vmap(part, (0, None), 1)(ages, x).at[:, :-1].add(before)
            return flying[:, 0], flying[:, 1:]

        return send

    def _last(self, W, arrived):
        """Of what has arrived the last sent counts; until something has, a node's own vector."""
        age, heard = jnp.argmax(arrived, axis=-1), jnp.any(arrived, axis=-1)

        def send(x, before):
            sent = jnp.concatenate([x[:, None], before], axis=1)
            late = sent[W.arcs.sender, age]
            return mixed(W, x, jnp.where(among(heard, late), late, x[:, None])), sent[:, :-1]

        return send


def _bits(found: Any, skip: int = 1) -> int:
    """Of the message of a node: 32 for each number of its rows."""
    return 32 * sum(prod(a.shape[skip:]) for a in found)


def delayed(method: Any, delay: Any, *, longest: int | None = None) -> Delayed:
    r"""A method whose messages arrive late: what node j sends in round t reaches node i in round t + k.

    A node has its own vector at once. What becomes of the messages of others, weighed by W, depends on what the method
    mixes; the method's own step stays as it is.

    Iterates, of `DSGD`, `DSGDm`, `DAdam` and `DFedSAM`: a node uses the last that has arrived, z_j of round t - k_ij::

        x_i = W_ii z_i(t) + Σ_j W_ij z_j(t - k_ij)

    Of messages that overtake others the last sent counts. Until the first arrives, a node's own vector is in its place.
    With a fixed W and exact gradients the fixed point, where the method has one, is that of the method; the mean is not
    conserved on the way.

    Mass, of `PushSumGossip` and `StochasticGradientPush`: all that arrives in a round is added up, whatever the order,
    numerators and masses of one message together. What is on its way is nobody's, and with it every sum is conserved:
    `state.sent` has, for each node, the sum of what arrives there in 1, 2, ... rounds. While a node sleeps, what is on
    its way to it waits.

    Other methods are refused. Delays can be swept, `over={"delay.rounds": [0, 1, 2]}`, and so can what is the method's,
    `"method.lr"`. With longest = 0 it is the method itself to the bit, with delays of 0 to rounding.

    Symbols: z_j is what node j multiplies by W, k_ij how many rounds late i has it.
    Cost per round: that of the method, paid when it is sent.
    W: as the method; old iterates ask for one that is fixed, mass for one that is column stochastic in every round.
    Reference: iterates as in Tsitsiklis, Bertsekas, Athans (1986), Distributed asynchronous deterministic and
    stochastic gradient optimization algorithms; mass as in Hadjicostis, Charalambous (2014), Average consensus in the
    presence of delays in directed graph topologies. Both as they are recalled; what is not theirs is said above.

    Args:
        method: an algorithm that says what it mixes.
        delay: in rounds, a number or (n, n), of what row i hears of column j; or a law of `networks.delays`:
            `Uniform`, drawn once per arc or per message; `Bandwidth`, by the bits of a message, 32 for each number.
        longest: the most rounds that any message takes, and so how many are remembered; None takes that of the law.

    Raises:
        TypeError: if the method is no algorithm, or the delay no law.
        ValueError: if the method says nothing of what it mixes, numbers are no delays or longer than `longest`, or
            that is missing where it depends on the length of messages.

    >>> from jaxdec import algorithms, networks, problems, run
    >>> problem, network = problems.quadratic(8, 3), networks.ring(8)
    >>> method = algorithms.DSGD(lr=0.1)
    >>> at_once, late = (run(a, problem, network, rounds=600) for a in (method, algorithms.delayed(method, 3)))
    >>> bool(abs(at_once.state.x - late.state.x).max() < 1e-5)
    True
    """
    refuse("delayed", method, ("iterates", "mass"), "")
    law = delays(delay)
    if longest is None and law.by_bits:
        raise ValueError(
            f"how many rounds {type(law).__name__} takes depends on the length of messages; give delayed(...) longest, "
            "the most that any takes: it is how many rounds are remembered"
        )
    found = Delayed(method, law, law.longest(0) if longest is None else longest)
    found.check()
    return found
