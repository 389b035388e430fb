"""What the tests of the local methods at a server run on: quadratics, networks, who is present, recorded states."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rounds
from cases import gradients

from jaxdec import networks, problems, testing

N, D, K, ROUNDS, SEED = 5, 3, 3, 20, 5
rng = np.random.default_rng(1)
Q = np.linalg.qr(rng.standard_normal((N, D, D)))[0]
CURVATURES = np.einsum("nij,nj,nkj->nik", Q, rng.uniform(0.5, 1.0, (N, D)), Q)
CURVATURES = (CURVATURES + CURVATURES.transpose(0, 2, 1)) / 2
PROBLEM = problems.Quadratic(jnp.asarray(CURVATURES), jnp.asarray(rng.standard_normal((N, D))), 0.5)
EXACT = problems.Quadratic(PROBLEM.A, PROBLEM.b, 0.0)
X0 = rng.standard_normal(D)
KEYS = rounds.keys(SEED)
grad = gradients(PROBLEM, KEYS.data, (K + 1) * ROUNDS)

NETWORKS = {
    "everybody": networks.server(N),
    "Bernoulli": networks.server(N, participation=0.5),
    "cohort": networks.server(N, cohort=2),
}
everywhere = pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)


def present(network):
    """The clients of each round, for the references."""
    active = rounds.presence(network, N, SEED, ROUNDS)
    return lambda t: [int(i) for i in np.flatnonzero(active[t])]


def hutchinson(steps):
    """statistic(i, x, k) of OASIS and AdaHessian, by the signs that the run draws; the quadratic's Hessian is A_i."""

    def signs(t, j):
        key = rounds.fold(rounds.keys_of(KEYS, t)[1], "statistic")
        keys = [jax.random.fold_in(jax.random.fold_in(key, i), j) for i in range(N)]
        return jnp.stack([jax.random.rademacher(key, (D,), float) for key in keys])

    each = jax.vmap(jax.vmap(signs, (None, 0)), (0, None))
    v = np.asarray(each(jnp.arange(ROUNDS), jnp.arange(steps))).reshape(-1, N, D)
    return lambda i, x, k: v[k, i] * (CURVATURES[i] @ v[k, i])


def path(algorithm: Any, network: Any = NETWORKS["everybody"], problem: Any = PROBLEM, rounds=ROUNDS) -> Any:
    """The states over the rounds: x (rounds + 1, d), and the rest by name."""
    return testing.trajectory(algorithm, problem, network, rounds=rounds, x0=X0, seed=SEED).states


def model(*args, **options):
    return path(*args, **options)[".x"][:, 0]
