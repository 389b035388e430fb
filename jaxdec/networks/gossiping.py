"""Networks with several gossip steps in a round, which cost as many messages: powers of W, Chebyshev polynomials."""

from typing import Any

from jaxtyping import Array, Int, PyTree

from jaxdec import checks
from jaxdec._module import module
from jaxdec._module import static as _static
from jaxdec.networks.families import PushPull
from jaxdec.networks.polynomials import Chebyshev, Power, interval
from jaxdec.types import PRNGKey, ScalarLike, World

__all__ = ["KEPT", "SUMS", "Repeated", "chebyshev", "repeated"]

SUMS = frozenset({"symmetric", "doubly stochastic", "column stochastic", "row stochastic", "push-pull"})
KEPT = SUMS | {"fixed", "reliable"}


@module
class Repeated:
    """A network whose rounds have several gossip steps. Made by `repeated` or by `chebyshev`."""

    inner: Any
    rounds: int = _static()
    interval: tuple[ScalarLike, ScalarLike] | None = None  # of the eigenvalues, for Chebyshev's polynomials

    @property
    def n(self) -> int:
        return self.inner.n

    @property
    def provides(self) -> frozenset[str]:
        return self.inner.provides & KEPT

    def init(self, key: PRNGKey) -> PyTree:
        return self.inner.init(key)

    def at(self, memory: PyTree, t: Int[Array, ""], key: PRNGKey) -> tuple[PyTree, World]:
        memory, world = self.inner.at(memory, t, key)
        W = PushPull(*map(self._several, world.W)) if isinstance(world.W, PushPull) else self._several(world.W)
        return memory, world._replace(W=W, hops=self.rounds)

    def _several(self, W: Any) -> Any:
        return Power(W, self.rounds) if self.interval is None else Chebyshev(W, *self.interval, self.rounds)

    @property
    def lasts(self) -> int | None:
        """For how many rounds the inner network is known; None for all."""
        return checks.lasts(self.inner)


def repeated(network: Any, rounds: int) -> Any:
    """A network in which every W is multiplied several times: W^rounds in a round, at the cost of as many messages.

    What fails in a round fails in all of its gossip steps.

    Args:
        network: of a graph, whose W keeps nothing on arcs.
        rounds: how many gossip steps there are in a round.

    Raises:
        ValueError: if the network is a server's, asynchronous, already repeated or loses messages that nobody knows of.

    >>> from jaxdec import algorithms, networks, problems, run
    >>> problem, ring = problems.quadratic(8, 3), networks.ring(8)
    >>> float(run(algorithms.DSGD(lr=0.1), problem, repeated(ring, 3), rounds=10).cost.vectors[-1])
    30.0
    """
    checks.integer("rounds, the gossip steps of a round,", rounds)
    _of_a_graph("repeated", network)
    return Repeated(network, rounds)


def chebyshev(network: Any, rounds: int) -> Any:
    """A network whose W is a Chebyshev polynomial of the given one: in about √n of the rounds it averages as well.

    For k gossip steps the disagreement falls by 1 / T_k(z), where z = (2 - b - a) / (b - a) for eigenvalues of W in
    [a, b] but for the 1 of consensus: with gap = 1 - max(|a|, |b|) about 2 exp(-k √(2 gap)), where that of W^k is
    exp(-k gap).

    Reference: Scaman, Bach, Bubeck, Lee, Massoulié (2017), arXiv:1702.08704, Algorithm 2.

    Args:
        network: with a symmetric W that does not change, such as `networks.ring(n)`.
        rounds: how many gossip steps there are in a round; entries of the polynomial may be negative.

    Raises:
        ValueError: if its W is not symmetric, or changes.

    >>> from jaxdec import graphs, networks
    >>> W = networks.ring(16).W
    >>> [round(graphs.spectrum(V.dense()).gap, 1) for V in (W, W.power(4), W.chebyshev(4))]
    [0.1, 0.2, 0.6]
    """
    checks.integer("rounds, the gossip steps of a round,", rounds)
    _of_a_graph("chebyshev", network)
    if not {"symmetric", "fixed", "reliable"} <= network.provides:
        raise ValueError(
            "networks.chebyshev needs a symmetric W that is the same in every round, whose eigenvalues are known; this "
            f"network provides {', '.join(sorted(network.provides)) or 'nothing'}. Take networks.repeated instead"
        )
    return Repeated(network, rounds, interval(network.W))


def _of_a_graph(name: str, network: Any) -> None:
    laws = network.provides
    if "server" in laws or "asynchronous" in laws or not laws & SUMS:
        raise ValueError(
            f"networks.{name} is of a network of a graph whose W can be multiplied, such as networks.ring(8); this one "
            f"provides {', '.join(sorted(laws)) or 'nothing'}"
        )
    if isinstance(network, Repeated):
        raise ValueError(f"networks.{name} of a network that is repeated already; multiply its rounds instead")
