"""What Momentum Tracking's exhibits compare: the same data, the same effective steps, the authors' problems."""

import dataclasses
import json

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr

from jaxdec import data
from jaxdec.papers.momentum_tracking import PAPER, cifar, clusters, graphs, images, methods
from jaxdec.papers.reproduce import computed

pytestmark = pytest.mark.sampled(14)

mpl.use("Agg")


def held_by(problem):
    """The classes that each node holds."""
    of = np.asarray(problem.targets)[np.asarray(problem.indices)]
    return [set(np.unique(row[:count]).tolist()) for row, count in zip(of, problem.counts, strict=True)]


def pairs():
    yield from images.tasks("digits", (1, 10)).values()
    yield cifar.tasks("digits", "LeNet", 2, 16)
    yield clusters.problem(clusters.clusters()), clusters.problem(clusters.clusters(held="validation"))


def test_tuning_trains_on_the_same_samples_and_is_tested_on_others():
    for final, tuning in pairs():
        np.testing.assert_array_equal(final.inputs, tuning.inputs)
        np.testing.assert_array_equal(final.indices, tuning.indices)
        rows = lambda a: {row.tobytes() for row in np.asarray(a).reshape(len(a), -1)}
        assert not rows(tuning.test_inputs) & rows(final.test_inputs)
        assert not rows(tuning.test_inputs) & rows(tuning.inputs)


def test_a_class_a_node_and_all_classes_are_the_ends_of_the_heterogeneity():
    found = images.tasks("digits", (1, 10))
    assert held_by(found[1][0]) == [{k} for k in map(int, np.concatenate([list(s) for s in held_by(found[1][0])]))]
    assert sorted(map(list, held_by(found[1][0]))) == [[k] for k in range(10)]
    assert held_by(found[10][0]) == [set(range(10))] * 10
    assert found[1][0].indices.shape == found[10][0].indices.shape  # one compiled program for all


def test_all_methods_are_given_the_same_effective_steps():
    given = methods.over(tuple(methods.METHODS), (0.1, 0.4))["lr"]
    for name, method in methods.METHODS.items():
        momentum = method.momentum if "momentum" in vars(method) else 0.0
        np.testing.assert_allclose(np.array(given[name]) / (1 - momentum), (0.1, 0.4))


def test_the_nodes_hold_the_classes_that_the_authors_gave_them(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    pixels = rng.integers(256, size=(400, 32, 32, 3), dtype=np.uint8)
    few = data.dataset(pixels, np.arange(400) % 10, test_inputs=pixels[:20], test_targets=np.arange(20) % 10)
    monkeypatch.setattr(cifar, "pictures", lambda given, tested: few)
    monkeypatch.setenv("JAXDEC_DATA", str(tmp_path))
    owned = [[i, (i + 1) % 10] for i in range(7)] + [[8, 9]]
    (tmp_path / "momentum-tracking").mkdir()
    (tmp_path / cifar.LABELS).write_text(json.dumps({"ring_8/class2_0": owned}))
    final, _ = cifar.tasks.__wrapped__("cifar10", "LeNet", 2, 10, None, True)
    assert held_by(final) == [set(row) for row in owned]
    assert (final.n, final.d, final.batch_size, final.sampling, final.random) == (8, 62050, 10, "epochs", True)


def test_the_graphs_weights_are_those_of_the_authors():
    for of, degree in zip(graphs.NETWORKS.values(), (2, 3, 5), strict=True):
        W = of(cifar.NODES).W.dense()
        np.testing.assert_allclose(W[W > 0], 1 / (degree + 1))


def made(accuracies, dim=None, values=()):
    """Results with these accuracies at the end, in percent."""
    table = np.array(list(accuracies.values()), float) / 100
    dims = ("algorithm", dim) if dim else ("algorithm",)
    end = xr.DataArray(table, dims=dims, coords={"algorithm": list(accuracies)} | ({dim: list(values)} if dim else {}))
    found = end.expand_dims(seed=[0], problem=["mnist"], round=[0, 100]).to_dataset(name=methods.METRIC)
    return found if dim != "graph" else found.isel(problem=0, drop=True)


def verdicts(exhibit, results, budget):
    return {c.name: c.judged(results) for c in exhibit.claims if budget in c.budgets}


def test_the_independent_numbers_bear_out_the_claims_about_one_class_a_node():
    ends = {name: [100 * value, 90.0] for name, value in images.ACCURACY.items()}
    found = verdicts(images.K_CLASS, made(ends, "classes_per_node", (1, 10)), "default").values()
    assert [v.holds for v in found] == [True] * 4
    assert [round(v.measured, 1) for v in found] == [3.3, 32.3, 0.0, 3.8]
    swapped = ends | {"Momentum Tracking": ends["DSGDm"], "DSGDm": ends["Momentum Tracking"]}
    found = verdicts(images.K_CLASS, made(swapped, "classes_per_node", (1, 10)), "default").values()
    assert [v.holds for v in found] == [False, False, True, False]


def test_the_authors_accuracies_bear_out_the_claims_of_the_full_budget_and_others_do_not():
    for exhibit, ends in ((cifar.LENET, cifar.LENET_ACCURACY), (cifar.VGG, cifar.VGG_ACCURACY)):
        ends = {name: 100 * value for name, value in ends.items()}
        assert all(v.holds for v in verdicts(exhibit, made(ends), "full").values())
        wrong = verdicts(exhibit, made({name: value - 5 for name, value in ends.items()}), "full")
        assert not any(v.holds for name, v in wrong.items() if name.startswith("the accuracy"))


@pytest.mark.parametrize("worst", [89.5, 88.5])
def test_flat_over_the_graphs_is_within_a_point(worst):
    ends = {"DSGDm": [70.0, 80.0, 85.0], "Momentum Tracking": [90.0, worst, 90.0]}
    flat, flatter = verdicts(graphs.GRAPHS, made(ends, "graph", graphs.NETWORKS), "default").values()
    assert (flat.holds, flatter.holds) == (worst == 89.5, True)


def test_every_exhibit_says_what_is_chosen_and_the_authors_steps_are_those_of_the_full_budget():
    assert [exhibit.name for exhibit in PAPER.exhibits] == ["toy", "k-class", "cifar-lenet", "graphs", "cifar-vgg"]
    full = cifar.LENET.arguments("full")
    grid = methods.over(cifar.LENET_METHODS, full["steps"])["lr"]["Momentum Tracking"]
    assert (grid, full["budget"], full["batch_size"]) == ([0.0005, 0.001, 0.005], 3, 100)


@pytest.mark.slow
def test_momentum_tracking_is_ahead_of_dsgdm_with_lenet_as_with_a_perceptron():
    small = cifar.LENET.fast | {"model": "LeNet", "steps": (0.06, 0.2), "rounds": 40}
    results, _ = computed(dataclasses.replace(cifar.LENET, fast=small), "fast", progress=False)
    (ahead,) = verdicts(cifar.LENET, results, "fast").values()
    assert ahead.measured > 10
