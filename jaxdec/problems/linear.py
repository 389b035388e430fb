"""Linear models: least squares, logistic and softmax regression."""

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp

from jaxdec import checks
from jaxdec._module import module, static
from jaxdec.data import Dataset, Partition
from jaxdec.problems.finite_sums import FiniteSum, Sampling, finite_sum
from jaxdec.problems.models import Model
from jaxdec.problems.rows import Rows
from jaxdec.types import ScalarLike

__all__ = ["LeastSquares", "Logistic", "Softmax", "least_squares", "logistic", "softmax"]


def _scores(inputs, x):
    if isinstance(inputs, Rows):
        return inputs @ x
    return jnp.matmul(inputs, x, precision=jax.lax.Precision.HIGHEST)


@jax.custom_jvp
def _softplus(z):
    """log(1 + exp(z)), whose derivative is written as what it is: that of logaddexp takes three times as long."""
    return jax.nn.softplus(z)


@_softplus.defjvp
def _(primals, tangents):
    (z,), (dz,) = primals, tangents
    return _softplus(z), jax.nn.sigmoid(z) * dz


@module
class LeastSquares(Model):
    """loss(x; a, y) = (a'x - y)² / 2."""

    bend: ClassVar[float | None] = 1.0
    convex: ClassVar[bool | None] = True
    quadratic: ClassVar[bool] = True
    features: int = static()

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        return ((self.features,),)

    def losses(self, x, inputs, targets):
        return (_scores(inputs, x) - targets) ** 2 / 2

    def scores(self, x, inputs, targets):
        return {"loss": jnp.mean(self.losses(x, inputs, targets))}


@module
class Logistic(Model):
    """loss(x; a, y) = log(1 + exp(a'x)) - y a'x with y in {0, 1}."""

    bend: ClassVar[float | None] = 1 / 4
    convex: ClassVar[bool | None] = True
    features: int = static()

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        return ((self.features,),)

    def losses(self, x, inputs, targets):
        z = _scores(inputs, x)
        return _softplus(z) - targets * z

    def scores(self, x, inputs, targets):
        right = (_scores(inputs, x) > 0) == (targets == 1)
        return {"loss": jnp.mean(self.losses(x, inputs, targets)), "accuracy": jnp.mean(right, dtype=x.dtype)}


@module
class Softmax(Model):
    """loss(x; a, y) = log Σ_c exp(a'x_c) - a'x_y, x the (classes, features) matrix of all x_c, flattened."""

    bend: ClassVar[float | None] = 1 / 2
    convex: ClassVar[bool | None] = True
    features: int = static()
    classes: int = static()

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        return ((self.classes, self.features),)

    def losses(self, x, inputs, targets):
        import optax

        # One-hot rather than a gather of the label's logit: its gradient would be a scatter, several times slower.
        return optax.softmax_cross_entropy(
            self._logits(x, inputs), jax.nn.one_hot(targets, self.classes, dtype=x.dtype)
        )

    def scores(self, x, inputs, targets):
        right = jnp.argmax(self._logits(x, inputs), axis=1) == targets
        return {"loss": jnp.mean(self.losses(x, inputs, targets)), "accuracy": jnp.mean(right, dtype=x.dtype)}

    def _logits(self, x, inputs):
        return _scores(inputs, x.reshape(self.classes, self.features).T)


def least_squares(
    data: Dataset,
    partition: Partition,
    *,
    batch_size: int | None = None,
    bias: bool = True,
    l2: ScalarLike = 0.0,
    nonconvex: ScalarLike | None = None,
    sampling: Sampling = "replacement",
) -> FiniteSum:
    """Linear regression, f_i(x) = mean_j (a_ij'x - y_ij)² / 2 + regularizers.

    Args:
        data: samples with real targets, or with labels, which are then fitted as numbers. Sparse inputs stay sparse: a
            gradient costs what their entries do.
        partition: who holds what, see `jaxdec.data`.
        batch_size: samples in a minibatch; None means that every gradient is exact.
        bias: whether a column of ones is appended to the inputs.
        l2: the weight of ‖x‖²/2.
        nonconvex: the weight of Σ x²/(1 + x²); None leaves the term out.
        sampling: how minibatches are drawn: with "replacement", as a "subset", or in "epochs"; see `FiniteSum`.
    """
    data = _flat(data, bias)
    model = LeastSquares(data.inputs.shape[1])
    return finite_sum(model, data, partition, batch_size=batch_size, l2=l2, nonconvex=nonconvex, sampling=sampling)


def logistic(
    data: Dataset,
    partition: Partition,
    *,
    batch_size: int | None = None,
    bias: bool = True,
    l2: ScalarLike = 0.0,
    nonconvex: ScalarLike | None = None,
    sampling: Sampling = "replacement",
) -> FiniteSum:
    """Binary logistic regression on labels 0 and 1; arguments as for `least_squares`.

    Raises:
        ValueError: if the data do not have two classes.

    >>> from jaxdec import data
    >>> cancer = data.breast_cancer()
    >>> problem = logistic(cancer, data.iid(cancer, n=8), batch_size=16, l2=1e-3)
    >>> problem.n, problem.d
    (8, 31)
    """
    if data.classes != 2:
        raise ValueError(
            f"logistic regression needs labels 0 and 1; {data.name} has "
            f"{'real targets' if data.classes is None else f'{data.classes} classes'}. "
            "Use softmax, least_squares or data.binary"
        )
    data = _flat(data, bias)
    model = Logistic(data.inputs.shape[1])
    return finite_sum(model, data, partition, batch_size=batch_size, l2=l2, nonconvex=nonconvex, sampling=sampling)


def softmax(
    data: Dataset,
    partition: Partition,
    *,
    batch_size: int | None = None,
    bias: bool = True,
    l2: ScalarLike = 0.0,
    nonconvex: ScalarLike | None = None,
    sampling: Sampling = "replacement",
) -> FiniteSum:
    """Multinomial logistic regression; arguments as for `least_squares`.

    Raises:
        ValueError: if the data have no classes.
    """
    if data.classes is None:
        raise ValueError(f"softmax regression needs class labels; {data.name} has real targets. Use least_squares")
    classes, data = data.classes, _flat(data, bias)
    model = Softmax(data.inputs.shape[1], classes)
    return finite_sum(model, data, partition, batch_size=batch_size, l2=l2, nonconvex=nonconvex, sampling=sampling)


def _flat(data: Dataset, bias: bool) -> Dataset:
    """The dataset with inputs as (N, features) matrices, a column of ones last where there is a bias."""
    if data.targets.ndim > 1:
        raise ValueError(
            f"a linear model has one target a sample, and those of {data.name} have shape {data.targets.shape[1:]}; "
            "flatten them with .reshape(-1), or take neural or from_loss with a loss of all of them"
        )
    bias = checks.flag("bias", bias)

    def flat(inputs: Any) -> Any:
        if sp.issparse(inputs):
            ones = sp.csr_array(np.ones((inputs.shape[0], int(bias)), inputs.dtype))
            return sp.csr_array(sp.hstack([inputs, ones]))
        inputs = np.asarray(inputs, np.result_type(inputs, np.float32)).reshape(len(inputs), -1)
        return np.hstack([inputs, np.ones((len(inputs), 1), inputs.dtype)]) if bias else inputs

    test_inputs = None if data.test_inputs is None else flat(data.test_inputs)
    return dataclasses.replace(data, inputs=flat(data.inputs), test_inputs=test_inputs)
