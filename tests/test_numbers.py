"""Numbers are refused or exact: no odd integer, seed, switch or quantity is rounded, wrapped or read from a text."""

import dataclasses
import json
import operator
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.tree_util import Partial

from jaxdec import algorithms as A
from jaxdec import checks, compressors, data, graphs, networks, problems, run, scaling, sweep
from jaxdec._module import seed_key
from jaxdec.checks import LARGEST, SEEDS
from jaxdec.loop import fitted
from jaxdec.networks import outages
from jaxdec.spec import from_toml
from jaxdec.sweeps import log_uniform, uniform

pytestmark = pytest.mark.sampled(12)

METHOD, PROBLEM, RING = A.DSGD(lr=0.1), problems.quadratic(6, 3), networks.ring(6)

few = settings(max_examples=60, deadline=None, derandomize=True)

WIDTHS = [np.dtype(kind).type for kind in "bhilqBHILQ"]
integers = st.one_of(
    st.integers(),
    st.integers(-3, 5),
    st.integers(2**31 - 2, 2**31 + 2),
    st.integers(2**32 - 2, 2**32 + 2),
    st.integers(2**63 - 2, 2**64 + 2),
)
of_numpy = st.sampled_from(WIDTHS).flatmap(
    lambda kind: st.integers(int(np.iinfo(kind).min), int(np.iinfo(kind).max)).map(kind)
)
others = st.one_of(
    st.booleans(),
    st.booleans().map(np.bool_),
    st.floats(),
    st.integers(0, 9).map(float),
    st.floats(width=32).map(np.float32),
    st.integers(0, 99).map(str),
    st.integers(0, 99).map(lambda k: str(k).encode()),
    st.integers(0, 9).map(complex),
    st.integers(0, 9).map(Fraction),
    st.integers(0, 9).map(np.asarray),
    st.integers(0, 9).map(jnp.asarray),
    st.integers(0, 9).map(lambda k: [k]),
    st.none(),
)
odd = st.one_of(integers, of_numpy, others)


def whole(value):
    """What an integer is, by Python; None for what is none."""
    plain = isinstance(value, int | np.integer) and not isinstance(value, bool)
    return int(value) if plain else None


def refused_or(expected, f, *arguments):
    """f(*arguments) is what is expected, or refused where that is None."""
    if expected is None:
        with pytest.raises(ValueError, match=r"integer|seeds is"):
            f(*arguments)
    else:
        found = f(*arguments)
        assert found == expected
        assert type(found) is type(expected)


@few
@given(odd)
def test_an_odd_count_is_refused_or_exact(value):
    k = whole(value)
    refused_or(k if k is not None and 1 <= k <= LARGEST else None, checks.integer, "k", value)
    refused_or(k if k is not None and 0 <= k < SEEDS else None, checks.seed, "seed", value)
    fits = k is not None and 1 <= k <= LARGEST
    refused_or((k, 1) if fits else None, checks.horizon, value, 1)
    refused_or((k, k) if fits else None, checks.horizon, value, value)


@few
@given(st.lists(odd, max_size=4), st.sampled_from([list, tuple]))
def test_a_list_of_seeds_is_refused_or_exact(values, kind):
    known = [whole(value) for value in values]
    right = known and all(k is not None and 0 <= k < SEEDS for k in known) and len(set(known)) == len(known)
    refused_or(known if right else None, checks.seeds, kind(values))


@few
@given(st.lists(st.integers(0, SEEDS - 1), min_size=2, max_size=8, unique=True))
def test_two_seeds_are_two_streams_in_any_precision(seeds):
    streams = {x64: [] for x64 in (False, True)}
    for x64, found in streams.items():
        with jax.enable_x64(x64):
            found += [tuple(np.asarray(jax.random.key_data(seed_key(seed))).tolist()) for seed in seeds]
    assert streams[False] == streams[True]
    assert len(set(streams[True])) == len(seeds)


@few
@given(st.integers(0, 2**31 - 1))
def test_the_stream_of_a_small_seed_is_that_of_jax(seed):
    for x64 in (False, True):
        with jax.enable_x64(x64):
            assert jnp.array_equal(jax.random.key_data(seed_key(seed)), jax.random.key_data(jax.random.key(seed)))


def test_seeds_that_are_equal_in_32_bits_are_two_runs():
    noisy = problems.quadratic(6, 3, noise=1.0)
    seeds = [0, 2**32, 2**63 - 1]
    with jax.enable_x64(False):
        results = sweep(METHOD, problems.quadratic(6, 3, noise=1.0), RING, seeds=seeds, rounds=2, metrics=["loss"])
    assert results["seed"].values.tolist() == seeds
    assert len(set(results["loss"].isel(round=-1).values.tolist())) == 3
    results = sweep(METHOD, noisy, RING, seeds=seeds, rounds=2, metrics=["loss"])
    for seed in seeds:
        alone = run(METHOD, noisy, RING, seed=seed, rounds=2, metrics=["loss"])
        np.testing.assert_allclose(results["loss"].sel(seed=seed), alone.metrics["loss"], rtol=1e-12)


def do(**changes):
    given = {"algorithm": METHOD, "problem": PROBLEM, "network": RING, "rounds": 2} | changes
    return lambda: run(**given)


def many(**changes):
    return lambda: sweep(METHOD, PROBLEM, RING, **({"rounds": 2, "seeds": 1} | changes))


def of(algorithm, **changes):
    return do(algorithm=algorithm, **changes)


def least_squares(**changes):
    digits = data.synthetic_regression(samples=12, features=2)
    return lambda: run(
        METHOD, problems.least_squares(digits, data.iid(digits, n=6), **changes), RING, rounds=1, metrics=["loss"]
    )


def federated(optimizer):
    method = A.FedOpt(optimizer, Partial(optax.sgd, learning_rate=0.1), local_steps=1)
    return do(algorithm=method, network=networks.server(6))


WRONG = {
    "seeds that are not whole": (many(seeds=[0.2, 1.7]), "each of seeds is an integer from 0 .*got 0.2"),
    "a text of seeds": (many(seeds="12"), "a number of seeds or a list of different ones; got '12'"),
    "a negative seed": (do(seed=-1), "seed is an integer from 0 to .*got -1"),
    "true seeds": (many(seeds=True), "seeds is .*got True"),
    "true rounds": (do(rounds=True), "rounds is a positive integer; got True"),
    "no stride": (do(every=0, checkpoint="x", checkpoint_every=1), "every is a positive integer; got 0"),
    "more rounds than are counted": (do(rounds=2**31, every=2**30), "rounds is an integer of at most 2147483647"),
    "true steps": (of(A.LocalDSGD(lr=0.1, local_steps=True)), "local_steps is an integer of at least 1; got True"),
    "too many minibatches": (
        of(A.LocalDSGD(lr=0.1, local_steps=8), rounds=2**30, every=2**30),
        "8589934592 minibatches, and 2..32 have numbers of their own",
    ),
    "too many steps": (of(A.LocalDSGD(lr=0.1, local_steps=2**31)), "local_steps is an integer of at most 2147483647"),
    "a complex start": (do(x0=np.ones(3) * 1j), "x0 is an array of real numbers.*complex128"),
    "a start of texts": (do(x0=["1"] * 3), "x0 is an array of real numbers"),
    "a start of truth values": (do(x0=[True] * 3), "x0 is an array of real numbers"),
    "a complex W": (lambda: networks.static(np.eye(6) * (1 + 1j)), "a weight matrix is a real"),
    "a sparse complex W": (lambda: networks.static(graphs.metropolis(graphs.ring(6)) * 1j), "weight matrix is a real"),
    "a W of texts": (lambda: networks.static([["1"]]), "a weight matrix is a real"),
    "a complex step": (of(A.DSGD(lr=0.1j)), "DSGD.lr is a step size, .*got 0.1j"),
    "a true step": (of(A.DSGD(lr=True)), "DSGD.lr is a step size, .*got True"),
    "a step that is none": (of(A.DSGD(lr=float("nan"))), "DSGD.lr is a step size, .*got nan"),
    "no weight decay": (
        of(A.DSGDm(lr=0.1, weight_decay=float("nan"))),
        "DSGDm.weight_decay is a weight, .*got nan",
    ),
    "a negative decay": (of(A.QGDSGDm(lr=0.1, weight_decay=-1.0)), "weight_decay is .*cannot be negative; got -1"),
    "a momentum that is true": (of(A.DSGDm(lr=0.1, momentum=True)), r"momentum lies in \[0, 1\); got True"),
    "nesterov": (of(A.QGDSGDm(lr=0.1, nesterov="no")), "QGDSGDm.nesterov is True or False; got 'no'"),
    "a field inside": (
        of(A.ChocoSGD(0.1, 0.1, compressors.TopK(k=1, per_block="no"))),
        "TopK.per_block is True or False; got 'no'",
    ),
    "half a level": (
        of(A.QuantizedGossip(compressors.Quantization(levels=float("inf")))),
        "Quantization.levels is an integer of at least 1; got inf",
    ),
    "a scaling": (
        do(algorithm=A.SAVIC(0.1, 1, scaling.Adam(beta=float("nan"))), network=networks.server(6)),
        "Adam.beta .*got nan",
    ),
    "true participation": (
        lambda: networks.server(6, participation=True),
        "participation is the probability.*got True",
    ),
    "an endless outage": (
        lambda: networks.lossy(RING, outages.GilbertElliott(0.1, float("inf"))),
        "burst is how many rounds",
    ),
    "l2": (least_squares(l2=float("nan")), "l2 is the weight of a regularizer, .*got nan"),
    "nonconvex": (least_squares(nonconvex=float("nan")), "nonconvex is the weight .*got nan"),
    "bias": (least_squares(bias="no"), "bias is True or False; got 'no'"),
    "half a sample": (least_squares(batch_size=1.5), "a minibatch has at least one sample; got 1.5"),
    "noise": (do(problem=problems.Quadratic(np.ones((6, 3)), np.ones((6, 3)), float("inf"))), "noise is .*finite"),
    "states": (many(states="no"), "states is True or False; got 'no'"),
    "paired": (many(paired="no"), "paired is True or False; got 'no'"),
    "strict": (do(strict="no"), "strict is True or False; got 'no'"),
    "half a chunk": (many(chunk=True), "chunk is an integer of at least 1; got True"),
    "uphill": (federated(Partial(optax.sgd, learning_rate=-0.1)), "learning_rate of FedOpt.server_optimizer is .*-0.1"),
    "uphill, whatever its name": (federated(Partial(optax.scale, 0.1)), "makes steps along the gradient, uphill"),
    "an optimizer of nan": (federated(Partial(optax.adam, 0.1, b1=float("nan"))), "b1 of FedOpt.server.*got nan"),
    "a switch in a Partial": (federated(Partial(optax.sgd, 0.1, nesterov=True)), "nesterov of .*is a switch"),
    "a biased quantizer": (
        do(algorithm=A.QuantizedPushSum(0.1, compressors.TopK(k=1)), network=networks.random_digraph(6, 0.3)),
        "QuantizedPushSum needs an unbiased compressor",
    ),
    "a seed of a graph": (lambda: networks.erdos_renyi(6, 0.9, seed=True), "seed is an integer from 0"),
    "a seed of a pool": (lambda: networks.random_matchings(6, seed=0.5), "seed is an integer from 0"),
    "a seed of a problem": (lambda: problems.quadratic(6, 3, seed=None), "seed is an integer from 0"),
    "a seed of draws": (lambda: uniform(0, 1, 3, seed=-1), "seed is an integer from 0"),
    "a count of draws": (lambda: log_uniform(0.1, 1, 2.0), "the count of a draw is an integer of at least 1; got 2.0"),
    "true nodes": (lambda: networks.ring(True), r"ring\(True\) is True; expected"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_number_of_its_kind_is_refused(name):
    call, message = WRONG[name]
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


def test_numbers_of_any_dtype_are_numbers():
    expected = run(A.DSGDm(lr=0.125, momentum=0.5), PROBLEM, RING, rounds=2).state.x
    for kind in (jnp.bfloat16, np.float16, np.float32, jnp.float32, Fraction):
        number = kind(0.125) if kind is not Fraction else float(Fraction(1, 8))
        found = run(A.DSGDm(lr=number, momentum=kind(0.5) if kind is not Fraction else 0.5), PROBLEM, RING, rounds=2)
        np.testing.assert_array_equal(found.state.x, expected)
    schedule = run(A.DSGDm(lr=lambda t: jnp.bfloat16(0.125), momentum=0.5), PROBLEM, RING, rounds=2)
    np.testing.assert_array_equal(schedule.state.x, expected)


def test_a_number_that_is_another_one_in_the_runs_dtype_is_refused():
    single = {"x0": np.ones(3, np.float32), "metrics": ["loss"]}
    for method, message in (
        (A.DSGD(lr=1e39), r"algorithm.lr is 1e\+39, and float32, in which this is computed, ends at 3.4e\+38"),
        (A.DSGD(lr=1e-60), "DSGD.lr is a step size, which is positive and finite; got 0.0, in float32"),
        (A.DSGD(lr=lambda t: 1e39), "DSGD.lr is a schedule .*is inf, in float32"),
        (A.DSGDm(lr=0.1, momentum=1 - 1e-12), r"DSGDm.momentum lies in \[0, 1\); got 1.0, in float32"),
        (A.DSGDm(lr=0.1, weight_decay=10**40), r"algorithm.weight_decay is 1e\+40, and float32"),
    ):
        with pytest.raises(ValueError, match=message):
            run(method, PROBLEM, RING, rounds=1, **single)
        with pytest.raises(ValueError, match=message):
            sweep(method, PROBLEM, RING, rounds=1, seeds=1, **single)
        run(method, PROBLEM, RING, rounds=1, metrics=["loss"])  # in float64


FAR = graphs.metropolis(graphs.ring(6)) * 1e300


def test_inputs_that_are_infinite_in_the_runs_dtype_are_refused():
    large = np.full((6, 3), 1e300)
    X, y = np.full((12, 2), 1e300), np.zeros(12)
    for x0, problem, network, message in (
        (large, PROBLEM, RING, r"x0 has entries of 1e\+300, and float32"),
        (None, problems.Quadratic(np.ones((6, 3)), large), RING, r"problem.b has entries of 1e\+300, and float32"),
        (None, PROBLEM, lambda: networks.static(FAR), r"weight matrix has entries of .*e\+299, and float32"),
        (
            None,
            lambda: problems.least_squares(data.dataset(X, y, name="far"), data.iid(X, n=6)),
            RING,
            r"far\['inputs'\] has entries of 1e\+300, and float32",
        ),
        (
            None,
            lambda: problems.from_loss(lambda x, a: jnp.sum(x * a), X.reshape(6, 2, 2), init=np.zeros(2)),
            RING,
            r"data has entries of 1e\+300, and float32",
        ),
        (
            None,
            lambda: problems.from_loss(lambda x, a: jnp.sum(x * a), np.ones((6, 2, 2)), init=np.full(2, 1e300)),
            RING,
            r"init has entries of 1e\+300, and float32",
        ),
        (None, lambda: dataclasses.replace(problems.quadratic(6, 3), noise=1e39), RING, r"problem.noise is 1e\+39"),
    ):
        parts = lambda *given: [part() if callable(part) else part for part in given]
        with jax.enable_x64(False), pytest.raises(ValueError, match=message):
            run(METHOD, *parts(problem, network), x0=x0, rounds=1)
    with pytest.raises(ValueError, match=r"network.W.* has entries of .*e\+29\d, and float32"):
        fitted("network", networks.static(FAR), np.dtype(np.float32))


def test_large_integers_of_a_start_are_that_large():
    with jax.enable_x64(False):
        found = run(METHOD, problems.quadratic(6, 3), networks.ring(6), x0=[2**40] * 3, rounds=1, metrics=["consensus"])
    assert float(jnp.max(jnp.abs(found.state.x))) > 2**39


@few
@given(odd)
def test_a_seed_in_a_file_of_results_is_the_seed(value):
    if (k := whole(value)) is not None and 0 <= k < SEEDS:
        assert json.loads(json.dumps(checks.seed("seed", value))) == operator.index(k)


def test_a_count_of_a_file_is_refused_or_exact(tmp_path):
    text = '[algorithms.DSGD]\nlr = 0.1\n[problem]\ntype = "quadratic"\nn = 6\nd = 3\n[network]\ntype = "ring"\nn = 6\n'
    for key, value in (("rounds", "true"), ("rounds", "2.0"), ("seeds", '"3"'), ("every", "0"), ("paired", '"no"')):
        lines = {"rounds": "2", key: value}
        path = tmp_path / "spec.toml"
        path.write_text("".join(f"{k} = {v}\n" for k, v in lines.items()) + text)
        with pytest.raises(ValueError, match=rf"{key} is"):
            sweep(**from_toml(path))
