"""Data that several papers use, whole or, for a first look, what is embedded in scikit-learn in its place."""

import numpy as np

from jaxdec import data

__all__ = ["IMAGES", "pictures", "standardized"]

IMAGES = {"mnist": data.mnist, "fashion_mnist": data.fashion_mnist, "cifar10": data.cifar10}


def pictures(name: str, *, tested: int | None = None) -> data.Dataset:
    """Images with test images.

    Args:
        name: "mnist", "fashion_mnist", "cifar10"; or "digits", the 1797 of scikit-learn, of 8 x 8.
        tested: how many of the test images are kept, the first ones; None keeps all.
    """
    if name == "digits":
        found = data.digits()
        found = data.dataset(
            found.inputs.reshape(-1, 8, 8, 1),
            found.targets,
            classes=10,
            test_inputs=np.asarray(found.test_inputs).reshape(-1, 8, 8, 1),
            test_targets=found.test_targets,
            name="digits",
        )
    else:
        found = IMAGES[name]()
    if tested is None:
        return found
    inputs, targets = (np.asarray(a)[:tested] for a in (found.test_inputs, found.test_targets))
    return data.dataset(
        found.inputs, found.targets, classes=10, test_inputs=inputs, test_targets=targets, name=found.name
    )


def standardized(found: data.Dataset) -> data.Dataset:
    """Features shifted and scaled to mean 0 and variance 1, without those that are constant; no test data."""
    inputs = np.asarray(found.inputs, np.float64)
    deviation = inputs.std(axis=0)
    kept = deviation > 0
    scaled = (inputs[:, kept] - inputs[:, kept].mean(axis=0)) / deviation[kept]
    return data.dataset(scaled, found.targets, classes=found.classes, name=found.name)
