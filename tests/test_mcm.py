"""The MCM paper's problems. What needs the LIBSVM files is skipped where they are not."""

import os

import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from jaxdec import data, problems
from jaxdec.papers.exhibits import beside
from jaxdec.papers.mcm import methods, tasks

FOLDER = os.environ.get("JAXDEC_DATA", "")


def needs(name: str) -> None:
    for file in (name, f"{name}.clusters.npy"):
        if not os.path.isfile(os.path.join(FOLDER, "libsvm", file)):
            pytest.skip(f"needs libsvm/{file} in the folder that JAXDEC_DATA names")


def least(problem) -> float:
    return float(problems.solve(problem, tolerance=1e-9).minimum)


@pytest.mark.parametrize(
    ("name", "split", "L", "minimum", "sizes"),
    [
        ("phishing", "clusters", 9.745, 0.1231397, (229, 1141)),
        ("phishing", "iid", None, 0.1414828, (552, 552)),
        ("a9a", "clusters", 11.697, 0.3196259, (535, 3225)),
        ("a9a", "iid", None, 0.3226283, (1628, 1628)),
    ],
)
def test_real_problems_have_the_published_sizes_smoothness_and_minima(name, split, L, minimum, sizes):
    needs(name)
    problem = tasks.solved(name, split)
    setting = tasks.SETTINGS[name, split]
    assert (problem.minibatch, problem.d, tasks.per_epoch(problem)) == setting
    assert (int(problem.counts.min()), int(problem.counts.max())) == sizes
    assert abs(float(problem.minimum) - minimum) < 5e-6
    if L:
        assert abs(tasks.smoothness(problem) - L) < 1e-3


def test_w8a_has_the_published_sizes_and_smoothness():
    needs("w8a")
    problem = tasks.real("w8a", batch_size=12)
    assert (problem.minibatch, problem.d, tasks.per_epoch(problem)) == tasks.SETTINGS["w8a", "clusters"]
    assert (problem.d, int(problem.counts.min()), int(problem.counts.max())) == (301, 621, 4938)
    assert abs(tasks.smoothness(problem) - 43.82) < 5e-3


def test_least_squares_has_no_half_and_its_minimum_is_that_of_the_normal_equations():
    for noise in ("client", "sample", "none"):
        problem = tasks.synthetic_least_squares(noise=noise, seed=3)
        a, y = np.asarray(problem.inputs) / np.sqrt(2), np.asarray(problem.targets) / np.sqrt(2)
        assert a.shape == (4000, 20)
        x = np.linalg.lstsq(a, y)[0]
        np.testing.assert_allclose(least(problem), np.mean((a @ x - y) ** 2), rtol=1e-9, atol=1e-20)
        np.testing.assert_allclose(problem.loss(jnp.tile(x, (20, 1))).mean(), np.mean((a @ x - y) ** 2), atol=1e-12)
        spread = (a @ x - y).reshape(20, 200)
        w = np.concatenate([[2], -((-1.0) ** np.arange(19)) * np.exp(-np.arange(19) / 10)])
        offsets = (y - a @ w).reshape(20, 200)
        assert np.all(np.ptp(offsets, axis=1) < 1e-9) == (noise != "sample")
        assert (np.abs(spread).max() < 1e-9) == (noise == "none")


def test_synthetic_logistic_has_one_draw_of_inputs_of_two_kinds():
    problem = tasks.synthetic_logistic()
    a = np.asarray(problem.inputs).reshape(20, 200, 2)
    for i in range(20):
        np.testing.assert_array_equal(a[i], a[1] * ([-1, 1] if i % 2 == 0 else [1, 1]))
    assert 0.2 < least(problem) < 0.4


def test_the_stand_in_has_the_setting_that_is_said_of_it():
    problem = tasks.solved(tasks.STAND_IN, "labels")
    assert (problem.minibatch, problem.d, tasks.per_epoch(problem)) == tasks.SETTINGS[tasks.STAND_IN, "labels"]
    held = np.asarray(problem.targets)[np.asarray(problem.indices)]
    assert sum(len(np.unique(row[:m])) == 1 for row, m in zip(held, problem.counts, strict=True)) >= 19
    assert 0.1 < float(problem.minimum) < 0.4  # the classes are not separated, and there is a minimizer


def test_files_that_are_not_there_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXDEC_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=rf"no file 'nothing', and none in {tmp_path}/libsvm.*Put it there"):
        data.libsvm("nothing")
    monkeypatch.delenv("JAXDEC_DATA")
    with pytest.raises(FileNotFoundError, match="JAXDEC_DATA \\(not set\\)"):
        data.libsvm("nothing")


def test_libsvm_files_are_dense_with_labels_from_zero_and_their_test_set(tmp_path, monkeypatch):
    (tmp_path / "libsvm").mkdir()
    (tmp_path / "libsvm" / "tiny").write_text("-1 1:0.5 3:2\n+1 2:1\n")
    (tmp_path / "libsvm" / "tiny.t").write_text("+1 1:7\n")
    monkeypatch.setenv("JAXDEC_DATA", str(tmp_path))
    for name in ("tiny", tmp_path / "libsvm" / "tiny"):
        tiny = data.libsvm(name)
        np.testing.assert_array_equal(tiny.inputs, [[0.5, 0, 2], [0, 1, 0]])
        np.testing.assert_array_equal(tiny.targets, [0, 1])
        np.testing.assert_array_equal(tiny.test_inputs, [[7, 0, 0]])
        np.testing.assert_array_equal(tiny.test_targets, [1])
    (tmp_path / "libsvm" / "real").write_text("0.5 1:1\n2.5 1:2\n-1 2:2\n")
    assert data.libsvm("real").classes is None


def test_of_problems_side_by_side_each_has_its_own_rounds_and_seeds():
    def results(name, rounds, seeds):
        sizes = {"data": [name], "seed": range(seeds), "round": rounds}
        loss = np.full((1, seeds, len(rounds)), 1e-3)
        grads = ("data", "round"), np.array([rounds], float)
        return xr.Dataset({"suboptimality": (tuple(sizes), loss)}, sizes | {"grads": grads})

    both = beside({0: results("a", [0, 10], 2), 1: results("b", [0, 5, 40], 3)}, "data")
    for name, rounds, seeds in (("a", [0, 10], 2), ("b", [0, 5, 40], 3)):
        one = methods.of(both, name)
        assert (one["round"].values.tolist(), one.sizes["seed"]) == (rounds, seeds)
        np.testing.assert_allclose(methods.decades(one), -3)
