"""The largest steps: on quadratics of equal curvature every limit is known exactly, and here it is met to 3 %.

One program per method: its steps run side by side, and the graphs and the momenta are traced.
"""

import jax.numpy as jnp
import numpy as np
import pytest

import jaxdec
from jaxdec import algorithms as A
from jaxdec import graphs, networks, problems

pytestmark = pytest.mark.sampled(12)

N, D, ROUNDS = 8, 2, 12_000
CURVATURE = 0.8

rng = np.random.default_rng(2)
PROBLEM = problems.Quadratic(jnp.full((N, D), CURVATURE), jnp.asarray(rng.standard_normal((N, D))), 0.0)
X0 = rng.standard_normal((N, D))  # has a part along every eigenvector of W

RING, HYPERCUBE = (graphs.metropolis(g).toarray() for g in (graphs.ring(N), graphs.hypercube(N)))
MATRICES = {
    "ring": RING,
    "lazy ring": graphs.lazy(RING),
    "hypercube": HYPERCUBE,
    "semantic exponential": graphs.metropolis(graphs.semantic_exponential(N)).toarray(),
    "path": graphs.metropolis(graphs.path(N)).toarray(),
    "complete": np.full((N, N), 1 / N),
    "nearly periodic": 1.3 * HYPERCUBE - 0.3 * np.eye(N),
}
LEAST = {"ring": -1 / 3, "lazy ring": 1 / 3, "hypercube": -1 / 2, "complete": 0, "nearly periodic": -0.95}
LEAST |= {name: graphs.spectrum(MATRICES[name]).lambda_min for name in ("semantic exponential", "path")}
NETWORKS = {name: networks.static(W, form="dense") for name, W in MATRICES.items()}

each_graph = pytest.mark.parametrize("graph", MATRICES)


def error(problem, state):
    """The largest entry of X - x*."""
    return jnp.max(jnp.abs(state.x - problem.minimizer[None]))


def growth(method, graph, steps):
    """By how much the error grows over the run, for each of the steps, given as lr times curvature."""
    results = jaxdec.sweep(
        method,
        PROBLEM,
        NETWORKS[graph],
        over={"lr": [step / CURVATURE for step in steps]},
        seeds=1,
        rounds=ROUNDS,
        every=ROUNDS,
        x0=X0,
        metrics=(error,),
        progress=False,
    )
    grown = (results.error.isel(round=1) / results.error.isel(round=0)).values[:, 0]
    return np.where(np.isfinite(grown), grown, np.inf)


def assert_limit(method, graph, limit):
    below, above = growth(method, graph, [0.97 * limit, 1.03 * limit])
    assert below < 1e-2
    assert above > 1e2


LIMITS = {
    "cta": lambda l: (1 + l) ** 2 / 2,
    "semi-atc": lambda l: min(2, (1 - l**2) / -l) if l < 0 else 2,
    "atc": lambda l: min(2, (1 + l) ** 2 / (2 * l**2)) if l < 0 else 2,
}


@each_graph
@pytest.mark.parametrize("form", LIMITS)
def test_gradient_tracking_converges_up_to_its_limit(form, graph):
    assert_limit(A.GradientTracking(lr=1.0, form=form), graph, LIMITS[form](LEAST[graph]))


@each_graph
@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_momentum_tracking_converges_up_to_its_limit(momentum, graph):
    limit = (1 + LEAST[graph]) ** 2 * (1 + momentum) / 2
    assert_limit(A.MomentumTracking(lr=1.0, momentum=momentum), graph, limit)


@each_graph
def test_extra_converges_up_to_its_limit(graph):
    assert_limit(A.EXTRA(lr=1.0), graph, (5 + 3 * LEAST[graph]) / 4)


@each_graph
def test_simple_gt_converges_up_to_its_limit(graph):
    assert_limit(A.SimpleGT(lr=1.0), graph, (3 + LEAST[graph]) / 2)


@each_graph
def test_the_wang_elia_method_converges_up_to_its_limit(graph):
    k = (1 - LEAST[graph]) / 2
    assert_limit(A.WangElia(lr=1.0), graph, 2 - k + k**2 / 2)


@each_graph
def test_nids_converges_up_to_the_limit_of_gradient_descent(graph):
    assert_limit(A.NIDS(lr=1.0), graph, 2)


@each_graph
def test_d2_converges_up_to_the_limit_of_gradient_descent(graph):
    assert_limit(A.D2(lr=1.0), graph, 2)


@pytest.mark.parametrize("graph", ["hypercube", "nearly periodic"])
def test_d2_diverges_with_small_steps_where_the_least_eigenvalue_is_below_minus_a_third(graph):
    l = -LEAST[graph]
    limit = (3 * l - 1) / (2 * l)
    below, above = growth(A.D2(lr=1.0), graph, [0.97 * limit, 1.03 * limit])
    assert below > 1e2
    assert above < 1e-2


def test_d2_converges_with_small_steps_on_the_even_ring_whose_least_eigenvalue_is_minus_a_third():
    assert all(growth(A.D2(lr=1.0), "ring", [0.01, 0.1]) < 1e-2)
