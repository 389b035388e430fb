"""What the tests of the undirected methods run on: quadratics, networks, and trajectories with every state recorded."""

from types import SimpleNamespace
from typing import Any

import jax.numpy as jnp
import numpy as np
import rounds
from cases import gradients

from jaxdec import graphs, networks, problems, testing
from jaxdec.networks import operators
from jaxdec.networks.families import Static

N, D, ROUNDS, SEED = 8, 3, 2000, 5
W = graphs.metropolis(graphs.erdos_renyi(N, 0.4, seed=8)).toarray()  # least eigenvalue -0.27
GRAPH = networks.static(W, form="dense")
LAZY = networks.static(graphs.lazy(W), form="dense")
COMPLETE = networks.static(np.full((N, N), 1 / N), form="dense")
ALONE = Static(operators.Dense(jnp.eye(N)), GRAPH.provides)  # every node by itself: n = 1, N times

rng = np.random.default_rng(1)
Q = np.linalg.qr(rng.standard_normal((N, D, D)))[0]
CURVATURES = np.einsum("nij,nj,nkj->nik", Q, rng.uniform(0.5, 1.0, (N, D)), Q)
CURVATURES = (CURVATURES + CURVATURES.transpose(0, 2, 1)) / 2
B = rng.standard_normal((N, D))
X0 = rng.standard_normal(D)

NOISY = problems.Quadratic(jnp.asarray(CURVATURES), jnp.asarray(B), 0.5)
EXACT = problems.Quadratic(jnp.asarray(CURVATURES), jnp.asarray(B), 0.0)
SAME_HESSIAN = problems.Quadratic(jnp.asarray(np.tile(CURVATURES[0], (N, 1, 1))), jnp.asarray(B), 0.0)


def path(algorithm, problem=NOISY, network=GRAPH) -> Any:
    """The fields of the state over the rounds, (ROUNDS + 1, N, D) each."""
    found = testing.trajectory(algorithm, problem, network, rounds=ROUNDS, x0=X0, seed=SEED).states
    return SimpleNamespace(**{name.strip("."): array for name, array in found.items()})


KEYS = rounds.keys(SEED)
grad = gradients(NOISY, KEYS.data, ROUNDS + 1)


def G(x, k):
    """All nodes' stochastic gradients number k at x, (N, D)."""
    return np.stack([grad(i, x[i], k) for i in range(N)])


def same(a, b):
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)


def different(a, b, by=0.05):
    assert np.abs(a - b).max() > by
