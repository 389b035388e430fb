"""The variance of a quantizer at which quantized push-sum stops converging: in exact moments, and in simulation."""

import jax.numpy as jnp
import numpy as np
import pytest

import jaxdec
from jaxdec import algorithms as A
from jaxdec import compressors as C
from jaxdec import graphs, networks, problems, theory


def test_critical_variance_of_known_graphs():
    assert round(theory.critical_variance(graphs.directed_ring(10)), 3) == 0.333
    assert round(theory.critical_variance(networks.directed_exponential(10)), 4) == 0.2305
    assert theory.critical_variance(np.ones((1, 1))) == 1


def test_critical_variance_refuses_weights_of_which_powers_do_not_converge():
    for W in (np.roll(np.eye(3), 1, axis=0), graphs.row_stochastic(graphs.random_digraph(6, 0.2))):
        with pytest.raises(ValueError, match="column-stochastic W whose powers converge"):
            theory.critical_variance(W)


class Moments:
    """The exact second moments of one coordinate of quantized push-sum averaging, from a start whose sum is zero.

    Of s = (u, xhat), (2n,): s+ = A s + B e, where e_i has variance omega (u_i - xhat_i)². On numerators that sum to
    zero W is W - phi 1', without its eigenvalue 1.
    """

    def __init__(self, W: np.ndarray, omega: float):
        eye = np.eye(len(W))
        values, vectors = np.linalg.eig(W)
        phi = np.real(vectors[:, np.argmax(values.real)])
        self.A = np.block([[W - phi[:, None] / phi.sum(), 0 * eye], [eye, 0 * eye]])
        self.B, self.C, self.omega = np.vstack([W - eye, eye]), np.hstack([eye, -eye]), omega

    def step(self, S: np.ndarray) -> np.ndarray:
        variance = self.omega * np.diag(self.C @ S @ self.C.T)
        return self.A @ S @ self.A.T + self.B * variance @ self.B.T

    def growth(self) -> float:
        """The factor per round in the long run: the spectral radius of `step`."""
        noise = sum(np.outer(np.kron(b, b), np.kron(c, c)) for b, c in zip(self.B.T, self.C, strict=True))
        return np.abs(np.linalg.eigvals(np.kron(self.A, self.A) + self.omega * noise)).max()


SMALL = [networks.directed_ring(5), networks.random_digraph(6, 0.2, seed=1), networks.random_digraph(6, 0.5, seed=2)]


@pytest.mark.parametrize("network", SMALL)
def test_at_the_critical_variance_second_moments_neither_grow_nor_shrink(network):
    W, critical = np.asarray(network.W.dense()), theory.critical_variance(network)
    assert abs(Moments(W, critical).growth() - 1) < 1e-10
    assert Moments(W, 0.99 * critical).growth() < 1 - 1e-3
    assert Moments(W, 1.01 * critical).growth() > 1 + 1e-3


@pytest.mark.parametrize("network", [networks.directed_ring(10), networks.directed_exponential(10)])
@pytest.mark.thinned(2)
def test_quantized_push_sum_converges_below_the_critical_variance_and_diverges_above(network):
    replicas, rounds = 20_000, 40  # every coordinate is an experiment of its own
    u = np.random.default_rng(0).standard_normal(10)
    u -= u.mean()
    problem = problems.Quadratic(A=np.ones((10, replicas)), b=np.zeros((10, replicas)))
    for factor in (0.8, 1.25):
        omega = factor * theory.critical_variance(network)
        method = A.QuantizedPushSumGossip(C.RandP(p=1 / (1 + omega)))
        result = jaxdec.run(
            method, problem, network, rounds=rounds, x0=np.tile(u[:, None], replicas), metrics={"error": squared_error}
        )  # fmt: skip
        error, S = np.asarray(result.metrics["error"]), np.zeros((20, 20))
        S[:10, :10] = np.outer(u, u)
        for t in range(11):
            np.testing.assert_allclose(error[t], np.trace(S[:10, :10]), rtol=0.1)
            S = Moments(np.asarray(network.W.dense()), omega).step(S)
        assert error[40] < 0.2 * error[10] if factor < 1 else error[40] > 10 * error[10]


def squared_error(problem, state):
    """Σ_i z_i², the mean over coordinates; the mean to be found is zero."""
    return jnp.sum(state.x**2) / problem.d
