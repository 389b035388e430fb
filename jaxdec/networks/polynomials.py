"""Polynomials of a mixing operator: `W.power(rounds)` and `W.chebyshev(rounds)`, several products with W for one."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdec import graphs
from jaxdec._module import module
from jaxdec._module import static as _static
from jaxdec.types import ScalarLike

__all__ = ["Chebyshev", "Power", "interval"]

# XLA would fuse one product with the next, and compute what it gathers once for each neighbour: 3^k times on a ring.
apart = jax.lax.optimization_barrier


@module
class Power:
    """W^rounds: as many gossip steps one after the other."""

    W: Any
    rounds: int = _static()

    @property
    def n(self) -> int:
        return self.W.n

    def __matmul__(self, x):
        for _ in range(self.rounds):
            x = apart(self.W @ x)
        return x

    def dense(self) -> Float[Array, "n n"]:
        """The matrix itself, (n, n)."""
        return self @ jnp.eye(self.n)


@module
class Chebyshev:
    r"""T_k(Z) / T_k(z) with Z = (2 W - (b + a) I) / (b - a) and z its value at 1, T_k the k-th Chebyshev polynomial.

    Of all polynomials of degree k in W that leave a constant vector as it is, it makes the largest |p(l)| over
    a ≤ l ≤ b the smallest. It is computed by T_(k+1)(Z) = 2 Z T_k(Z) - T_(k-1)(Z), one product with W each.
    """

    W: Any
    low: ScalarLike  # a, at most the least eigenvalue of W
    high: ScalarLike  # b, at least the largest but for the 1 of consensus, and below 1
    rounds: int = _static()

    @property
    def n(self) -> int:
        return self.W.n

    def __matmul__(self, x):
        low, high = jnp.asarray(self.low, x.dtype), jnp.asarray(self.high, x.dtype)
        middle, half = (high + low) / 2, (high - low) / 2
        z = (1 - middle) / half
        before, now = x, apart((self.W @ x - middle * x) / (half * z))
        ratio = 1 / z  # T_(k-1)(z) / T_k(z)
        for _ in range(self.rounds - 1):
            after = 1 / (2 * z - ratio)
            now, before = apart(after * (2 * (self.W @ now - middle * now) / half - ratio * before)), now
            ratio = after
        return now

    def dense(self) -> Float[Array, "n n"]:
        """The matrix itself, (n, n)."""
        return self @ jnp.eye(self.n)


def interval(W: Any) -> tuple[float, float]:
    """The least eigenvalue of a symmetric W and the largest but for the 1 of consensus; apart by at least 1e-3.

    >>> from jaxdec import networks
    >>> interval(networks.hypercube(8).W)
    (-0.5, 0.5)
    """
    found = graphs.spectrum(np.asarray(W.dense(), np.float64))
    wider = max(0.0, 1e-3 - (found.lambda_2 - found.lambda_min)) / 2
    return found.lambda_min - wider, found.lambda_2 + wider
