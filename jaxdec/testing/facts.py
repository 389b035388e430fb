"""Laws that hold of a method by what is known of it."""

from typing import Any

import numpy as np

from jaxdec.testing.defaults import gradients, matrices
from jaxdec.testing.expect import CLOSE, NotTested, expect, gap, leaves
from jaxdec.testing.subject import SHORT, Subject

__all__ = [
    "equals_its_reference",
    "reaches_the_minimizer",
    "stalls_away_from_the_minimizer",
    "what_is_conserved_is",
    "what_is_to_sum_to_zero_does",
]


def equals_its_reference(s: Subject) -> str:
    grad, x = gradients(s.problem, s.keys.data, 5 * SHORT), s.ran[".x"][: SHORT + 1]
    expected = np.asarray(s.reference(matrices(s.network.W), grad, np.asarray(s.x0), SHORT))
    away = [gap(a, b) for a, b in zip(x, expected, strict=True)]
    first = next((t for t, each in enumerate(away) if each >= CLOSE), None)
    expect(
        first is None,
        f"expected the trajectory of the reference, it is {max(away):.2g} away in {SHORT} rounds, first in round "
        f"{first}; look at the update, and at the numbers of the minibatches",
    )
    return f"{max(away):.0e} away in {SHORT} rounds"


def reaches_the_minimizer(s: Subject) -> str:
    x, minimizer = s.ran_quietly[".x"], np.asarray(_minimizer(s))
    errors = np.abs(x - minimizer).max(axis=(1, 2))
    error, earlier = errors[-1], errors[-1 - s.rounds // 10]
    trend = "still shrinking: take more rounds" if error < 0.5 * earlier else "and stays there: look at its fixed point"
    expect(
        error < CLOSE * max(1.0, np.abs(minimizer).max()),
        f"expected all nodes to reach the minimizer, x is {error:.2g} away after {s.rounds} rounds, {trend}",
    )
    return f"{error:.0e} away after {s.rounds} rounds"


def stalls_away_from_the_minimizer(s: Subject) -> str:
    error = np.abs(s.ran_quietly[".x"][-1] - np.asarray(_minimizer(s))).max()
    expect(
        error > 1e-3,
        f"expected a bias on heterogeneous problems, as exact=False says, x is only {error:.2g} away from the "
        f"minimizer after {s.rounds} rounds; is the method exact?",
    )
    return f"{error:.0e} away after {s.rounds} rounds"


def _minimizer(s: Subject) -> Any:
    if s.problem.minimizer is None:
        raise NotTested("the problem does not know its minimizer; take a quadratic")
    return s.problem.minimizer


def what_is_to_sum_to_zero_does(s: Subject) -> str:
    c = s.ran[f".{s.zero_sum}"]
    total, largest = np.abs(c.sum(axis=1)).max(), np.abs(c[1:]).max()
    expect(
        total < CLOSE * max(1.0, largest),
        f"expected the sum of state.{s.zero_sum} over nodes to stay zero, it is {total:.2g}; look for what a node adds "
        "without another taking it away",
    )
    expect(
        largest > 0.1,
        f"expected state.{s.zero_sum} to be used where nodes differ, its largest entry is {largest:.2g}; look at the "
        "line that updates it",
    )
    return f"{total:.0e}, of entries up to {largest:.1f}"


def what_is_conserved_is(s: Subject) -> str:
    f = s.conserved if callable(s.conserved) else lambda state: np.sum(leaves(state)[f".{s.conserved}"], axis=0)
    kept = f(s.hand[0].after)
    away = [gap(f(step.after), kept) for step in s.hand]
    expect(
        max(away) < CLOSE,
        f"expected {s.conserved if isinstance(s.conserved, str) else 'what is conserved'}, summed over nodes, to stay "
        f"what it was, it is {max(away):.2g} away after {int(np.argmax(away))} rounds; look at what is mixed, and by "
        "which W",
    )
    return f"{max(away):.0e} away in {len(s.hand) - 1} rounds"
