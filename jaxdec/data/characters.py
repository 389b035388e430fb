"""Text as tokens: a sample is characters in a row, and its targets are what comes next at each place."""

import numpy as np

from jaxdec import checks
from jaxdec.data.sources import Dataset, dataset

__all__ = ["alphabet", "text"]


def text(source: str | None = None, length: int = 64, test_fraction: float = 0.1) -> Dataset:
    """Characters of a text, to be predicted from those before: windows that do not overlap, in the text's order.

    A sample's inputs are `length` characters in a row and its targets those one place further, (length,) int32 both:
    numbers in `alphabet(source)`, in which a character is a class. What is left at the end is in no window.

    Args:
        source: the text; None takes the reference of the Python language that `help()` prints, about half a million
            characters from the standard library's pydoc_data.topics (PSF license). The words differ a little from one
            version of Python to another, which the set's name tells.
        length: of a window.
        test_fraction: share of the windows held out, those at the end; 0 for no test set.

    Raises:
        TypeError: the source is no text.
        ValueError: the text has fewer than two windows, or fewer than two characters that differ, or the fraction
            leaves nothing on one side.

    >>> fox = "the quick brown fox jumps over the lazy dog; " * 20
    >>> task = text(fox, length=8)
    >>> task.inputs.shape, task.test_inputs.shape, task.classes
    ((100, 8), (12, 8), 28)
    >>> "".join(alphabet(fox)[k] for k in task.targets[0])
    'he quick'
    """
    length = checks.integer("length", length, 1)
    if source is not None and not isinstance(source, str):
        raise TypeError(f"source is a text, a str; got {type(source).__name__}. Decode bytes, and join a list")
    name = _topics()[0] if source is None else "text"
    source, letters = _topics()[1] if source is None else source, alphabet(source)
    codes = np.searchsorted([ord(c) for c in letters], [ord(c) for c in source]).astype(np.int32)
    windows = (len(codes) - 1) // length
    if windows < 2 or len(letters) < 2:
        raise ValueError(
            f"a text of {len(codes)} characters, {len(letters)} of them different, has {max(windows, 0)} windows of "
            f"{length} and one more to predict; give a longer text, or a smaller length"
        )
    inputs, targets = (codes[k : k + windows * length].reshape(windows, length) for k in (0, 1))
    if not checks.bounded(test_fraction, lambda share: (share >= 0) & (share < 1)):
        raise ValueError(f"test_fraction is a share of the windows, at least 0 and below 1; got {test_fraction!r}")
    held = int(np.ceil(test_fraction * windows))
    if held == windows:
        raise ValueError(f"test_fraction={test_fraction:g} holds out all {windows} windows; give a smaller one")
    tested = {"test_inputs": inputs[-held:], "test_targets": targets[-held:]} if held else {}
    kept = slice(0, windows - held)
    return dataset(inputs[kept], targets[kept], **tested, classes=len(letters), name=name, images=False)


def alphabet(source: str | None = None) -> str:
    """The characters of a text, each once, in the order in which `text` numbers them.

    Args:
        source: as of `text`.

    >>> alphabet("hello")
    'ehlo'
    """
    return "".join(sorted(set(_topics()[1] if source is None else source)))


def _topics() -> tuple[str, str]:
    """The name and the text of the topics of `help()`, in the order of their names."""
    from platform import python_version
    from pydoc_data.topics import topics

    return f"pydoc topics, Python {python_version()}", "\n".join(topics[name] for name in sorted(topics))
