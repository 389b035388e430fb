"""What is asked of a run or a sweep is looked at before anything is compiled: names, shapes, folders, sizes."""

import os
import tracemalloc

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import CASES, N, quadratic
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdec import algorithms as A
from jaxdec import checks, load, loop, networks, problems, run, sweep
from jaxdec.spec import from_toml
from jaxdec.sweeps import axes, execute, plan

pytestmark = pytest.mark.sampled(12)

METHOD, PROBLEM, RING = A.DSGD(lr=0.1), problems.quadratic(6, 3), networks.ring(6)
ONE, TWO = lambda problem, state: 1.0, lambda problem, state: 2.0


@pytest.fixture
def nothing_runs(monkeypatch):
    """No program is compiled."""
    compiled = lambda *_, **__: pytest.fail("something was compiled")
    monkeypatch.setattr(loop, "_compiled", compiled)
    monkeypatch.setattr(execute, "_grid", compiled)


def both(**options):
    """A run and a sweep of the same."""
    return (
        lambda: run(METHOD, PROBLEM, RING, rounds=2, **options),
        lambda: sweep(METHOD, PROBLEM, RING, rounds=2, seeds=1, **options),
    )


@pytest.mark.usefixtures("nothing_runs")
@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ([ONE, TWO], r"two metrics are called <lambda>; give a mapping of names to functions"),
        (["loss", "loss"], "two metrics are called loss"),
        ({"a": ONE, "b": lambda p, s: {"a": 1.0}}, "two metrics give a value called 'a'"),
        ({1: ONE}, "a metric is called by a text that is not empty; got 1"),
        ({"": ONE}, "a metric is called by a text that is not empty; got ''"),
        ([lambda p, s: {1: 1.0}], "a metric is called by a text that is not empty; got 1"),
        ([lambda p, s: 1j], "is of dtype complex"),
        ([lambda p, s: "1"], "gives str; a metric gives a number"),
        ([lambda p, s: object()], "gives object; a metric gives a number"),
        ([lambda p, s: np.array(["1"])], "dtype <U1|gives"),
        ([lambda p, s: np.ones(2)], r"an array of shape \(2,\)"),
        *(
            ({name: ONE}, f"a metric cannot be called '{name}'")
            for name in (
                "round",
                "seed",
                "node",
                "grads",
                "bits",
                "algorithm",
                "done",
                "low",
                "runs",
                "cell",
                "seconds",
            )
        ),
    ],
)
def test_metrics_that_results_cannot_have_are_refused(metrics, message):
    for call in both(metrics=metrics):
        with pytest.raises((ValueError, TypeError), match=message):
            call()


@pytest.mark.usefixtures("nothing_runs")
def test_integers_and_floats_of_a_metric_that_have_no_room_are_refused():
    with jax.enable_x64(False):
        problem, ring = problems.quadratic(6, 3), networks.ring(6)
        for value, message in ((2**40, "has no room"), (np.int64(2**40), "has no room"), (1e300, r"is 1e\+300")):
            with pytest.raises(ValueError, match=message):
                run(METHOD, problem, ring, rounds=1, metrics=[lambda p, s, value=value: value])
    with pytest.raises(ValueError, match="has no room"):
        run(METHOD, PROBLEM, RING, rounds=1, metrics=[lambda p, s: 2**70])


@pytest.mark.usefixtures("nothing_runs")
@pytest.mark.parametrize("name", ["a/b", "a\\b", ".x", "..", "__x", "zarr.json", "x" * 300, "a\0", "a\nb", "\ud800"])
def test_names_that_no_file_can_have_are_refused_where_metrics_are_stored(name, tmp_path):
    with pytest.raises(ValueError, match="is named as a file can be; got"):
        sweep(METHOD, PROBLEM, RING, rounds=1, seeds=1, metrics={name: ONE}, store=tmp_path / "store")
    assert not (tmp_path / "store").exists()


names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)


@settings(max_examples=8, deadline=None, derandomize=True)
@given(name=names)
def test_any_name_of_a_metric_is_stored_and_read_back_as_it_is_or_refused(name, tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "store"
    go = lambda: sweep(METHOD, PROBLEM, RING, rounds=1, seeds=1, metrics={name: ONE}, store=path)
    if name.isprintable() and not name.startswith((".", "__")) and not {"/", "\\"} & set(name):
        assert list(go().data_vars) == list(load(path).data_vars) == [name]
    else:
        with pytest.raises(ValueError, match="is named as a file can be"):
            go()


@pytest.mark.usefixtures("nothing_runs")
def test_folders_that_cannot_be_written_to_are_refused(tmp_path):
    (tmp_path / "file").write_text("something")
    for path in (tmp_path / "file", tmp_path / "file" / "under"):
        with pytest.raises((ValueError, OSError)):
            sweep(METHOD, PROBLEM, RING, rounds=1, seeds=1, store=path)
        with pytest.raises((ValueError, OSError)):
            run(METHOD, PROBLEM, RING, rounds=1, checkpoint=path)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    if not os.access(closed, os.W_OK):  # the root user may write everywhere
        with pytest.raises(OSError, match="closed"):
            sweep(METHOD, PROBLEM, RING, rounds=1, seeds=1, store=closed / "store")


@pytest.mark.usefixtures("nothing_runs")
@pytest.mark.parametrize("option", ["paired", "states", "strict", "progress"])
def test_switches_are_true_or_false(option):
    for value in ("no", "false", 0, 1, 1.0, [], None if option != "progress" else "None"):
        with pytest.raises(ValueError, match=f"{option} is True or False; got"):
            sweep(METHOD, PROBLEM, RING, rounds=1, seeds=1, **{option: value})


# What does not fit into the machine.


def swept(**options):
    return lambda: sweep(METHOD, PROBLEM, RING, **options)


@pytest.mark.usefixtures("nothing_runs")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: sweep(METHOD, PROBLEM, RING, over={"lr": np.broadcast_to(0.1, 10**11)}, rounds=1),
            "100000000000 values",
        ),
        (
            lambda: sweep(
                METHOD,
                PROBLEM,
                RING,
                over={"lr": np.linspace(0.1, 1, 20000), "problem.noise": np.linspace(0, 1, 20000)},
                rounds=1,
            ),
            "a sweep of 400000000 configurations would take 1.6 TB of memory, and this machine has",
        ),
        (
            lambda: sweep(METHOD, PROBLEM, RING, seeds=2**31 - 1, rounds=2**30),
            "seeds=2147483647 would take|the results of",
        ),
        (
            lambda: sweep(METHOD, PROBLEM, RING, seeds=1000, rounds=2**31 - 1),
            "1 configurations, 1000 seeds and 2147483648",
        ),
        (lambda: networks.ring(10**11), "is 100000000000 would take 3.2 TB"),
        (lambda: networks.server(10**11), "at most 2147483647; got 100000000000"),
        (lambda: problems.quadratic(2**31 - 1, 10**6), r"would take 85\.9 PB"),
    ],
)
def test_what_is_too_large_is_refused_with_the_memory_or_the_count(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_sweep_that_needs_all_memory_is_refused_before_it_is_planned(monkeypatch):
    monkeypatch.setattr("jaxdec.checks.room.machine", lambda: 3 * checks.CELL)
    with pytest.raises(ValueError, match=r"a sweep of 4 configurations would take 16 kB of memory, .* has 12 kB"):
        sweep(METHOD, PROBLEM, RING, over={"lr": [0.1, 0.2], "problem.noise": [0.1, 0.2]}, rounds=1, seeds=1)
    sweep(METHOD, PROBLEM, RING, over={"lr": [0.1, 0.2]}, rounds=1, seeds=1, metrics=["loss"])
    with pytest.raises(ValueError, match="1000001 records would take"):
        run(METHOD, PROBLEM, RING, rounds=10**6)


def test_a_configuration_takes_about_what_is_said():
    over = {"lr": np.linspace(0.1, 0.2, 100)}
    known = axes.objects(METHOD, PROBLEM, RING)
    dimensions = axes.axes(METHOD, PROBLEM, RING, over)
    plan.cells(known, dimensions, None, rounds=1, every=1)
    tracemalloc.start()
    kept = plan.cells(known, dimensions, None, rounds=1, every=1)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert checks.CELL / 4 < taken / len(kept) < 4 * checks.CELL


@pytest.mark.parametrize("space", ["geomspace", "linspace", "uniform", "log_uniform"])
def test_a_space_of_too_many_values_is_refused_with_its_key(space, tmp_path):
    path = tmp_path / "spec.toml"
    text = (
        'rounds = 1\n[algorithms.DSGD]\nlr = 0.1\n[problem]\ntype = "quadratic"\nn = 6\nd = 3\n[network]\n'
        'type = "ring"\nn = 6\n[over]\nlr = {{ {} = [0.1, 1.0, {}] }}\n'
    )
    for count, message in (
        ("1000000000", "1000000000 values.* would take 4 TB"),
        ("100000000000", "at most 2147483647"),
    ):
        path.write_text(text.format(space, count))
        with pytest.raises(ValueError, match=rf"over.lr.{space}: .*{message}"):
            from_toml(path)


# Laws that are told.


@pytest.mark.slow
def test_exact_methods_that_do_not_ask_for_a_fixed_w_converge_where_it_changes():
    network, problem = networks.random_matchings(N, pool=40), quadratic(0.0)
    told, tried = set(), set()
    for method in (case.algorithm for case in CASES if case.exact):
        needs = checks.facts(method)
        if "fixed" in needs.requires | needs.wants.keys():
            told.add(type(method).__name__)
        elif needs.requires <= network.provides:
            tried.add(type(method).__name__)
            result = run(method, problem, network, rounds=2000, every=2000, metrics=["distance"])
            assert float(result.metrics["distance"][-1]) < 1e-6, method
    assert {"D2", "NIDS", "LED"} <= told
    assert {"GradientTracking", "KGT"} <= tried


def test_a_metric_is_one_array_of_jax():
    assert checks.kept("m", 2).shape == ()
    assert checks.kept("m", jnp.ones(3)).shape == (3,)
