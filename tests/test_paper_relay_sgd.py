"""The quadratics on which RelaySGD is compared: as different as is asked for."""

from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from jaxdec.papers import relay_sgd


@pytest.mark.parametrize("zeta2", [0.0, 0.1, 10.0])
def test_the_quadratics_are_as_curved_as_different_and_as_far_as_they_are_to_be(zeta2):
    problem = relay_sgd.random(8, 5, zeta2=zeta2, mu=0.5, seed=3)
    x = np.asarray(problem.minimizer)
    g = np.asarray(problem.grad(jnp.asarray(np.tile(x, (8, 1)))))
    curvatures = np.linalg.eigvalsh(np.asarray(problem.A))
    np.testing.assert_allclose(np.mean(np.sum(g**2, axis=1)), zeta2, rtol=1e-10, atol=1e-24)
    np.testing.assert_allclose(np.linalg.norm(x), 1, rtol=1e-10)
    np.testing.assert_allclose(curvatures, np.tile(np.linspace(0.5, 1, 5) ** 2, (8, 1)), rtol=1e-10)


def test_the_error_is_twice_the_suboptimality_of_the_mean():
    problem = relay_sgd.random(8, 5, zeta2=1.0)
    state = SimpleNamespace(x=jnp.asarray(np.random.default_rng(0).standard_normal((8, 5))))
    above = problem.objective(jnp.mean(state.x, axis=0)) - problem.objective(problem.minimizer)
    np.testing.assert_allclose(relay_sgd.error(problem, state), 2 * above, rtol=1e-10)
