"""The convex problems of MCM: logistic regression on sets of the LIBSVM collection, and synthetic ones; 20 clients.

The authors' code records a loss once an epoch, before its last step; here it is after it. That code does not seed its
synthetic sets: here each seed is a draw of the same law.
"""

from functools import cache
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from scipy.linalg import toeplitz

from jaxdec import data, problems
from jaxdec._module import module
from jaxdec.data.files import file
from jaxdec.papers.sets import standardized
from jaxdec.types import ScalarLike

__all__ = [
    "CLIENTS",
    "SETTINGS",
    "STAND_IN",
    "InverseSqrt",
    "Setting",
    "Split",
    "per_epoch",
    "real",
    "smoothness",
    "solved",
    "synthetic_least_squares",
    "synthetic_logistic",
]

CLIENTS, SAMPLES = 20, 200  # SAMPLES of a client, in the synthetic sets
STAND_IN = "breast cancer"
Split: TypeAlias = Literal["clusters", "iid", "labels"]


class Setting(NamedTuple):
    """What is known of a set and its split."""

    batch_size: int
    d: int
    rounds: int  # of an epoch: as many as the smallest client's samples fill


SETTINGS: dict[tuple[str, Split], Setting] = {
    ("a9a", "clusters"): Setting(50, 124, 10),
    ("a9a", "iid"): Setting(50, 124, 32),
    ("phishing", "clusters"): Setting(50, 69, 4),
    ("phishing", "iid"): Setting(50, 69, 11),
    ("w8a", "clusters"): Setting(12, 301, 51),
    ("w8a", "iid"): Setting(12, 301, 207),
    (STAND_IN, "labels"): Setting(1, 6, 22),
}


@module
class InverseSqrt:
    """The schedule lr / √(t + 1)."""

    lr: ScalarLike

    def __call__(self, t):
        return self.lr / jnp.sqrt(t + 1.0)


@jax.enable_x64(True)
def real(name: str, *, split: Split = "clusters", batch_size: int | None = None) -> Any:
    """Logistic regression without regularizer, features scaled to mean 0 and variance 1.

    f_i is the mean over the samples of client i, whatever their number. Minibatches are drawn without replacement.

    Args:
        name: "a9a", "phishing" or "w8a", files NAME and NAME.clusters.npy, the authors' clusters; or, for a first look,
            "breast cancer", of whose features five are taken: all thirty separate the classes.
        split: the clusters, rebalanced; "iid", contiguous blocks of equal size; or sorted by "labels".
        batch_size: samples in a minibatch; None means that every gradient is exact.
    """
    scaled = _scaled(name)
    total = len(scaled.inputs)
    if split == "labels":
        partition = data.shards(scaled, CLIENTS, per_node=1)
    elif split == "iid":
        partition = data.from_lists(list(np.arange(total // CLIENTS * CLIENTS).reshape(CLIENTS, -1)), total)
    else:
        labels = np.load(file("libsvm", f"{name}.clusters.npy"))
        parts = data.rebalanced([np.flatnonzero(labels == k) for k in range(CLIENTS)])
        partition = data.from_lists(parts, total)
    return problems.logistic(scaled, partition, batch_size=batch_size, sampling="subset")


def _scaled(name: str) -> data.Dataset:
    """In float64; features that are constant stay, as zeros."""
    if name == STAND_IN:
        found = standardized(data.breast_cancer())
        return data.dataset(found.inputs[:, [1, 4, 5, 8, 9]], found.targets, classes=2, name=name)
    found = data.libsvm(name)
    inputs = np.asarray(found.inputs, np.float64)
    deviation = inputs.std(axis=0)
    scaled = (inputs - inputs.mean(axis=0)) / np.where(deviation == 0, 1, deviation)
    return data.dataset(scaled, found.targets, classes=2, name=name)


@cache
@jax.enable_x64(True)
def solved(name: str, split: Split) -> Any:
    """`real` in the paper's minibatches, whose minimum is known."""
    return problems.solve(real(name, split=split, batch_size=SETTINGS[name, split].batch_size), tolerance=1e-7)


@jax.enable_x64(True)
def synthetic_least_squares(
    *, noise: Literal["client", "sample", "none"] = "client", batch_size: int | None = 1, seed: int = 0
) -> Any:
    """(a'x - y)² without the 1/2, y = a'w + 2 + noise, w_j = -(-1)^j exp(-j/10), a ~ N(0, Σ), Σ_jk = 0.6^|j-k|, d = 19.

    Args:
        noise: N(0, 0.4²); one draw for all samples of a "client" is what the published code does: offsets that make the
            f_i differ, and no noise of labels. "sample" is one draw each, as is said in its text.
        batch_size: samples in a minibatch; None means that every gradient is exact.
        seed: of the data.
    """
    rng = np.random.default_rng(seed)
    d = 19
    w = -((-1.0) ** np.arange(d)) * np.exp(-np.arange(d) / 10)
    inputs = rng.multivariate_normal(np.zeros(d), toeplitz(0.6 ** np.arange(d)), (CLIENTS, SAMPLES))
    shape = {"client": (CLIENTS, 1), "sample": (CLIENTS, SAMPLES), "none": (CLIENTS, 0)}[noise]
    drawn = 0.4 * rng.standard_normal(shape)
    targets = inputs @ w + 2 + (drawn if drawn.size else 0)
    # least_squares has the factor 1/2: with √2 a and √2 y it is (a'x - y)².
    root = np.sqrt(2)
    columns = np.concatenate([np.ones((CLIENTS, SAMPLES, 1)), inputs], axis=2).reshape(CLIENTS * SAMPLES, -1)
    samples = data.dataset(root * columns, root * targets.ravel(), name=f"synthetic least squares, noise per {noise}")
    return problems.least_squares(samples, _blocks(), batch_size=batch_size, bias=False, sampling="subset")


@jax.enable_x64(True)
def synthetic_logistic(*, batch_size: int | None = None, seed: int = 0) -> Any:
    """Logistic regression in two dimensions, w = (10, 10): one draw of inputs for all clients, of two kinds.

    P(y = 1) = 1/(1 + exp(-a'w)). Clients 0, 2, ... have the sign of a_1 turned, and that of w_2 for w.
    """
    rng = np.random.default_rng(seed)
    base = rng.multivariate_normal(np.zeros(2), toeplitz([1.0, 0.6]), SAMPLES)
    turned = np.arange(CLIENTS)[:, None] % 2 == 0
    inputs = np.where(turned[..., None], base * [-1, 1], base)
    w = np.where(turned, [10.0, -10.0], [10.0, 10.0])
    chance = 1 / (1 + np.exp(-np.einsum("nsd,nd->ns", inputs, w)))
    labels = rng.random(chance.shape) < chance
    samples = data.dataset(inputs.reshape(-1, 2), labels.ravel().astype(np.int32), classes=2, name="synthetic logistic")
    return problems.logistic(samples, _blocks(), batch_size=batch_size, bias=False, sampling="subset")


def _blocks() -> data.Partition:
    return data.from_lists(list(np.arange(CLIENTS * SAMPLES).reshape(CLIENTS, SAMPLES)), CLIENTS * SAMPLES)


def smoothness(problem: Any) -> float:
    """The L of the experiments' steps: the mean over clients of ‖A_i'A_i‖ / m_i, Frobenius, and a quarter if logistic.

    The code's comment speaks of the spectral norm, which is smaller.
    """
    inputs, counts = np.asarray(problem.inputs, np.float64), np.asarray(problem.counts)
    own = [inputs[np.asarray(row)[:m]] for row, m in zip(problem.indices, counts, strict=True)]
    L = np.mean([np.linalg.norm(a.T @ a) / len(a) for a in own])
    return float(L / 4 if type(problem.model).__name__ == "Logistic" else L)


def per_epoch(problem: Any) -> int:
    """The rounds of an epoch."""
    return 1 if problem.minibatch is None else int(np.min(problem.counts)) // problem.minibatch
