"""What the papers' experiments on MNIST show, where MNIST is at hand."""

import json
import os
import subprocess
import sys
from functools import cache
from typing import Any

import numpy as np
import pytest
import xarray as xr

from jaxdec import data
from jaxdec.papers import mcm_mnist


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
from jaxdec.papers import mcm_mnist
print(json.dumps({call}.drop_attrs().to_dict()))
"""
    environment = {k: v for k, v in os.environ.items() if k not in ("XLA_FLAGS", "JAX_ENABLE_X64")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return xr.Dataset.from_dict(json.loads(done.stdout.splitlines()[-1]))


def pictures(n: int = 96) -> data.Dataset:
    rng = np.random.default_rng(0)
    images = rng.integers(256, size=(n, 28, 28, 1), dtype=np.uint8)
    return data.dataset(images, np.arange(n) % 10, test_inputs=images[:20], test_targets=np.arange(20) % 10)


def test_the_problems_are_those_of_the_papers():
    problem = mcm_mnist.problem(pictures())
    assert (problem.n, problem.d, problem.batch_size, problem.random) == (20, 21840, 128, True)


@pytest.mark.slow
def test_sgd_is_at_95_percent_after_ten_epochs():
    accuracy = experiment("mcm_mnist.experiment(data.mnist())")["test_accuracy"].values
    assert len(accuracy) == 11
    assert accuracy[-1] >= 0.945
