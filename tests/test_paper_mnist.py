"""What MCM's exhibit on images is made of."""

import numpy as np

from jaxdec import data
from jaxdec.papers.mcm import images


def pictures(n: int = 96) -> data.Dataset:
    rng = np.random.default_rng(0)
    found = rng.integers(256, size=(n, 28, 28, 1), dtype=np.uint8)
    return data.dataset(found, np.arange(n) % 10, test_inputs=found[:20], test_targets=np.arange(20) % 10)


def test_the_problem_is_that_of_the_paper():
    problem = images.problem(pictures(), images.SETTINGS["mnist"])
    assert (problem.n, problem.d, problem.batch_size, problem.random) == (20, 21840, 128, True)
