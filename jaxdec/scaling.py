"""Diagonal preconditioners: what the coordinates of a gradient are divided by, one protocol for all.

A scaling turns the statistic S of update k = 0, 1, ... into a raw diagonal D, and D into the one that divides::

    squared:   D_k² = beta_k D_{k-1}² + (1 - beta_k) S_k²       entry by entry
    linear:    D_k  = beta_k D_{k-1}  + (1 - beta_k) S_k
    sum:       D_k² = D_{k-1}² + S_k²
    rule = "max":  Dhat = max(alpha, |D|)        rule = "add":  Dhat = |D| + alpha

so that Dhat ≥ alpha > 0 always. With a corrected beta_k = (beta - beta^(k+1)) / (1 - beta^(k+1)) the squared recursion
is Adam's second moment divided by 1 - beta^(k+1); it needs no D_{-1}, since beta_0 = 0.

| scaling | statistic S | recursion | beta_k |
|---|---|---|---|
| `Identity` | none | Dhat = 1 | |
| `Adam` | the gradient | squared | corrected |
| `RMSProp` | the gradient | squared | beta |
| `AdaGrad` | the gradient | sum | |
| `OASIS` | v ∘ (Hess v), v random signs | linear | beta |
| `AdaHessian` | v ∘ (Hess v), v random signs | squared | corrected |

Where beta_k = beta, there is a choice of D_{-1}: start = "statistic" takes D_0 = S_0, "identity" D_{-1} = 1 and "zero"
D_{-1} = 0. After "identity", with beta = 0.999 and updates only at synchronization, Dhat stays near 1 for a long time;
after "zero" the first steps are as long as if lr were divided by 1 - beta (squared: by its root).

Who updates D, from which statistic and how often is the algorithm's matter, such as `algorithms.SAVIC`'s.
"""

from typing import Any, ClassVar, Literal, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxdec import checks
from jaxdec._module import module, static
from jaxdec.types import Batch, Iterates, ScalarLike

__all__ = [
    "OASIS",
    "AdaGrad",
    "AdaHessian",
    "Adam",
    "Identity",
    "RMSProp",
    "Rule",
    "Scaling",
    "Start",
    "State",
    "hutchinson",
    "require_scaling",
]

Rule = Literal["max", "add"]
Start = Literal["statistic", "identity", "zero"]


class State(NamedTuple):
    """The raw diagonals of one node, of a server's model (m = 1), or of many nodes."""

    D: Float[Array, "m d"]  # of which |D| is used
    k: Float[Array, "m 1"]  # how many updates were made; an algorithm may count its local steps instead


class Scaling(Protocol):
    """A diagonal preconditioner. All methods map over rows."""

    vectors: ClassVar[int]  # d-vectors that a statistic is
    products: ClassVar[int]  # Hessian-vector products in a statistic

    def init(self, x: Iterates) -> State:
        """The state before the first update, for each row of x."""
        ...

    def statistic(self, problem: Any, x: Iterates, g: Iterates, batch: Batch, keys: Key[Array, " n"]) -> Iterates:
        """S at x, where g is the gradient on the same batch; `keys` has one key per row."""
        ...

    def update(self, s: State, S: Iterates, by: ScalarLike = 1) -> State:
        """The next state, with k larger by `by`."""
        ...

    def diagonal(self, s: State) -> Iterates:
        """Dhat of a state; before the first update that of D_{-1}, which is 1 unless start = "zero"."""
        ...

    def check(self) -> None: ...


@module
class Identity:
    """Dhat = 1: no scaling.

    >>> scaling = Identity()
    >>> scaling.diagonal(scaling.init(jnp.zeros((1, 2))))
    Array([[1., 1.]], dtype=float...)
    """

    vectors: ClassVar[int] = 0
    products: ClassVar[int] = 0

    def init(self, x):
        return _first(x, 1.0)

    def statistic(self, problem, x, g, batch, keys):
        return jnp.ones_like(x)

    def update(self, s, S, by: ScalarLike = 1):
        return State(s.D, s.k + by)

    def diagonal(self, s):
        return s.D

    def check(self) -> None: ...


@module
class Adam:
    """The denominator of Adam: the root of the bias-corrected mean of squared gradients.

    Reference: Kingma, Ba (2014), arXiv:1412.6980, Algorithm 1, whose epsilon is `alpha` with rule = "add".

    >>> scaling = Adam(beta=0.5, alpha=0.1)
    >>> state = scaling.update(scaling.init(jnp.zeros((1, 2))), jnp.asarray([[3.0, -0.01]]))
    >>> scaling.diagonal(state)
    Array([[3. , 0.1]], dtype=float...)
    """

    vectors: ClassVar[int] = 1
    products: ClassVar[int] = 0
    beta: ScalarLike = 0.999
    alpha: ScalarLike = 1e-8
    rule: Rule = static(default="max")

    def init(self, x):
        return _first(x, 1.0)

    def statistic(self, problem, x, g, batch, keys):
        return g

    def update(self, s, S, by: ScalarLike = 1):
        return State(_squared(_corrected(self.beta, s.k), s.D, S), s.k + by)

    def diagonal(self, s):
        return _away_from_zero(s.D, self.alpha, self.rule)

    def check(self) -> None:
        _check(self)
        checks.fraction("Adam.beta", self.beta)


@module
class RMSProp:
    """The root of an exponential mean of squared gradients, without bias correction.

    Reference: Tieleman, Hinton (2012), lecture 6.5 of "Neural networks for machine learning", which has start = "zero".
    """

    vectors: ClassVar[int] = 1
    products: ClassVar[int] = 0
    beta: ScalarLike = 0.999
    alpha: ScalarLike = 1e-8
    rule: Rule = static(default="max")
    start: Start = static(default="statistic")

    def init(self, x):
        return _first(x, 0.0 if self.start == "zero" else 1.0)

    def statistic(self, problem, x, g, batch, keys):
        return g

    def update(self, s, S, by: ScalarLike = 1):
        return State(_squared(_plain(self.beta, s.k, self.start), s.D, S), s.k + by)

    def diagonal(self, s):
        return _away_from_zero(s.D, self.alpha, self.rule)

    def check(self) -> None:
        _check(self)


@module
class AdaGrad:
    """The root of the sum of all squared gradients, from D_{-1} = 0: it never decreases.

    Reference: Duchi, Hazan, Singer (2011), JMLR 12, the diagonal form, whose delta is `alpha` with rule = "add".
    """

    vectors: ClassVar[int] = 1
    products: ClassVar[int] = 0
    alpha: ScalarLike = 1e-8
    rule: Rule = static(default="max")

    def init(self, x):
        return _first(x, 0.0)

    def statistic(self, problem, x, g, batch, keys):
        return g

    def update(self, s, S, by: ScalarLike = 1):
        return State(jnp.sqrt(s.D**2 + S**2), s.k + by)

    def diagonal(self, s):
        return _away_from_zero(s.D, self.alpha, self.rule)

    def check(self) -> None:
        _check(self)


@module
class OASIS:
    """An exponential mean of Hutchinson estimates of the Hessian's diagonal.

    Reference: Jahani et al. (2021), arXiv:2109.05198, its preconditioner alone: the step is the algorithm's own, not
    adaptive.
    """

    vectors: ClassVar[int] = 1
    products: ClassVar[int] = 1
    beta: ScalarLike = 0.999
    alpha: ScalarLike = 1e-3
    rule: Rule = static(default="max")
    start: Start = static(default="statistic")

    def init(self, x):
        return _first(x, 0.0 if self.start == "zero" else 1.0)

    def statistic(self, problem, x, g, batch, keys):
        return hutchinson(problem, x, batch, keys)

    def update(self, s, S, by: ScalarLike = 1):
        beta = _plain(self.beta, s.k, self.start)
        return State(beta * s.D + (1 - beta) * S, s.k + by)

    def diagonal(self, s):
        return _away_from_zero(s.D, self.alpha, self.rule)

    def check(self) -> None:
        _check(self)


@module
class AdaHessian:
    """The root of the bias-corrected mean of squared Hutchinson estimates of the Hessian's diagonal.

    Reference: Yao, Gholami, Shen, Mustafa, Keutzer, Mahoney (2020), arXiv:2006.00719, with Hessian power 1 and without
    the averaging over blocks of a tensor; its epsilon is `alpha` with rule = "add".
    """

    vectors: ClassVar[int] = 1
    products: ClassVar[int] = 1
    beta: ScalarLike = 0.999
    alpha: ScalarLike = 1e-3
    rule: Rule = static(default="max")

    def init(self, x):
        return _first(x, 1.0)

    def statistic(self, problem, x, g, batch, keys):
        return hutchinson(problem, x, batch, keys)

    def update(self, s, S, by: ScalarLike = 1):
        return State(_squared(_corrected(self.beta, s.k), s.D, S), s.k + by)

    def diagonal(self, s):
        return _away_from_zero(s.D, self.alpha, self.rule)

    def check(self) -> None:
        _check(self)
        checks.fraction("AdaHessian.beta", self.beta)


def hutchinson(problem: Any, x: Iterates, batch: Batch, keys: Key[Array, " n"]) -> Iterates:
    """V ∘ (Hess v) for each row, v of independent random signs: its expectation is the Hessian's diagonal.

    Where the Hessian is diagonal it is exact, whatever the signs.
    """
    v = jax.vmap(lambda key: jax.random.rademacher(key, x.shape[1:], x.dtype))(keys)
    return v * problem.hvp(x, v, batch)


def require_scaling(scaling: Any, name: str) -> None:
    """Refuse what is not one of the scalings, or is one with bad settings."""
    if isinstance(scaling, type) or not (hasattr(scaling, "statistic") and hasattr(scaling, "update")):
        raise TypeError(
            f"{name}.scaling is an object of jaxdec.scaling, such as scaling.Adam(alpha=1e-4); got {scaling!r}"
        )
    scaling.check()


def _first(x, value):
    return State(jnp.full_like(x, value), jnp.zeros_like(x[:, :1]))


def _corrected(beta, k):
    """beta_k of Adam; 0 at k = 0."""
    return (beta - beta ** (k + 1)) / (1 - beta ** (k + 1))


def _plain(beta, k, start):
    return jnp.where(k == 0, jnp.zeros_like(k), beta) if start == "statistic" else beta


def _squared(beta, D, S):
    return jnp.sqrt(beta * D**2 + (1 - beta) * S**2)


def _away_from_zero(D, alpha, rule):
    return jnp.maximum(jnp.abs(D), alpha) if rule == "max" else jnp.abs(D) + alpha


def _check(scaling: Any) -> None:
    name = type(scaling).__name__
    checks.positive(f"{name}.alpha", scaling.alpha)
    checks.choice(f"{name}.rule", scaling.rule, ("max", "add"))
    if hasattr(scaling, "start"):
        checks.choice(f"{name}.start", scaling.start, ("statistic", "identity", "zero"))
    beta = getattr(scaling, "beta", 0.0)
    if not checks.bounded(beta, lambda beta: (beta >= 0) & (beta <= 1)):
        raise ValueError(f"{name}.beta is a weight in [0, 1], that of the past; got {beta}")
