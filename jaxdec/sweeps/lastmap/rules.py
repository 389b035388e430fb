"""How primitives compute with a trailing axis of cells: a rule for each family."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxdec.sweeps.lastmap.equation import Equation

__all__ = ["APIECE", "MATRICES", "in_front", "rule_of"]

Rule = Callable[[Equation], list[Any]]

ELEMENTWISE = frozenset(
    [
        "abs",
        "acos",
        "acosh",
        "add",
        "add_any",
        "and",
        "asin",
        "asinh",
        "atan",
        "atan2",
        "atanh",
        "bessel_i0e",
        "bessel_i1e",
        "bitcast_convert_type",
        "cbrt",
        "ceil",
        "clamp",
        "clz",
        "complex",
        "conj",
        "convert_element_type",
        "copy",
        "copy_p",
        "cos",
        "cosh",
        "digamma",
        "div",
        "eq",
        "eq_to",
        "erf",
        "erf_inv",
        "erfc",
        "exp",
        "exp2",
        "expm1",
        "floor",
        "ge",
        "gt",
        "igamma",
        "igamma_grad_a",
        "igammac",
        "imag",
        "integer_pow",
        "is_finite",
        "le",
        "le_to",
        "lgamma",
        "log",
        "log1p",
        "log2",
        "logistic",
        "lt",
        "lt_to",
        "max",
        "min",
        "mul",
        "mulhi",
        "ne",
        "neg",
        "nextafter",
        "not",
        "one_minus_square",
        "or",
        "polygamma",
        "population_count",
        "pow",
        "random_clone",
        "random_fold_in",
        "random_seed",
        "real",
        "reduce_precision",
        "regularized_incomplete_beta",
        "rem",
        "round",
        "rsqrt",
        "select_n",
        "shift_left",
        "shift_right_arithmetic",
        "shift_right_logical",
        "sign",
        "sin",
        "sinh",
        "sqrt",
        "square",
        "stop_gradient",
        "sub",
        "tan",
        "tanh",
        "threefry2x32",
        "xor",
        "zeta",
    ]
)
# Operands that must have the shape of the result; a shared number may stay one elsewhere.
WHOLE = {"clamp": lambda k: k == 1, "random_fold_in": lambda k: True, "select_n": lambda k: k > 0,
         "threefry2x32": lambda k: True}  # fmt: skip

# Their axes are counted from the front and are those of one cell.
ALONG = frozenset(
    [
        "argmax",
        "argmin",
        "concatenate",
        "cumlogsumexp",
        "cummax",
        "cummin",
        "cumprod",
        "cumsum",
        "reduce_and",
        "reduce_max",
        "reduce_min",
        "reduce_or",
        "reduce_prod",
        "reduce_xor",
        "rev",
        "sort",
        "split",
        "squeeze",
        "stack",
        "top_k",
        "unstack",
    ]
)

# Of stacks of matrices, which LAPACK takes one by one: the cells come in front, as by `jax.vmap`.
MATRICES = frozenset(
    [
        "cholesky",
        "eig",
        "eigh",
        "householder_product",
        "lu",
        "lu_pivots_to_permutation",
        "qr",
        "svd",
        "triangular_solve",
        "tridiagonal_solve",
    ]
)

# Every result is of the operand in its place, and as mapped as that.
APIECE = frozenset({"device_put", "optimization_barrier"})


def rule_of(name: str) -> Rule | None:
    """The rule for a primitive, None where there is none."""
    if name in ELEMENTWISE:
        return _elementwise
    if name in ALONG:
        return _along
    if name in MATRICES:
        return in_front
    return _apiece if name in APIECE else RULES.get(name)


def in_front(e: Equation) -> list[Any]:
    """By `jax.vmap` of the primitive, over a leading axis: what holds of every primitive."""
    front = [jnp.moveaxis(v, -1, 0) if mapped else v for v, mapped in zip(e.values, e.mapped, strict=True)]
    axes = [0 if mapped else None for mapped in e.mapped]
    return [jnp.moveaxis(a, 0, -1) for a in jax.vmap(e.bind, in_axes=axes)(*front)]


def _elementwise(e: Equation) -> list[Any]:
    whole = WHOLE.get(e.name, lambda k: False)
    number = lambda k: not e.mapped[k] and e.ndim(k) == 0 and not whole(k)  # primitives take it with any shape
    return e.bind(*(v if number(k) else e.full(k) for k, v in enumerate(e.values)))


def _apiece(e: Equation) -> list[Any]:
    return e.bind(*e.values)


def _along(e: Equation) -> list[Any]:
    return e.bind(*map(e.wide, range(len(e.values))))


# The structure of arrays.


def _broadcast_in_dim(e: Equation) -> list[Any]:
    dimensions = *e.params["broadcast_dimensions"], len(e.shape)
    return e.bind(*e.values, shape=(*e.shape, e.size), broadcast_dimensions=dimensions)


def _reshape(e: Equation) -> list[Any]:
    return e.bind(*e.values, new_sizes=(*e.shape, e.size))


def _transpose(e: Equation) -> list[Any]:
    return e.bind(*e.values, permutation=(*e.params["permutation"], len(e.shape)))


def _tile(e: Equation) -> list[Any]:
    return e.bind(*e.values, reps=(*e.params["reps"], 1))


def _slice(e: Equation) -> list[Any]:
    p = e.params
    strides = None if p["strides"] is None else (*p["strides"], 1)
    start, limit = (*p["start_indices"], 0), (*p["limit_indices"], e.size)
    return e.bind(*e.values, start_indices=start, limit_indices=limit, strides=strides)


def _pad(e: Equation) -> list[Any]:
    value = e.values[1]
    config = *e.params["padding_config"], (0, 0, 0)
    if not e.mapped[1]:
        return e.bind(e.wide(0), value, padding_config=config)
    inside = lax.pad(jnp.ones(np.shape(e.wide(0)), bool), False, config)
    blank = jnp.zeros((), value.dtype)
    (padded,) = e.bind(e.wide(0), blank, padding_config=config)
    return [lax.select(inside, padded, e.full(1))]


def _reduce_window(e: Equation) -> list[Any]:
    one = {"window_dimensions": 1, "window_strides": 1, "base_dilation": 1, "window_dilation": 1, "padding": (0, 0)}
    return e.bind(*e.values, **{name: (*e.params[name], last) for name, last in one.items()})


def _reduce_sum(e: Equation) -> list[Any]:
    """Over the first axis row after row: XLA's own loop goes through memory entry by entry, up to 150 times as long."""
    (a,) = e.values
    if tuple(e.params["axes"]) != (0,) or not e.shape or not a.shape[0]:
        return e.bind(a)
    return [lax.fori_loop(1, a.shape[0], lambda i, total: total + lax.dynamic_index_in_dim(a, i, keepdims=False), a[0])]


# Places known by their indices.


def _dynamic_slice(e: Equation) -> list[Any]:
    operand, *starts = e.values
    sizes = e.params["slice_sizes"]
    if any(e.mapped[1:]):
        axes = tuple(range(len(sizes)))
        numbers = lax.GatherDimensionNumbers(offset_dims=axes, collapsed_slice_dims=(), start_index_map=axes)
        return [_gathered(e, operand, _stacked(e, 1), numbers, sizes, lax.GatherScatterMode.CLIP)]
    if not starts:
        return [operand]
    return e.bind(*e.values, jnp.zeros_like(starts[0]), slice_sizes=(*sizes, e.size))


def _dynamic_update_slice(e: Equation) -> list[Any]:
    operand, update, *starts = e.wide(0), e.wide(1), *e.values[2:]
    if any(e.mapped[2:]):
        axes = tuple(range(e.ndim(0)))
        numbers = lax.ScatterDimensionNumbers(
            update_window_dims=axes, inserted_window_dims=(), scatter_dims_to_operand_dims=axes
        )
        numbers, indices = _batched_scatter(numbers, operand.ndim, _stacked(e, 2))
        return [lax.scatter(operand, indices, update, numbers, mode=lax.GatherScatterMode.CLIP)]
    if not starts:
        return [update]
    return e.bind(operand, update, *starts, jnp.zeros_like(starts[0]))


def _stacked(e: Equation, first: int) -> Any:
    """Indices along all axes, (axes, cells), from the operands after the first so many, one for each axis."""
    return jnp.stack([e.wide(k) for k in range(first, len(e.values))])


def _gather(e: Equation) -> list[Any]:
    operand, indices = e.values
    p, numbers = e.params, e.params["dimension_numbers"]
    if e.mapped[1]:
        sizes, mode, fill = p["slice_sizes"], p["mode"], p["fill_value"]
        return [_gathered(e, operand, indices, numbers, sizes, mode, fill)]
    numbers = _with(numbers, "offset_dims", len(e.shape))
    return e.bind(operand, indices, dimension_numbers=numbers, slice_sizes=(*p["slice_sizes"], e.size))


def _gathered(e: Equation, operand, indices, numbers, sizes, mode, fill=None) -> Any:
    """At mapped indices: their cells are the last batch dimension, and so the last of the result."""
    indices = jnp.moveaxis(indices, -1, -2)
    if e.mapped[0]:
        numbers = _with(numbers, "operand_batching_dims", operand.ndim - 1)
        numbers = _with(numbers, "start_indices_batching_dims", indices.ndim - 2)
        sizes = *sizes, 1
    return lax.gather(operand, indices, numbers, sizes, mode=mode, fill_value=fill)


def _scatter(e: Equation) -> list[Any]:
    operand, indices, updates = e.wide(0), e.values[1], e.wide(2)
    numbers = e.params["dimension_numbers"]
    if not e.mapped[1]:
        numbers = _with(numbers, "update_window_dims", updates.ndim - 1)
        return e.bind(operand, indices, updates, dimension_numbers=numbers)
    numbers, indices = _batched_scatter(numbers, operand.ndim, indices)
    return e.bind(operand, indices, updates, dimension_numbers=numbers, indices_are_sorted=False)


def _batched_scatter(numbers, ndim: int, indices) -> tuple[Any, Any]:
    """The numbers and the indices of a scatter whose operand, indices and updates have the cells last."""
    indices = jnp.moveaxis(indices, -1, -2)
    numbers = _with(numbers, "operand_batching_dims", ndim - 1)
    return _with(numbers, "scatter_indices_batching_dims", indices.ndim - 2), indices


def _with(numbers, field: str, dimension: int):
    """Dimension numbers with one more in a field."""
    return numbers._replace(**{field: (*numbers._asdict()[field], dimension)})


# Products.


def _dot_general(e: Equation) -> list[Any]:
    (contract_left, contract_right), (batch_left, batch_right) = e.params["dimension_numbers"]
    left, right = e.values
    nl, nr = e.ndim(0), e.ndim(1)
    free_left = nl - len(contract_left) - len(batch_left)
    free_right = nr - len(contract_right) - len(batch_right)
    b = len(batch_left)
    if not e.mapped[0]:
        return e.bind(left, right)
    if not e.mapped[1]:  # the operands change places, so that the cells come last
        numbers = (contract_right, contract_left), (batch_right, batch_left)
        precision = e.params["precision"]
        precision = precision[::-1] if isinstance(precision, tuple) else precision
        (out,) = e.bind(right, left, dimension_numbers=numbers, precision=precision)
        return [jnp.moveaxis(out, range(b, b + free_right), range(b + free_left, b + free_left + free_right))]
    if free_left and free_right:
        numbers = (contract_left, contract_right), ((*batch_left, nl), (*batch_right, nr))
        (out,) = e.bind(left, right, dimension_numbers=numbers)
        return [jnp.moveaxis(out, b, -1)]
    dtype = e.params["preferred_element_type"] or e.eqn.outvars[0].aval.dtype

    def laid(a, batch, contract, free):
        """Batch dimensions, those to be summed over, free ones of either operand, cells."""
        order = *batch, *contract, *(k for k in range(a.ndim - 1) if k not in (*batch, *contract)), a.ndim - 1
        a, more = lax.transpose(a, order).astype(dtype), free_left + free_right - free
        return lax.expand_dims(a, range(a.ndim - 1, a.ndim - 1 + more))

    both = laid(left, batch_left, contract_left, free_left) * laid(right, batch_right, contract_right, free_right)
    return [jnp.sum(both, axis=tuple(range(b, b + len(contract_left))), dtype=dtype)]


# Keys: what is drawn with them comes behind the cells.


def _drawn(e: Equation) -> list[Any]:
    (keys,) = e.values
    return [jnp.moveaxis(out, e.ndim(0), -1) for out in e.bind(keys)]


def _random_wrap(e: Equation) -> list[Any]:
    return e.bind(jnp.moveaxis(e.values[0], -1, e.ndim(0) - 1))


RULES: dict[str, Rule] = {
    "broadcast_in_dim": _broadcast_in_dim,
    "dot_general": _dot_general,
    "dynamic_slice": _dynamic_slice,
    "dynamic_update_slice": _dynamic_update_slice,
    "gather": _gather,
    "pad": _pad,
    "random_bits": _drawn,
    "random_split": _drawn,
    "random_unwrap": _drawn,
    "random_wrap": _random_wrap,
    "reduce_window_max": _reduce_window,
    "reduce_window_min": _reduce_window,
    "reduce_window_sum": _reduce_window,
    "reduce_sum": _reduce_sum,
    "reshape": _reshape,
    **dict.fromkeys(("scatter", "scatter-add", "scatter-max", "scatter-min", "scatter-mul", "scatter-sub"), _scatter),
    "slice": _slice,
    "tile": _tile,
    "transpose": _transpose,
}
