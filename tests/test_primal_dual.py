"""Primal-dual, accelerated and adaptive methods of graphs: loops over nodes, conserved sums, where they end, limits."""

from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from cases import UNDIRECTED, D, N, gradients, quadratic
from reference import primal_dual as reference

import jaxdec
from jaxdec import algorithms as A
from jaxdec import networks, testing
from jaxdec.loop import Keys

pytestmark = pytest.mark.sampled(2)

NOISY, EXACT, SEED, SHORT = quadratic(0.5), quadratic(0.0), 7, 20
W = np.asarray(UNDIRECTED.W.dense())
X0 = np.random.default_rng(4).standard_normal((N, D))
GRAD = gradients(NOISY, Keys.of(SEED).data, 100)
CURVATURES, B = np.asarray(EXACT.A), np.asarray(EXACT.b)
MINIMIZER = np.asarray(EXACT.minimizer)
AT_MINIMIZER = np.einsum("nij,j->ni", CURVATURES, MINIMIZER) - B


def states(method: Any, problem: Any = NOISY, rounds: int = SHORT, network: Any = UNDIRECTED) -> dict[str, np.ndarray]:
    found = testing.trajectory(method, problem, network, rounds=rounds, x0=X0, seed=SEED).states
    return {name.strip("."): array for name, array in found.items()}


def same(a, b, atol=1e-12):
    np.testing.assert_allclose(a, b, rtol=0, atol=atol)


def prox(i, x, step):
    return np.linalg.solve(np.eye(D) + step * CURVATURES[i], x + step * B[i])


MOMENTS = {"b1": 0.8, "b2": 0.9, "eps": 1e-2}
LOOPS = [  # a method, its reference and, where these are not its fields, the options of that
    (A.DLM(lr=0.2, penalty=0.4), reference.dlm),
    (A.LTADMM(lr=0.1, local_steps=3, penalty=0.5, consensus_lr=0.2, relaxation=0.6), reference.lt_admm),
    (A.ATG(lr=0.3, penalty=0.5, relaxation=0.6, damping=0.4), reference.atg),
    (A.WangElia(lr=0.3), reference.wang_elia),
    (A.SimpleGT(lr=0.3), reference.simple_gt),
    (A.DiNNO(lr=0.1, local_steps=3, penalty=0.3), reference.dinno),
    (A.OPAPC(lr=0.5, momentum=0.6, curvature=0.2, consensus_lr=0.4), reference.opapc),
    (A.AccDNGD(lr=0.1, curvature=0.3), reference.acc_dngd),
    (A.DFedAvgM(lr=0.1, local_steps=3, momentum=0.6), reference.dfedavgm),
    (A.DFedSAM(lr=0.1, local_steps=3, radius=0.2), reference.dfedsam),
    (A.DAdam(lr=0.05, **MOMENTS), reference.dadam),
    (A.DAdam(lr=0.05, amsgrad=True, **MOMENTS), reference.dadam),
    (A.DAMSGrad(lr=0.05, **MOMENTS), reference.damsgrad),
    (A.QGAdam(lr=0.05, **MOMENTS), reference.qg_adam),
    (A.QGAdam(lr=0.05, moments="both", **MOMENTS), reference.qg_adam),
    (A.GTAdam(lr=0.05, cap=0.5, **MOMENTS), reference.gt_adam),
]


@pytest.mark.parametrize(("method", "loop"), LOOPS, ids=lambda v: type(v).__name__)
def test_twenty_rounds_equal_the_loop_over_nodes(method, loop):
    same(states(method)["x"], loop(W, GRAD, X0, SHORT, **vars(method)))


def test_twenty_rounds_of_decentralized_admm_equal_the_loop_over_nodes():
    found = states(A.DADMM(penalty=0.3), EXACT)
    same(found["x"], reference.dadmm(W, prox, X0, SHORT, penalty=0.3))
    same(found["a"].sum(axis=1), 0)


# What is conserved.

CONSERVED = [
    (A.DLM(lr=0.2, penalty=0.4), lambda s: s["a"].sum(axis=1)),
    (A.DiNNO(lr=0.1, local_steps=3, penalty=0.3), lambda s: s["p"].sum(axis=1)),
    (A.SimpleGT(lr=0.3), lambda s: s["c"].sum(axis=1)),
    (A.WangElia(lr=0.3), lambda s: s["z"].sum(axis=1)),
    (A.OPAPC(lr=0.5, momentum=0.6, curvature=0.2), lambda s: s["y"].sum(axis=1)),
    (A.AccDNGD(lr=0.1, curvature=0.3), lambda s: (s["s"] - s["g"]).mean(axis=1)),
    (A.DAMSGrad(lr=0.05, **MOMENTS), lambda s: (s["u"] - s["top"]).mean(axis=1)),
    (A.GTAdam(lr=0.05, **MOMENTS), lambda s: (s["s"] - s["g"]).mean(axis=1)),
]


@pytest.mark.parametrize(("method", "sums"), CONSERVED, ids=lambda v: type(v).__name__)
@pytest.mark.thinned(4)
def test_what_sums_to_zero_does(method, sums):
    same(sums(states(method)), 0)


# Where they end.

ENDS = [
    # method, a field that holds a multiple of the gradients at the minimizer, and the factor
    (A.DADMM(penalty=0.3), "a", -1.0),
    (A.DLM(lr=0.2, penalty=0.4), "a", -1.0),
    (A.DiNNO(lr=0.1, local_steps=3, penalty=0.3), "p", -1.0),
    (A.SimpleGT(lr=0.3), "c", -1.0),
    (A.WangElia(lr=0.05), None, 0.0),
    (A.OPAPC(lr=0.5, momentum=0.6, curvature=0.2), "y", -1.0),
    (A.AccDNGD(lr=0.05, curvature=0.3), "g", 1.0),
    (A.LTADMM(lr=0.1, local_steps=3, penalty=0.3, consensus_lr=0.2), None, 0.0),
    (A.ATG(lr=0.3, damping=0.3), None, 0.0),
    (A.GTAdam(lr=0.05, b1=0.8, b2=0.9, eps=0.2), "m", 0.0),
]


@pytest.mark.parametrize(("method", "field", "factor"), ENDS, ids=lambda v: type(v).__name__)
@pytest.mark.thinned(4)
def test_the_minimizer_is_reached_however_different_the_nodes(method, field, factor):
    found = states(method, EXACT, 3000)
    same(found["x"][-1], np.tile(MINIMIZER, (N, 1)), 1e-10)
    if field is not None:
        same(found[field][-1], factor * AT_MINIMIZER, 1e-9)


@pytest.mark.slow
def test_edges_that_lose_messages_leave_the_minimizer_where_it_is():
    lossy = networks.lossy(UNDIRECTED, 0.3, rule="arcs")
    known = networks.lossy(UNDIRECTED, 0.3)
    for method, network in (
        (A.LTADMM(lr=0.05, local_steps=3, penalty=0.3, consensus_lr=0.1), lossy),
        (A.ATG(lr=0.3, damping=0.2), lossy),
    ):
        same(states(method, EXACT, 6000, network)["x"][-1], np.tile(MINIMIZER, (N, 1)), 1e-9)
    for method in (A.DADMM(penalty=0.3), A.DLM(lr=0.1, penalty=0.3)):
        with pytest.warns(UserWarning, match="convergence is not promised"):
            same(states(method, EXACT, 300, known)["a"].sum(axis=1), 0)


# What they reduce to.


@pytest.mark.slow
def test_without_what_they_add_they_are_local_gossip():
    local = {"lr": 0.1, "local_steps": 3}
    gossip = states(A.LocalDSGD(**local))["x"]
    same(states(A.DFedAvgM(**local, momentum=0.0))["x"], gossip)
    same(states(A.DFedSAM(**local, radius=0.0))["x"], gossip)


@pytest.mark.slow
def test_on_the_complete_graph_and_with_equal_hessians_the_accelerated_tracker_is_nesterovs_method():
    problem = type(EXACT)(jnp.tile(EXACT.A[:1], (N, 1, 1)), EXACT.b, 0.0)
    start = np.tile(X0[0], (N, 1))
    method = A.AccDNGD(lr=0.1, curvature=0.3)
    found = testing.trajectory(method, problem, networks.complete(N), rounds=SHORT, x0=start).states[".x"]
    gradient = lambda x: CURVATURES[0] @ x - B.mean(axis=0)
    same(found.mean(axis=1), reference.nesterov(gradient, X0[0], SHORT, lr=0.1, curvature=0.3))


def test_bad_input_is_refused():
    run = partial(jaxdec.run, problem=NOISY, network=UNDIRECTED, rounds=1)
    for method, says in (
        (A.DADMM(penalty=0.0), "DADMM.penalty"),
        (A.LTADMM(lr=0.1, local_steps=2, relaxation=1.5), "LTADMM.relaxation is the weight alpha"),
        (A.ATG(lr=0.1, relaxation=0.0), "ATG.relaxation is the weight alpha"),
        (A.OPAPC(lr=0.1, momentum=0.0, curvature=0.1), "OPAPC.momentum is the weight tau"),
        (A.DFedSAM(lr=0.1, local_steps=2, radius=-1.0), "how far uphill"),
        (A.GTAdam(lr=0.1, b1=1.0), r"GTAdam.b1 lies in \[0, 1\)"),
    ):
        with pytest.raises(ValueError, match=says):
            run(method)
