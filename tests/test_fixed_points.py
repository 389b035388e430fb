"""Where the undirected methods end with exact gradients: at the minimizer, or at a bias that is another method's."""

import dataclasses
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rounds import round_of
from undirected import CURVATURES, EXACT, GRAPH, KEYS, ROUNDS, SEED, X0, B, N, different, path, same

import jaxdec
from jaxdec import algorithms as A

pytestmark = pytest.mark.sampled(12)


def ends(method) -> Any:
    """The state at the end of a run with exact gradients, which does not move any more."""
    found = path(method, EXACT)
    same(found.x[-1], found.x[-100])
    return SimpleNamespace(**{k: v[-1] for k, v in vars(found).items()})


def test_momentum_of_dsgdm_costs_bias_and_that_of_quasi_global_momentum_and_decentlam_does_not():
    same(ends(A.DSGDm(lr=0.05, momentum=0.8)).x, ends(A.DSGD(lr=0.25)).x)
    for method in (A.QGDSGDm, A.DecentLaM):
        same(ends(method(lr=0.05, momentum=0.8)).x, ends(A.DSGD(lr=0.05)).x)
    same(ends(A.QGDSGDm(lr=0.05, momentum=0.8, nesterov=True)).x, ends(A.DSGD(lr=0.09)).x)
    different(ends(A.DSGD(lr=0.05)).x, ends(A.DSGD(lr=0.09)).x)


MINIMIZER = np.asarray(EXACT.minimizer)
AT_MINIMIZER = np.einsum("nij,j->ni", CURVATURES, MINIMIZER) - B  # the nodes' gradients there

EXACT_METHODS = [
    # method, the field that holds a multiple of the gradients at the minimizer, and the factor
    (A.GradientTracking(lr=0.1), "g", 1.0),
    (A.KGT(lr=0.1, local_steps=3, outer_lr=0.7), "c", -1.0),
    (A.KGT(lr=0.1, local_steps=3, outer_lr=0.7, start="paper"), "c", -1.0),
    (A.PeriodicalGT(lr=0.1, local_steps=3), "c", -1.0),
    (A.PeriodicalGT(lr=0.1, local_steps=3, track="first"), "c", -1.0),
    (A.MomentumTracking(lr=0.05, momentum=0.8), "c", 5.0),
    (A.MomentumTracking(lr=0.05, momentum=0.8), "u", 5.0),
    (A.MomentumTracking(lr=0.1, momentum=0.0, start="zero"), "c", 1.0),
    (A.GradientTrackingHB(lr=0.1, momentum=0.8), "g", 1.0),
    (A.D2(lr=0.2), "c", -1.0),
    (A.NIDS(lr=0.2), "c", -1.0),
    (A.EXTRA(lr=0.2), "c", -1.0),
    (A.LED(lr=0.1, local_steps=3), "y", -0.3),
    (A.ProxSkip(lr=0.2, probability=0.4, consensus_lr=0.5), "h", 1.0),
]


@pytest.mark.parametrize(
    ("method", "field", "factor"), EXACT_METHODS, ids=[f"{type(m).__name__}.{field}" for m, field, _ in EXACT_METHODS]
)
def test_exact_methods_end_at_the_minimizer_and_hold_the_gradients_there(method, field, factor):
    end = ends(method)
    same(end.x, np.tile(MINIMIZER, (N, 1)))
    same(getattr(end, field), factor * AT_MINIMIZER)


@pytest.mark.slow
def test_a_new_step_size_leaves_the_minimizer_fixed_where_corrections_are_in_the_gradients_units():
    r = round_of(GRAPH, N, ROUNDS, key=KEYS.rounds, key_data=KEYS.data)

    def moved(method):
        end = jaxdec.run(method, EXACT, GRAPH, rounds=ROUNDS, x0=X0, seed=SEED, metrics=()).state
        halved = dataclasses.replace(method, lr=method.lr / 2)
        return np.abs(np.asarray(halved.step(EXACT, end, r)[0].x) - MINIMIZER).max()

    for method in (
        A.GradientTracking(lr=0.1),
        A.KGT(lr=0.1, local_steps=3),
        A.MomentumTracking(lr=0.05, momentum=0.8),
        A.D2(lr=0.2),
        A.NIDS(lr=0.2),
        A.EXTRA(lr=0.2),
        A.ProxSkip(lr=0.2, probability=1.0),
    ):
        assert moved(method) < 1e-12
    assert moved(A.LED(lr=0.1, local_steps=3)) > 1e-2
