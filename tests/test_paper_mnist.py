"""What the papers' experiments on MNIST show, where MNIST is at hand."""

import json
import os
import subprocess
import sys
from functools import cache
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

from jaxdec import data
from jaxdec.papers import momentum_tracking_mnist
from jaxdec.papers.mcm import images
from jaxdec.results import best

METRIC = momentum_tracking_mnist.METRIC


@cache
def experiment(call: str) -> Any:
    """An experiment on MNIST in a process of its own: in float32, and with the compiler's optimizations left in."""
    try:
        data.mnist()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    code = f"""
import json
from jaxdec import data
from jaxdec.papers import momentum_tracking_mnist
print(json.dumps({call}.drop_attrs().to_dict()))
"""
    environment = {k: v for k, v in os.environ.items() if k not in ("XLA_FLAGS", "JAX_ENABLE_X64")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return xr.Dataset.from_dict(json.loads(done.stdout.splitlines()[-1]))


def compared() -> Any:
    return experiment("momentum_tracking_mnist.experiment(data.mnist(), progress=False)")


def pictures(n: int = 96) -> data.Dataset:
    rng = np.random.default_rng(0)
    images = rng.integers(256, size=(n, 28, 28, 1), dtype=np.uint8)
    return data.dataset(images, np.arange(n) % 10, test_inputs=images[:20], test_targets=np.arange(20) % 10)


def test_the_problems_are_those_of_the_papers():
    problem = images.problem(pictures(), images.SETTINGS["mnist"])
    assert (problem.n, problem.d, problem.batch_size, problem.random) == (20, 21840, 128, True)
    problem = momentum_tracking_mnist.problem(pictures())
    held = np.asarray(problem.targets)[np.asarray(problem.indices)]
    assert (problem.n, problem.batch_size, problem.random) == (8, 32, False)
    assert {len(np.unique(row)) for row in held} == {2}


def test_a_set_without_test_images_is_refused():
    untested = data.dataset(pictures().inputs, pictures().targets)
    with pytest.raises(ValueError, match="no test images"):
        momentum_tracking_mnist.problem(untested)


@pytest.mark.slow
def test_momentum_tracking_is_ahead_of_dsgdm_at_every_seed():
    chosen = best(compared(), METRIC, largest=True)[METRIC].isel(round=-1)
    momentum_tracking, dsgdm = (chosen.sel(algorithm=name) for name in ("Momentum Tracking", "DSGDm"))
    assert chosen.sizes["seed"] == 3
    assert np.all(momentum_tracking.values > dsgdm.values + 0.1)


@pytest.mark.slow
def test_the_figure_draws_both():
    figure = momentum_tracking_mnist.figure(compared())
    assert len(figure.axes) == 3
    plt.close(figure)
