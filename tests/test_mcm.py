"""The MCM paper's problems and results. What needs the LIBSVM files is skipped where they are not."""

import os
from functools import cache

import jax.numpy as jnp
import numpy as np
import pytest

from jaxdec import data
from jaxdec.papers import mcm

FOLDER = os.environ.get("JAXDEC_DATA", "")


def needs(name: str) -> None:
    for file in (name, f"{name}.clusters.npy"):
        if not os.path.isfile(os.path.join(FOLDER, "libsvm", file)):
            pytest.skip(f"needs libsvm/{file} in the folder that JAXDEC_DATA names")


@cache
def least(name: str, split: str) -> float:
    return mcm.minimum(mcm.real(name, split=split))


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
    problem = mcm.real(name, split=split, batch_size=mcm.BATCH[name])
    assert (int(problem.counts.min()), int(problem.counts.max())) == sizes
    assert abs(least(name, split) - minimum) < 5e-6
    if L:
        assert abs(mcm.smoothness(problem) - L) < 1e-3


def test_w8a_has_the_published_sizes_and_smoothness():
    needs("w8a")
    problem = mcm.real("w8a", batch_size=mcm.BATCH["w8a"])
    assert (problem.d, int(problem.counts.min()), int(problem.counts.max())) == (301, 621, 4938)
    assert abs(mcm.smoothness(problem) - 43.82) < 5e-3


def test_least_squares_has_no_half_and_its_minimum_is_that_of_the_normal_equations():
    for noise in ("client", "sample", "none"):
        problem = mcm.synthetic_least_squares(noise=noise, seed=3)
        a, y = np.asarray(problem.inputs) / np.sqrt(2), np.asarray(problem.targets) / np.sqrt(2)
        assert a.shape == (4000, 20)
        x = np.linalg.lstsq(a, y)[0]
        np.testing.assert_allclose(mcm.minimum(problem), np.mean((a @ x - y) ** 2), rtol=1e-9, atol=1e-20)
        np.testing.assert_allclose(problem.loss(jnp.tile(x, (20, 1))).mean(), np.mean((a @ x - y) ** 2), atol=1e-12)
        spread = (a @ x - y).reshape(20, 200)
        w = np.concatenate([[2], -((-1.0) ** np.arange(19)) * np.exp(-np.arange(19) / 10)])
        offsets = (y - a @ w).reshape(20, 200)
        assert np.all(np.ptp(offsets, axis=1) < 1e-9) == (noise != "sample")
        assert (np.abs(spread).max() < 1e-9) == (noise == "none")


def test_synthetic_logistic_has_one_draw_of_inputs_of_two_kinds():
    problem = mcm.synthetic_logistic()
    a = np.asarray(problem.inputs).reshape(20, 200, 2)
    for i in range(20):
        np.testing.assert_array_equal(a[i], a[1] * ([-1, 1] if i % 2 == 0 else [1, 1]))
    assert 0.2 < mcm.minimum(problem) < 0.4


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


@pytest.mark.slow
def test_a9a_reaches_the_published_excess():
    needs("a9a")
    found = mcm.convex(mcm.real("a9a", batch_size=50), epochs=199, least=least("a9a", "clusters"))
    expected = {"SGD": -3.22, "DIANA": -2.77, "MCM": -2.79, "Rand-MCM": -2.69, "Artemis": -1.86, "DORE": -1.88}
    last = found["excess"].mean("seed").isel(round=-1)
    for name, value in expected.items():
        assert abs(float(last.sel(algorithm=name)) - value) < 0.15, name


@pytest.mark.slow
def test_the_models_memory_needs_a_rate_between_zero_and_its_limit():
    needs("a9a")
    found = mcm.alphas(mcm.real("a9a", batch_size=50), seeds=2, least=least("a9a", "clusters"))
    frozen, *allowed, one = found["excess"].mean("seed").isel(round=-1).values
    assert frozen > 0
    assert one > 0.5
    assert max(allowed) < -2.5
    assert np.ptp(allowed) < 0.15


@pytest.mark.slow
def test_synthetic_least_squares_reaches_the_published_excess():
    problem = mcm.synthetic_least_squares(seed=7)  # its minimum, 0.1284, is next to that of the authors' draw, 0.1297
    # A run's excess has a standard deviation of 0.15 (0.22 of SGD): the mean of five alone may be 0.15 away.
    found = mcm.convex(problem, epochs=99, decreasing=True, seeds=30)
    expected = {"SGD": -4.14, "DIANA": -3.64, "MCM": -3.56, "Rand-MCM": -3.57, "Artemis": -2.90, "DORE": -2.98}
    last = found["excess"].mean("seed").isel(round=-1)
    for name, value in expected.items():
        assert abs(float(last.sel(algorithm=name)) - value) < 0.15, name
