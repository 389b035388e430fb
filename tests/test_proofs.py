"""Proofs that the contract carries what is not in the library: methods and networks as a user writes them."""

from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Bool, Float, Int

import jaxdec
from jaxdec import algorithms, compressors, module, networks, problems, static, step_size, testing
from jaxdec.compressors import Compressor
from jaxdec.types import Cost, Iterates, ScalarLike, StepSize, World

pytestmark = pytest.mark.sampled(14)


class EF21State(NamedTuple):
    x: Float[Array, "1 d"]  # the server's model
    g: Float[Array, "1 d"]  # the mean of all g_i, kept by the server
    memory: Iterates  # the g_i of the clients, (n, d)


@module
class EF21:
    r"""EF21: each client sends the compressed difference of its gradient to a memory g_i, and adds it to the memory.

    With S the clients that take part and C the `compressor`, from g_i = 0::

        c_i = C(∇f_i(x) - g_i),  g_i = g_i + c_i,      i in S
        g = g + (1/n) Σ_{i in S} c_i                   = (1/n) Σ_i g_i, those of absent clients included
        x = x - lr g

    Symbols: x and g are `x` and `g`, (1, d) each; g_i is `memory` (n, d).
    Cost per round: one minibatch gradient and one compressed d-vector up for each client that takes part; the model
    down, uncompressed.
    Network: a server, `networks.server(n)`.
    Guarantee: g is the mean of the g_i in every round. With exact gradients and contractive C, such as Top-k, it
    converges linearly for a small enough lr, however different the f_i, and so it does with cohorts.
    Reference: Richtárik, Sokolov, Fatkhullin (2021), arXiv:2106.05203; partial participation after Fatkhullin, Sokolov,
    Gorbunov, Li, Richtárik (2021), arXiv:2110.03294.
    Deviations: the paper moves first and computes gradients at the new point; here a round ends with the move.
    """

    requires: ClassVar[str] = "server"
    absent: ClassVar[str] = "own"
    lr: StepSize = step_size()
    compressor: Compressor

    def init(self, problem, x0, r):
        x = jnp.mean(x0, axis=0, keepdims=True)
        return EF21State(x, jnp.zeros_like(x), jnp.zeros_like(x0)), Cost()

    def step(self, problem, s, r):
        clients, mine = r.of(problem), r.rows(s.memory)
        gradient = clients.grad(r.spread(s.x), r.draw(clients))
        c = self.compressor(r.fold("up"), gradient - mine, problem.blocks)
        memory = r.kept(s.memory, mine + c.value)
        g = s.g + r.p * r.mean(c.value)
        return EF21State(s.x - self.lr * g, g, memory), r.cost(clients.batch_size, 1, c.bits, 32 * problem.d)


HETEROGENEOUS = problems.quadratic(12, 6, zeta=10.0)


@pytest.mark.parametrize("cohort", [None, 4], ids=["everybody", "cohorts of 4"])
def test_ef21_converges_linearly_on_clients_that_differ(cohort):
    network, top = networks.server(12, cohort=cohort), compressors.TopK(k=1)
    how = {"rounds": 600, "every": 100, "metrics": ["distance"]}
    result = jaxdec.run(EF21(lr=0.1, compressor=top), HETEROGENEOUS, network, **how)
    distance, share = result.metrics["distance"], 1 if cohort is None else cohort / 12
    assert np.all((distance[1:] < distance[:-1] / 20) | (distance[1:] < 1e-13))
    assert distance[-1] < 1e-12
    np.testing.assert_allclose(result.state.g, result.state.memory.mean(axis=0, keepdims=True), rtol=0, atol=1e-13)
    spent = {name: total[-1] / 600 for name, total in result.cost._asdict().items()}
    entry = float(top(jax.random.key(0), jnp.ones((1, 6)), (6,)).bits)
    expected = {"grads": share, "vectors": share, "bits": share * entry, "bits_down": share * 32 * 6}
    expected |= {"rounds_present": share, "messages": 1, "lost": 0}
    assert spent == pytest.approx(expected, rel=1e-12)


TestEF21 = testing.battery(EF21(lr=0.1, compressor=compressors.TopK(k=1)))


@module
class Trimmed:
    """W @ x is the mean, coordinate by coordinate, of what each node hears, without the extremes: not a matrix.

    Those who lie send their `lie` in the place of their vector.
    """

    neighbours: Int[Array, "n k"]  # whom a node hears, itself included
    liars: Bool[Array, " n"]
    lie: ScalarLike
    trimmed: int = static()  # how many of the least and of the largest values are left out

    @property
    def n(self) -> int:
        return self.neighbours.shape[0]

    def __matmul__(self, x: Iterates) -> Iterates:
        sent = jnp.where(self.liars[:, None], self.lie, x)
        heard = jnp.sort(sent[self.neighbours], axis=1)
        return jnp.mean(heard[:, self.trimmed : heard.shape[1] - self.trimmed], axis=1)


@module
class Byzantine:
    """A graph on which some nodes lie and the others trim what they hear; the honest ones alone are judged.

    Coordinate-wise trimmed mean: Yin, Chen, Ramchandran, Bartlett (2018), arXiv:1803.01498.
    """

    W: Trimmed
    provides: frozenset[str] = static(default=frozenset({"row stochastic", "fixed", "reliable"}))

    @property
    def n(self) -> int:
        return self.W.n

    def init(self, key):
        return ()

    def at(self, memory, t, key):
        return memory, World(self.W, honest=~self.W.liars)


LIAR, HONEST = 3, np.arange(12) != 3
ALIKE = problems.quadratic(12, 4, zeta=0.5)
NEIGHBOURS = (np.arange(12)[:, None] + np.arange(-3, 4)) % 12


def judged(problem, state, world):
    """The distance from the mean of the judged nodes to the minimizer of the honest ones' problem."""
    mean = jnp.sum(jnp.where(world.honest[:, None], state.x, 0), axis=0) / jnp.sum(world.honest)
    return jnp.linalg.norm(mean - problem.take(np.flatnonzero(HONEST)).minimizer)


def with_a_liar(trimmed: int, lie: float = 100.0) -> Any:
    W = Trimmed(jnp.asarray(NEIGHBOURS), jnp.asarray(~HONEST), lie, trimmed)
    with pytest.warns(UserWarning, match="DSGD runs without a doubly stochastic W"):
        return jaxdec.run(
            algorithms.DSGD(lr=0.1), ALIKE, Byzantine(W), rounds=400, every=100, x0=5 * np.ones(4), strict=False,
            metrics={"distance": judged, "consensus": "consensus"},
        )  # fmt: skip


def test_dsgd_on_a_trimming_network_ignores_a_liar():
    trimmed, plain = with_a_liar(1), with_a_liar(0)
    assert trimmed.metrics["distance"][0] > 9
    assert trimmed.metrics["distance"][-1] < 0.1
    assert plain.metrics["distance"][-1] > 90
    other = with_a_liar(1, lie=-7.0)  # whatever is said is left out, and what is left out is near what is heard
    assert np.abs(trimmed.state.x - other.state.x)[HONEST].max() < 1.0


def test_the_honest_nodes_alone_are_judged():
    result = with_a_liar(1)
    x = np.asarray(result.state.x)[HONEST]
    np.testing.assert_allclose(result.metrics["consensus"][-1], np.mean(np.sum((x - x.mean(axis=0)) ** 2, axis=1)))
