"""MCM on images: Philippenko, Dieuleveut (2021), arXiv:2102.12528.

The baseline of the paper's MNIST experiment: distributed SGD without compression, 20 workers with random shares, all of
them in every round, minibatches of 128 drawn with replacement, step size 0.1, no momentum, on the network of PyTorch's
MNIST example with its dropout. An epoch is 24 rounds. Images are normalized by the mean and deviation of that example,
0.1307 and 0.3081, which is our choice: in 10 of the paper's 300 epochs it takes the test accuracy from 93 % to 95 %.
Everything is computed in float32, whatever the precision of JAX.
"""

from typing import Any

import jax
import xarray as xr

from jaxdec import data, networks, nn, problems
from jaxdec.algorithms import SGD
from jaxdec.loop import run
from jaxdec.metrics import test
from jaxdec.problems.augment import Normalize

__all__ = ["experiment", "problem"]

WORKERS, BATCH, STEP, ROUNDS_PER_EPOCH = 20, 128, 0.1, 24
MEAN, DEVIATION = 0.1307, 0.3081


def problem(images: data.Dataset, *, workers: int = WORKERS, batch_size: int = BATCH) -> problems.FiniteSum:
    """The MNIST network on random shares."""
    partition = data.iid(images, workers)
    normalize = Normalize(MEAN, DEVIATION)
    return problems.neural(nn.models.MNISTCNN(), images, partition, batch_size=batch_size, augment=normalize)


@jax.enable_x64(False)
def experiment(images: data.Dataset, *, epochs: int = 10, algorithm: Any = None, seed: int = 0) -> xr.Dataset:
    """Test loss and accuracy of the server's model after every epoch.

    Args:
        images: MNIST, or another set of 28 x 28 x 1 with test images.
        epochs: of 24 rounds each.
        algorithm: for a server; None is SGD with the paper's step size.
        seed: of the start, the minibatches and the dropout.
    """
    algorithm = SGD(lr=STEP) if algorithm is None else algorithm
    rounds = epochs * ROUNDS_PER_EPOCH
    result = run(
        algorithm,
        problem(images),
        networks.server(WORKERS),
        rounds=rounds,
        every=ROUNDS_PER_EPOCH,
        seed=seed,
        metrics=(test,),
    )
    return result.to_xarray()
