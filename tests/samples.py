"""Least squares of unequal shares, for the tests of variance-reduced methods: in JAX, and sample by sample in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import rounds
from reference.variance import Samples

from jaxdec import data, problems

N, D, ROUNDS, SEED, L2 = 6, 3, 20, 7, 0.1
SIZES = [4, 5, 4, 3, 5, 4]
KEYS = rounds.keys(SEED)

_rng = np.random.default_rng(2)
_A, _b = _rng.standard_normal((sum(SIZES), D)), _rng.standard_normal(sum(SIZES))
DATA = data.dataset(_A, _b)
SHARES = data.from_lists(np.split(_rng.permutation(sum(SIZES)), np.cumsum(SIZES)[:-1]), sum(SIZES))
_lists = [np.asarray(row)[:m] for row, m in zip(SHARES.indices, SIZES, strict=True)]


def least_squares(batch_size=2):
    return problems.least_squares(DATA, SHARES, bias=False, batch_size=batch_size, l2=L2)


PROBLEM, EXACT = problems.solve(least_squares()), problems.solve(least_squares(None))
START = _rng.standard_normal((N, D))  # a point for each node


def _part(i, j, x):
    a, b = _A[_lists[i][j]], _b[_lists[i][j]]
    return a * (a @ x - b) + L2 * x


def samples(count=200):
    """The nodes' samples, and the positions of so many minibatches as a run draws them."""
    drawn = np.asarray(jax.vmap(lambda k: PROBLEM.sample(KEYS.data, k))(jnp.arange(count)))
    return Samples(_part, SIZES, lambda i, k: drawn[k, i].tolist())
