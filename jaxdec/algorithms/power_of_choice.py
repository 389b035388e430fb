"""Power of choice: of some candidates those clients take part whose losses are highest."""

import dataclasses
from math import gcd
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from jaxdec import checks
from jaxdec._module import at_round, module, static
from jaxdec.networks.servers import Mean
from jaxdec.types import Cost, Round, Tally

__all__ = ["PowerOfChoice"]


@module
class PowerOfChoice:
    r"""A method of a server whose clients are, of a round's candidates, those with the highest losses at its model.

    With A the clients that take part in a round of the network, the candidates, and m = `clients`::

        F_i = f_i(x),                          i in A, on all data of client i
        S = those m of A with the largest F_i, ties being broken at random
        x = a step of `method` in which S takes part

    The candidates are those of the network: of networks.server(n, cohort=d), d of them, drawn uniformly; the paper
    draws them by their data, networks.server(n, cohort=d, selection=BySize(sizes)). Of fewer candidates than m all take
    part. With d = m it is `method` itself, and the larger d, the more biased is who takes part. `r.p` is m / n, so that
    `r.mean` is the mean over S, for methods that divide by it too.

    Symbols: d is the number of candidates, m is `clients`. The state is that of `method`.
    Cost per round: that of `method` for m clients; and of each candidate one loss, counted as a gradient on all its
    data, and 32 bits up. Candidates that are not chosen are sent the model, 32 bits an entry, if they do not hear it
    anyway (broadcast="once"); those who are get what `method` sends.
    Network: a server, `networks.server(n, cohort=d)`, d ≥ m; clients may sleep.
    Guarantee: as d grows the model moves faster where clients differ, and to another point than the minimizer: that of
    a mean that weighs clients of high losses more.
    Reference: Cho, Wang, Joshi (2020), arXiv:2010.01243, pow-d; recalled, the page could not be
    read. Its variants, which estimate the losses on minibatches (cpow-d) or take old ones (rpow-d), are not here.

    >>> from jaxdec import algorithms, networks, problems, run
    >>> method = PowerOfChoice(algorithms.LocalSGD(lr=0.1, local_steps=5), clients=2)
    >>> result = run(method, problems.quadratic(8, 3), networks.server(8, cohort=6), rounds=100)
    >>> bool(result.metrics["distance"][-1] < 1.0)
    True
    >>> float(result.cost.grads[-1] / 100)  # (6 losses + 2 * 5 gradients) / 8
    2.0
    """

    requires: ClassVar[str] = "server"
    absent: ClassVar[str] = "own"
    method: Any
    clients: int = static()

    def check(self) -> None:
        checks.integer("PowerOfChoice.clients", self.clients)
        if not checks.is_a("algorithm", self.method) or isinstance(self.method, type):
            raise TypeError(
                "PowerOfChoice.method is a method of a server, such as algorithms.LocalSGD(lr=0.1, local_steps=5); got "
                f"{self.method!r}"
            )
        facts, name = checks.facts(self.method), type(self.method).__name__
        if facts.requires != {"server"} or facts.absent != "own":
            raise ValueError(
                "PowerOfChoice chooses among the clients of a server for a method that runs where others are absent, "
                f"such as LocalSGD, SCAFFOLD or SGD; {name} needs {' and '.join(sorted(facts.requires)) or 'nothing'}"
            )
        checks.settings(self.method)

    def advise(self, problem) -> None:
        checks.advice(self.method, problem)

    def init(self, problem, x0, r):
        if self.clients > r.m:
            raise ValueError(
                f"PowerOfChoice chooses clients={self.clients} among the candidates of a round, of whom this network "
                f"has {r.m}: take networks.server(n, cohort=d) with d of at least {self.clients}, or fewer clients"
            )
        return self._now(r).init(problem, x0, self._of(r, jnp.arange(self.clients)))

    def step(self, problem, s, r):
        candidates = r.of(problem)
        F = candidates.loss(r.spread(s.x))
        rows = self._highest(F if r.active is None else jnp.where(r.active, F, -jnp.inf), r)
        state, cost = self._now(r).step(problem, s, self._of(r, rows))
        return state, _with_losses(cost, candidates.data_size, rows, self._of(r, rows), r, problem.d)

    def _now(self, r: Round) -> Any:
        return at_round(self.method, r.t, r.dtype)

    def _highest(self, F, r: Round):
        """The rows of the m largest, in increasing order."""
        order = jax.random.permutation(r.fold("ties"), r.m)
        return jnp.sort(order[jnp.argsort(-F[order], stable=True)[: self.clients]])

    def _of(self, r: Round, rows) -> Round:
        """The round of some of its rows alone, whose mean is that over them."""
        clients = rows if r.clients is None else r.clients[rows]
        active = None if r.active is None else r.active[rows]
        several = self.clients if active is None else jnp.maximum(1, jnp.sum(active, dtype=r.dtype))
        W = Mean(self.clients, active)
        return dataclasses.replace(r, W=W, clients=clients, active=active, p=several / r.n, weighted=False)


def _with_losses(cost: Cost, sizes: Any, rows: Any, chosen: Round, r: Round, d: int) -> Cost:
    """The cost of a step, and of the losses of all candidates."""
    if r.active is not None or jnp.ndim(sizes):
        sizes = jnp.broadcast_to(jnp.asarray(sizes), (r.m,))
    grads: Any = cost.grads
    if not isinstance(grads, Tally) and jnp.ndim(grads):
        grads = chosen.per_node(grads)
    bits = _times(cost.vectors, 32 * d) if cost.bits is None else cost.bits
    sent: Any = 0
    if not r.once:
        others = jnp.ones(r.m, bool).at[rows].set(False)
        others = others if r.active is None else others & r.active
        known = r.active is None
        sent = 32 * d * (r.m - chosen.m) / r.n if known else Tally.of(others.astype(jnp.int32), 32.0 * d, r.n)
    return cost._replace(
        grads=_sum(grads, r.per_node(sizes), r.n),
        bits=_sum(bits, r.per_node(32), r.n),
        bits_down=_sum(cost.bits_down, sent, r.n),
    )


def _times(a: Any, factor: int) -> Any:
    return dataclasses.replace(a, times=a.times * factor) if isinstance(a, Tally) else a * factor


def _sum(a: Any, b: Any, n: int) -> Any:
    """The sum of two entries of a cost; of whole numbers over n it stays one, see `Tally`."""
    if not (isinstance(a, Tally) or isinstance(b, Tally)):
        return a + b
    parts = [whole for c in (a, b) if (whole := _whole(c, n)) is not None]
    common = gcd(*(times for _, _, times in parts)) or 1
    factors = [times // common for _, _, times in parts]
    if len(parts) < 2 or max(factors) >= 2**15:
        return _value(a) + _value(b)
    low = [low * f for (_, low, _), f in zip(parts, factors, strict=True)]
    high = [high * f + (l >> 16) for (high, _, _), l, f in zip(parts, low, factors, strict=True)]
    rest = (low[0] & 0xFFFF) + (low[1] & 0xFFFF)
    return Tally(high[0] + high[1] + (rest >> 16), rest & 0xFFFF, float(common), n)


def _whole(c: Any, n: int) -> tuple[Any, Any, int] | None:
    """The halves of a count, and of what, over n; None of what is no whole number, or not known to be."""
    if isinstance(c, Tally):
        return (c.high, c.low, int(c.times)) if c.over == n and float(c.times).is_integer() else None
    if isinstance(c, int | float) and abs(c * n - round(c * n)) < 1e-6:
        return jnp.asarray(0), jnp.asarray(1), round(c * n)
    return None


def _value(a: Any) -> Any:
    if not isinstance(a, Tally):
        return a
    return (65536.0 * a.high + a.low) * (a.times / a.over)
