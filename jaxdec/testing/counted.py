"""Problems and mixing operators that count: what a method evaluates, draws and sends."""

from typing import Any, NamedTuple

import jax
import numpy as np

from jaxdec.networks.families import PushPull

__all__ = ["Counted", "CountedOperator", "CountedProblem", "counted"]


class Counted(NamedTuple):
    """What a step did. Two evaluations of one gradient, at one point with one minibatch, are one."""

    gradients: dict[Any, int]  # by point and minibatch; how many of the nodes computed them, d times of a Hessian
    whole: dict[Any, int]  # the same of those on all of the nodes' data
    drawn: list[int]  # the numbers of the minibatches
    keys: list[Any]  # the keys they were drawn with
    sent: list[tuple[int, ...]]  # the shapes of what was multiplied by W
    arcs: list[int]  # an entry for each time that the arcs were asked for
    missed: list[str]  # what could not be counted

    @classmethod
    def new(cls) -> "Counted":
        return cls({}, {}, [], [], [], [], [])


class CountedProblem:
    """A problem that counts what is asked of it, and computes as usual."""

    def __init__(self, problem: Any, seen: Counted):
        self._problem, self._seen = problem, seen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._problem, name)

    def sample(self, key_data, i):
        if isinstance(i, jax.core.Tracer) or isinstance(key_data, jax.core.Tracer):
            self._seen.missed.append("it draws minibatches inside of a transformation of JAX")
        else:
            self._seen.drawn.append(int(i))
            self._seen.keys.append(np.asarray(jax.random.key_data(key_data)))
        return self._problem.sample(key_data, i)

    def loss(self, x, batch=None):
        if isinstance(x, jax.core.Tracer):
            self._seen.missed.append("it differentiates the loss itself")
            return self._problem.loss(x, batch)
        return self._evaluated("loss", x, batch)

    def grad(self, x, batch=None):
        return self._evaluated("grad", x, batch)

    def part_grads(self, x, batch=None):
        return self._evaluated("part_grads", x, batch if self._problem.parts > 1 else None)

    def hvp(self, x, v, batch=None):
        return self._evaluated("hvp", x, v, batch)

    def hessian(self, x, batch=None):
        return self._evaluated("hessian", x, batch, times=self._problem.d)

    def take(self, clients):
        return CountedProblem(self._problem.take(clients), self._seen)

    def _evaluated(self, name: str, *arguments: Any, times: int = 1) -> Any:
        arrays = jax.tree.leaves(arguments)
        if any(isinstance(a, jax.core.Tracer) for a in arrays):
            self._seen.missed.append("it evaluates gradients inside of a transformation of JAX")
        else:
            what = name, *(np.asarray(_data(a)).tobytes() for a in arrays)
            on = self._seen.whole if arguments[-1] is None else self._seen.gradients
            on[what] = times * arguments[0].shape[0]
        return getattr(self._problem, name)(*arguments)


class CountedOperator:
    """A mixing operator that counts what it is multiplied with."""

    def __init__(self, W: Any, seen: Counted):
        self._W, self._seen = W, seen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._W, name)

    def __matmul__(self, x):
        self._seen.sent.append(x.shape)
        return self._W @ x

    @property
    def arcs(self):
        self._seen.arcs.append(1)
        return self._W.arcs

    def lazy(self):
        return CountedOperator(self._W.lazy(), self._seen)


def counted(W: Any, seen: Counted) -> Any:
    """W, or both of a pair, counting."""
    if isinstance(W, PushPull):
        return PushPull(CountedOperator(W.R, seen), CountedOperator(W.C, seen))
    return CountedOperator(W, seen)


def _data(a: Any) -> Any:
    return jax.random.key_data(a) if jax.dtypes.issubdtype(a.dtype, jax.dtypes.prng_key) else a
