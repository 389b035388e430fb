"""ProxSkip at a server and with variance reduction: against loops over clients, what they reduce to, and how fast."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rounds
from local_server import CURVATURES, EXACT, KEYS, NETWORKS, PROBLEM, ROUNDS, SEED, X0, N, path
from reference import local as reference
from undirected import same

import jaxdec
from jaxdec import algorithms as A
from jaxdec import data, networks, problems, testing

pytestmark = pytest.mark.sampled(12)

P, RENEWAL = 0.4, 0.3
CHANCES = [
    (A.Scaffnew(lr=0.1, probability=0.0), r"Scaffnew.probability.* \(0, 1\]; got 0.0"),
    (A.Scaffnew(lr=0.1, probability=1.5), r"Scaffnew.probability.* \(0, 1\]; got 1.5"),
    (A.VRProxSkip(lr=0.1, probability=-0.1, renewal=0.5), r"VRProxSkip.probability.* \(0, 1\]; got -0.1"),
    (A.VRProxSkip(lr=0.1, probability=0.5, renewal=0.0), r"VRProxSkip.renewal.* \(0, 1\]; got 0.0"),
]


def step_key(t):
    return rounds.keys_of(KEYS, t)[1]


def lengths(probability):
    """How many local steps the rounds of a run have."""
    draw = lambda t: jax.random.geometric(rounds.fold(step_key(t), "steps"), probability)
    return [int(k) for k in jax.vmap(draw)(jnp.arange(ROUNDS))]


def renewals(probability):
    """Who renews its point of reference after each round."""

    def draw(t):
        key = rounds.fold(step_key(t), "renewal")
        keys = [jax.random.fold_in(key, i) for i in range(N)]
        return jnp.stack([jax.random.bernoulli(key, probability) for key in keys])

    return np.asarray(jax.vmap(draw)(jnp.arange(ROUNDS)))


def gradients():
    return testing.gradients(PROBLEM, KEYS.data, sum(lengths(P)))


def exact(i, x):
    return CURVATURES[i] @ x - np.asarray(PROBLEM.b)[i]


def test_scaffnew_is_its_loop_and_its_control_variates_sum_to_zero():
    expected, variates = reference.scaffnew(gradients(), X0, lengths(P), clients=N, lr=0.2, prob=P)
    found = path(A.Scaffnew(lr=0.2, probability=P))
    same(found[".x"][:, 0], expected)
    same(found[".h"], variates)
    same(found[".h"].sum(axis=1), 0)
    assert found[".steps"][-1] == sum(lengths(P)) > ROUNDS


def test_vr_proxskip_is_its_loop_and_its_control_variates_sum_to_zero():
    drawn = renewals(RENEWAL)
    assert 0 < drawn.sum() < drawn.size
    settings = {"clients": N, "lr": 0.1, "prob": P}
    expected = reference.vr_proxskip(gradients(), exact, X0, lengths(P), drawn, **settings)
    found = path(A.VRProxSkip(lr=0.1, probability=P, renewal=RENEWAL))
    same(found[".x"][:, 0], expected)
    same(found[".h"].sum(axis=1), 0)
    for t, i in zip(*np.nonzero(drawn), strict=True):
        same(found[".y"][t + 1, i], found[".x"][t + 1, 0])


def test_without_local_steps_both_are_gradient_descent():
    expected = path(A.SGD(lr=0.3), problem=EXACT)[".x"]
    same(path(A.Scaffnew(lr=0.3, probability=1.0), problem=EXACT)[".x"], expected)
    same(path(A.VRProxSkip(lr=0.3, probability=1.0, renewal=0.5), problem=EXACT)[".x"], expected)


def test_with_exact_gradients_variance_reduction_changes_nothing():
    expected = path(A.Scaffnew(lr=0.2, probability=P), problem=EXACT)[".x"]
    same(path(A.VRProxSkip(lr=0.2, probability=P, renewal=RENEWAL), problem=EXACT)[".x"], expected)


def test_the_fixed_point_is_the_minimizer_with_the_clients_gradients_in_the_control_variates():
    found = path(A.Scaffnew(lr=0.3, probability=P), problem=EXACT, rounds=400)
    x = np.asarray(EXACT.minimizer)
    same(found[".x"][-1, 0], x)
    same(found[".h"][-1], [exact(i, x) for i in range(N)])


def test_there_are_as_many_local_steps_in_the_mean_as_the_coin_says():
    result = jaxdec.run(
        A.Scaffnew(lr=0.1, probability=0.1), problems.quadratic(4, 2), networks.server(4), rounds=4000, every=4000
    )
    mean = np.asarray(result.cost.grads)[-1] / 4000
    assert abs(mean - 10) < 4 * np.sqrt(90 / 4000)  # of geometric numbers, with a variance of (1 - p) / p²


@pytest.mark.parametrize("dtype", ["float64", pytest.param("float32", marks=pytest.mark.slow)])
def test_minibatches_stop_scaffnew_and_not_vr_proxskip(dtype):
    """Linearly to 1e-10 of the loss above its least value, in float64; to rounding in float32."""
    with jax.enable_x64(dtype == "float64"):
        cancer = data.breast_cancer()
        sorted_ = data.shards(cancer, 5, per_node=1)
        problem = problems.solve(problems.logistic(cancer, sorted_, batch_size=8, l2=0.1))
        L = float(problem.curvature()[0])
        both = {
            "Scaffnew": A.Scaffnew(lr=1 / L, probability=0.2),
            "VRProxSkip": A.VRProxSkip(lr=1 / (3 * L), probability=0.2, renewal=0.2),
        }
        run = lambda method: jaxdec.run(method, problem, networks.server(5), rounds=600, every=300, seed=1)
        excess = {name: np.asarray(run(method).metrics["suboptimality"]) for name, method in both.items()}
    stalled, reduced = excess["Scaffnew"], excess["VRProxSkip"]
    assert stalled[1:].min() > 1e-5
    assert reduced[-1] < (1e-10 if dtype == "float64" else 1e-7)


def test_scaffnew_needs_fewer_communications_than_gradient_descent():
    """About √(L / mu) of them in place of L / mu, here 10 and 100, times the logarithm of what is gained."""
    rng = np.random.default_rng(0)
    problem = problems.Quadratic(
        jnp.tile(jnp.linspace(0.01, 1.0, 10), (8, 1)), jnp.asarray(rng.standard_normal((8, 10))), 0.0
    )
    to = lambda method: _rounds_to(method, problem, 1e-6)
    descent, skipping = to(A.SGD(lr=1.0)), to(A.Scaffnew(lr=1.0, probability=0.1))
    assert skipping < descent / 5


def _rounds_to(method, problem, error):
    result = jaxdec.run(method, problem, networks.server(problem.n), rounds=2500, every=10)
    distance = np.asarray(result.metrics["distance"])
    assert distance[-1] < error
    return 10 * int(np.argmax(distance < error))


@pytest.mark.parametrize("method", [A.Scaffnew(0.1, P), A.VRProxSkip(0.1, P, RENEWAL)])
@pytest.mark.parametrize("name", ["Bernoulli", "cohort"])
def test_nobody_may_be_absent(method, name):
    with pytest.raises(ValueError, match="absent"):
        jaxdec.run(method, PROBLEM, NETWORKS[name], rounds=2)


@pytest.mark.parametrize(("method", "says"), CHANCES)
def test_a_chance_is_a_number_above_zero_up_to_one(method, says):
    with pytest.raises(ValueError, match=says):
        jaxdec.run(method, PROBLEM, NETWORKS["everybody"], rounds=2)


def test_the_cost_is_what_is_computed_and_sent():
    """2 K gradients, and all samples where a point of reference is renewed; a vector up and one down in a round."""
    cancer = data.breast_cancer()
    problem = problems.logistic(cancer, data.iid(cancer, n=N), batch_size=4)
    held, K = np.asarray(problem.counts), np.asarray(lengths(P))
    go = lambda method: jaxdec.run(method, problem, NETWORKS["everybody"], rounds=ROUNDS, seed=SEED).cost
    plain, reduced = go(A.Scaffnew(0.01, P)), go(A.VRProxSkip(0.01, P, RENEWAL))
    np.testing.assert_allclose(plain.grads, np.cumsum([0, *(4 * K)]), rtol=1e-12)
    whole = (renewals(RENEWAL) * held).mean(axis=1)
    np.testing.assert_allclose(reduced.grads, np.cumsum([held.mean(), *(8 * K + whole)]), rtol=1e-12)
    for cost in (plain, reduced):
        np.testing.assert_allclose(cost.vectors, np.arange(ROUNDS + 1), rtol=1e-12)
        np.testing.assert_allclose(cost.bits_down, 32 * problem.d * np.arange(ROUNDS + 1), rtol=1e-12)
