"""The undirected methods against each other: which are the same, and which are not.

Unless a test says otherwise, on heterogeneous quadratics with noise, over a graph whose weights have a negative
eigenvalue. Every algorithm is one program: problem, W and hyperparameters are traced.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import decentralized as reference
from undirected import (
    ALONE,
    COMPLETE,
    CURVATURES,
    GRAPH,
    LAZY,
    NOISY,
    SAME_HESSIAN,
    SEED,
    X0,
    B,
    D,
    G,
    N,
    W,
    different,
    grad,
    path,
    same,
)

from jaxdec import algorithms as A
from jaxdec import networks, problems, testing
from jaxdec._module import module
from jaxdec.networks import operators
from jaxdec.types import World

pytestmark = pytest.mark.sampled(12)


def tracking(lr, form, y, rounds=200):
    """Gradient tracking from a tracker y that is given."""
    x, g, found = np.tile(X0, (N, 1)), G(np.tile(X0, (N, 1)), 0), []
    for t in range(rounds):
        found.append(x)
        x = W @ x - lr * y if form == "cta" else W @ (x - lr * y)
        g, old = G(x, t + 1), g
        y = W @ y + g - old
    return np.stack(found)


MEAN_OF_FIRST_GRADIENTS = np.tile(G(np.tile(X0, (N, 1)), 0).mean(axis=0), (N, 1))


# K-GT and gradient tracking


def test_kgt_with_one_local_step_is_semi_atc_tracking_of_the_product_of_its_steps():
    expected = path(A.GradientTracking(lr=0.2)).x
    same(path(A.KGT(lr=0.25, local_steps=1, outer_lr=0.8)).x, expected)
    same(path(A.KGT(lr=0.4, local_steps=1, outer_lr=0.5)).x, expected)


@pytest.mark.parametrize("form", ["cta", "atc"])
def test_kgt_with_one_local_step_is_not_another_form_of_tracking(form):
    different(path(A.KGT(lr=0.2, local_steps=1)).x, path(A.GradientTracking(lr=0.2, form=form)).x)


def test_kgt_from_the_papers_start_is_tracking_from_the_mean_gradient():
    expected = tracking(0.2, "semi-atc", MEAN_OF_FIRST_GRADIENTS)
    same(path(A.KGT(lr=0.2, local_steps=1, start="paper")).x[:200], expected)


def test_kgt_on_the_complete_graph_is_scaffold_option_ii():
    settings = {"lr": 0.1, "local_steps": 3, "outer_lr": 0.7}
    expected = reference.scaffold_option_ii(None, grad, np.tile(X0, (N, 1)), 200, **settings)
    same(path(A.KGT(**settings), network=COMPLETE).x[:201], expected)


def test_kgt_follows_its_closed_form_where_all_curvatures_are_equal():
    """A node's K steps add up to (1 - rho)(x - (b - c)/a), rho = (1 - lr a)^K."""
    a, lr, K, outer = 0.8, 0.1, 3, 0.7
    problem = problems.Quadratic(jnp.asarray(np.tile(a * np.eye(D), (N, 1, 1))), jnp.asarray(B), 0.0)
    found = path(A.KGT(lr=lr, local_steps=K, outer_lr=outer), problem)
    x, c = found.x[:-1], found.c[:-1]
    s = (1 - (1 - lr * a) ** K) * (x - (B - c) / a)
    same(found.x[1:], W @ (x - outer * s))
    same(found.c[1:], c - (s - W @ s) / (K * lr))


@pytest.mark.parametrize("start", ["zero", "paper"])
def test_kgt_moves_the_mean_by_the_mean_of_all_gradients(start):
    lr, K, outer = 0.1, 3, 0.7
    found = path(A.KGT(lr=lr, local_steps=K, outer_lr=outer, start=start))
    for t in range(20):
        x, total = found.x[t], 0.0
        for k in range(K):
            g = G(x, t * K + k)
            total, x = total + g.mean(axis=0), x - lr * (g + found.c[t])
        same(found.x[t + 1].mean(axis=0), found.x[t].mean(axis=0) - outer * lr * total)


# Periodical gradient tracking


@module
class EveryThird:
    """W in every third round, no communication in the others."""

    W: Any
    provides = GRAPH.provides
    n = N

    def init(self, key):
        return ()

    def at(self, memory, t, key):
        return memory, World(operators.Dense(jnp.where((t + 1) % 3 == 0, self.W, jnp.eye(N))))


def test_periodical_tracking_of_the_last_gradient_is_tracking_that_communicates_in_every_kth_iteration():
    found = path(A.PeriodicalGT(lr=0.1, local_steps=3)).x
    textbook = testing.trajectory(
        A.GradientTracking(lr=0.1), NOISY, EveryThird(W), rounds=600, every=3, x0=X0, seed=SEED
    )
    same(found[:201], textbook.states[".x"])
    expected = reference.periodical_gt_by_communication(W, grad, np.tile(X0, (N, 1)), 50, lr=0.1, local_steps=3)
    same(found[:51], expected)


def test_periodical_tracking_of_the_mean_is_kgt_and_of_one_gradient_is_not():
    settings = {"lr": 0.1, "local_steps": 3, "outer_lr": 0.7}
    expected = path(A.KGT(**settings))
    found = path(A.PeriodicalGT(**settings, track="mean"))
    same(found.x, expected.x)
    same(found.c, expected.c)
    different(path(A.PeriodicalGT(**settings, track="last")).x, expected.x)
    different(path(A.PeriodicalGT(**settings, track="first")).x, expected.x)


# Gradient tracking


@pytest.mark.parametrize("form", ["cta", "semi-atc", "atc"])
def test_trackers_follow_the_mean_gradient(form):
    found = path(A.GradientTracking(lr=0.1, form=form))
    same(found.y.mean(axis=1), found.g.mean(axis=1))


def test_aug_dgm_is_what_its_paper_says():
    expected = reference.aug_dgm(W, grad, np.tile(X0, (N, 1)), 200, lr=0.1)
    same(path(A.AugDGM(lr=0.1)).x[:201], expected)


def test_heavy_ball_tracking_is_the_authors_loop_and_without_momentum_plain_tracking():
    lr, momentum = 0.1, 0.8
    x = np.tile(X0, (N, 1))
    g = u = y = G(x, 0)
    found = path(A.GradientTrackingHB(lr=lr, momentum=momentum))
    for t in range(200):
        same(found.x[t], x)
        x = W @ (x - lr * u)
        g, old = G(x, t + 1), g
        y = W @ (y + g - old)
        u = momentum * u + (1 - momentum) * y
    same(found.y.mean(axis=1), found.g.mean(axis=1))
    same(path(A.GradientTrackingHB(lr=lr, momentum=0.0)).x, path(A.GradientTracking(lr=lr, form="atc")).x)


# Momentum Tracking


def test_momentum_tracking_without_momentum_is_diging():
    same(path(A.MomentumTracking(lr=0.1, momentum=0.0, start="zero")).x, path(A.GradientTracking(lr=0.1, form="cta")).x)
    found = path(A.MomentumTracking(lr=0.1, momentum=0.0)).x
    same(found[:200], tracking(0.1, "cta", MEAN_OF_FIRST_GRADIENTS))


def test_momentum_tracking_without_momentum_is_not_kgt():
    different(path(A.MomentumTracking(lr=0.1, momentum=0.0, start="zero")).x, path(A.KGT(lr=0.1, local_steps=1)).x)


@pytest.mark.parametrize("start", ["authors", "zero"])
def test_momentum_tracking_is_gradient_tracking_of_momenta(start):
    lr = 0.05
    s = path(A.MomentumTracking(lr=lr, momentum=0.8, start=start))
    y = s.u[1:] - s.c[:-1]
    same(s.x[1:], W @ s.x[:-1] - lr * y)
    same(y[1:], W @ y[:-1] + s.u[2:] - s.u[1:-1])
    same(y.mean(axis=1), s.u[1:].mean(axis=1))
    same(s.x[1:].mean(axis=1), s.x[:-1].mean(axis=1) - lr * s.u[1:].mean(axis=1))


def test_momentum_trackings_first_step_from_the_authors_start_is_along_the_mean_gradient():
    same(path(A.MomentumTracking(lr=0.05, momentum=0.8)).x[1], X0 - 0.05 * MEAN_OF_FIRST_GRADIENTS)


# Momentum without tracking

MOMENTUM = {"lr": 0.05, "momentum": 0.8}


@pytest.mark.parametrize("method", [A.DSGDm, A.QGDSGDm, A.DecentLaM])
def test_without_momentum_a_method_is_dsgd(method):
    same(path(method(lr=0.2, momentum=0.0)).x, path(A.DSGD(lr=0.2)).x)


def test_alone_momentum_methods_are_heavy_ball_but_quasi_global_momentum_is_not():
    node = lambda i: lambda _, x, k: grad(i, x, k)
    expected = [reference.heavy_ball(None, node(i), X0[None], 200, **MOMENTUM) for i in range(N)]
    expected = np.concatenate(expected, axis=1)
    for method in (A.DSGDm(**MOMENTUM), A.DecentLaM(**MOMENTUM), A.MomentumTracking(**MOMENTUM, start="zero")):
        same(path(method, network=ALONE).x[:201], expected)
    different(path(A.QGDSGDm(**MOMENTUM), network=ALONE).x[:201], expected)
    different(path(A.QGDSGDm(**MOMENTUM, nesterov=True), network=ALONE).x[:201], expected)


@pytest.mark.parametrize(
    ("method", "effective"),
    [
        (A.DSGDm(**MOMENTUM), 0.25),
        (A.DecentLaM(**MOMENTUM), 0.25),
        (A.MomentumTracking(**MOMENTUM), 0.25),
        (A.QGDSGDm(**MOMENTUM), 0.25),
        (A.QGDSGDm(**MOMENTUM, nesterov=True), 0.25),
        (A.GradientTrackingHB(**MOMENTUM), 0.05),
    ],
    ids=["DSGDm", "DecentLaM", "MomentumTracking", "QGDSGDm", "QGDSGDm-N", "GradientTrackingHB"],
)
def test_the_effective_step_is_that_of_a_constant_gradient(method, effective):
    slope = problems.Quadratic(jnp.zeros((N, D, D)), jnp.asarray(B), 0.0)
    x = path(method, slope).x.mean(axis=1)
    np.testing.assert_allclose(x[1000] - x[999], effective * B.mean(axis=0), rtol=0, atol=1e-11)


# The mean over the nodes, where all Hessians are equal and gradients exact


def centralized(method, rounds=200, **settings):
    """The reference on the mean objective, with one node."""
    gradient = lambda i, x, k: CURVATURES[0] @ x - B.mean(axis=0)
    return method(np.ones((1, 1)), gradient, X0[None], rounds, **settings)[:, 0]


def test_with_equal_hessians_the_mean_follows_the_centralized_method():
    mean = lambda method: path(method, SAME_HESSIAN).x[:201].mean(axis=1)
    for method in (A.MomentumTracking, A.DSGDm, A.DecentLaM):
        same(mean(method(**MOMENTUM)), centralized(reference.heavy_ball, **MOMENTUM))
    same(mean(A.QGDSGDm(**MOMENTUM)), centralized(reference.qg_dsgdm, **MOMENTUM))
    same(mean(A.QGDSGDm(**MOMENTUM, nesterov=True)), centralized(reference.qg_dsgdm, **MOMENTUM, nesterov=True))
    for method in (A.KGT, A.LocalDSGD, A.PeriodicalGT, A.LED):
        same(mean(method(lr=0.1, local_steps=3)), centralized(reference.dsgd, rounds=600, lr=0.1)[::3])


# D2, NIDS, EXTRA, LED, ProxSkip


def test_led_of_one_step_and_proxskip_without_skipping_are_d2():
    expected = path(A.D2(lr=0.2))
    led, proxskip = path(A.LED(lr=0.2, local_steps=1, beta=1.0)), path(A.ProxSkip(lr=0.2, probability=1.0))
    same(led.x, expected.x)
    same(led.y, 0.2 * expected.c)
    same(proxskip.x, expected.x)
    same(proxskip.h, -expected.c)


def test_nids_is_d2_on_the_lazy_network_and_lazy_is_half_a_consensus_step():
    expected = path(A.D2(lr=0.2), network=LAZY).x
    same(path(A.NIDS(lr=0.2)).x, expected)
    same(path(A.ProxSkip(lr=0.2, probability=1.0, consensus_lr=0.5)).x, expected)


def test_d2_and_extra_satisfy_their_recursions_of_two_rounds():
    lr, V = 0.2, (np.eye(N) + W) / 2
    d2, extra = path(A.D2(lr=lr)), path(A.EXTRA(lr=lr))
    x, z = d2.x, extra.x
    same(x[1], W @ (x[0] - lr * G(x[0], 0)))
    same(z[1], W @ z[0] - lr * G(z[0], 0))
    for t in range(1, 100):
        same(x[t + 1], W @ (2 * x[t] - x[t - 1] - lr * G(x[t], t) + lr * G(x[t - 1], t - 1)))
        same(z[t + 1], z[t] + W @ z[t] - V @ z[t - 1] - lr * (G(z[t], t) - G(z[t - 1], t - 1)))
        same(d2.c[t], (x[t - 1] - x[t]) / lr - G(x[t - 1], t - 1))


def halved(t, first, at):
    """A step size that is halved at round `at`."""
    return jnp.where(t < at, first, first / 2)


def test_d2_takes_a_schedule():
    schedule = jax.tree_util.Partial(halved, first=0.2, at=50)
    expected = reference.d2_varying(W, grad, np.tile(X0, (N, 1)), 200, lr=lambda t: 0.2 if t < 50 else 0.1)
    same(path(A.D2(lr=schedule)).x[:201], expected)


# The boundary


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (A.ProxSkip(lr=0.1, probability=0.0), r"ProxSkip.probability.* \(0, 1\]; got 0.0"),
        (A.LED(lr=0.1, local_steps=0), "LED.local_steps .* at least 1; got 0"),
        (A.LED(lr=0.1, local_steps=2, beta=-1.0), "LED.beta .* got -1.0"),
        (A.PeriodicalGT(lr=0.1, local_steps=2, track="middle"), "track is one of .* got 'middle'"),
        (A.GradientTrackingHB(lr=0.1, start="one"), "start is one of .* got 'one'"),
        (A.GradientTrackingHB(lr=0.1, momentum=1.0), r"GradientTrackingHB.momentum .* \[0, 1\); got 1.0"),
        (A.DSGDm(lr=0.1, momentum=-0.1), r"DSGDm.momentum .* \[0, 1\); got -0.1"),
        (A.DecentLaM(lr=0.1, momentum=1.0), r"DecentLaM.momentum .* \[0, 1\); got 1.0"),
        (A.QGDSGDm(lr=0.1, momentum=1.0), r"QGDSGDm.momentum .* \[0, 1\); got 1.0"),
        (A.QGDSGDm(lr=0.1, buffer_momentum=1.0), r"QGDSGDm.buffer_momentum .* \[0, 1\); got 1.0"),
    ],
)
def test_settings_that_make_no_sense_are_refused_with_their_value(method, message):
    with pytest.raises(ValueError, match=message):
        path(method)


@pytest.mark.parametrize(
    "method",
    [A.D2(0.1), A.NIDS(0.1), A.EXTRA(0.1), A.LED(0.1, 2), A.ProxSkip(0.1, 0.5)],
    ids=lambda m: type(m).__name__,
)
def test_primal_dual_methods_refuse_a_network_that_is_not_symmetric(method):
    with pytest.raises(ValueError, match="needs a symmetric W"):
        path(method, network=networks.directed_ring(N))
