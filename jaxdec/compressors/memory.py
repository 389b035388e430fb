"""Sending against a memory, and with error feedback.

Sender and receiver remember the same h. What is sent is the compressed difference to it, so that messages become small
as v settles, and both move h a share alpha towards what was received::

    D = C(v - h);   the receiver has h + D;   h = h + alpha D

    E‖v - h - alpha D‖² = ((1 - alpha)² + alpha² omega) ‖v - h‖² ≤ (1 - alpha) ‖v - h‖²   if alpha (1 + omega) ≤ 1

Error feedback sends what earlier messages left out::

    u = v + e;   the receiver has C(u);   e = u - C(u)
"""

import warnings
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxdec.compressors.maps import Identity

__all__ = ["advise", "advise_feedback", "rate"]


def rate(alpha: Any, compressor: Any, blocks: tuple[int, ...]) -> Any:
    """The share of a difference by which its memory moves.

    None is 1/(2(omega + 1)), 0 if nothing is lost, and 1 for a biased compressor, which is contractive itself. Where
    each tensor has an omega of its own the rates are a row, (1, d).
    """
    if alpha is not None:
        return alpha
    if isinstance(compressor, Identity):
        return 0.0
    if not hasattr(compressor, "omega"):
        return 1.0
    omega = compressor.omega(blocks)
    rates = jnp.where(jnp.asarray(omega) > 0, 1 / (2 * (omega + 1)), 0)
    return rates[None] if rates.ndim else rates


def advise(name: str, alpha: Any, compressor: Any, blocks: tuple[int, ...], *, zero: str | None = None):
    """Warn of a memory's rate that the theory forbids, 1/(1 + omega) being its limit, and say what will happen.

    `zero` says it of the rate 0; None is for a memory without which there is still a method.
    """
    if alpha is None or not hasattr(compressor, "omega"):
        return
    rates, omega = np.asarray(alpha, float), float(np.max(np.asarray(compressor.omega(blocks))))
    if omega == 0:
        return
    if zero and np.any(rates == 0):
        warnings.warn(f"{name} = 0: {zero}", stacklevel=2)
    if np.any(rates < 0) or np.any(rates > 1 / (1 + omega)):
        worst = float(np.max(rates) if np.max(rates) > 1 / (1 + omega) else np.min(rates))
        factor = (1 - worst) ** 2 + worst**2 * omega
        grows = "its error grows until the run diverges" if factor > 1 else "no bound covers it"
        warnings.warn(
            f"{name} = {worst:.3g} is outside [0, 1/(1 + omega)] = [0, {1 / (1 + omega):.3g}]: in each round the "
            f"memory's squared error is multiplied by (1 - alpha)² + alpha² omega = {factor:.3g} in the mean, so that "
            f"{grows}. None takes half of the limit",
            stacklevel=2,
        )


def advise_feedback(name: str, feedback: Any, compressor: Any, blocks: tuple[int, ...]) -> None:
    """Warn of error feedback through a compressor that may add more than it sends."""
    if feedback is None or not hasattr(compressor, "omega"):
        return
    omega = float(np.max(np.asarray(compressor.omega(blocks))))
    factor = float(np.max(np.abs(np.asarray(feedback, float)))) ** 2 * omega
    if factor >= 1:
        kind = type(compressor).__name__
        warnings.warn(
            f"{name} = {feedback} with a {kind} of omega = {omega:.3g}: in each round an error's square may be "
            f"multiplied by feedback² omega = {factor:.3g}, so that the run may diverge. Use Scaled({kind}(...)), "
            "which is contractive, or a smaller feedback",
            stacklevel=2,
        )
