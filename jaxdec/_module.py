"""`@module`: a frozen dataclass that is a pytree. Fields are traced unless they are declared `static()`."""

import dataclasses
import inspect
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeVar, dataclass_transform

import jax
import jax.numpy as jnp
import numpy as np

_T = TypeVar("_T")


def static(*, default: Any = dataclasses.MISSING) -> Any:
    """A field that is compiled in: two values of it are two programs. Its values are hashable."""
    return dataclasses.field(default=default, metadata={"static": True})


def step_size(*, default: Any = dataclasses.MISSING) -> Any:
    """A traced field that is a positive number or a schedule: a function of the round t, a `Partial` to be swept."""
    return dataclasses.field(default=default, metadata={"step_size": True})


class _Derived:
    def __init__(self, compute):
        self.compute, self.__doc__ = compute, compute.__doc__

    def __get__(self, obj, kind=None):
        return self if obj is None else self.compute(obj)


if TYPE_CHECKING:
    derived = property
else:

    def derived(compute):
        """A property of a base that a field of a class which inherits from it may replace: a `property` may not be set.

        >>> class Base:
        ...     @derived
        ...     def d(self):
        ...         return 1
        >>> @module
        ... class Inherits(Base):
        ...     d: int = static()
        >>> Base().d, Inherits(5).d
        (1, 5)
        """
        return _Derived(compute)


@dataclass_transform(frozen_default=True, eq_default=False, field_specifiers=(static, step_size, dataclasses.field))
def module(cls: type[_T]) -> type[_T]:
    """Make `cls` a frozen dataclass and a pytree.

    >>> @module
    ... class Gossip:
    ...     consensus_lr: float
    ...     steps: int = static(default=1)
    >>> jax.tree.leaves(Gossip(0.5, steps=3))
    [0.5]
    """
    for name in inspect.get_annotations(cls):
        if name not in vars(cls) and isinstance(inspect.getattr_static(cls, name, None), _Derived):
            setattr(cls, name, dataclasses.field())  # what a base derives is not the field's default
    cls = dataclasses.dataclass(frozen=True, eq=False)(cls)
    fields = dataclasses.fields(cls)  # type: ignore[arg-type]
    traced = [f.name for f in fields if not f.metadata.get("static")]
    compiled_in = [f.name for f in fields if f.metadata.get("static")]

    def flatten(obj):
        return [getattr(obj, name) for name in traced], tuple(getattr(obj, name) for name in compiled_in)

    def flatten_with_keys(obj):
        children, aux = flatten(obj)
        return list(zip(map(jax.tree_util.GetAttrKey, traced), children, strict=True)), aux

    def unflatten(aux, children):
        return cls(**dict(zip(traced, children, strict=True)), **dict(zip(compiled_in, aux, strict=True)))

    # Not register_dataclass: to it the structures of two classes with equal fields are equal (jax 0.10 to 0.12), and a
    # cache of compiled programs then now and then answers with the program of the wrong class.
    jax.tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)
    return cls


def step_sizes(obj: Any) -> Iterator[tuple[str, Any]]:
    """The names and values of the fields of `obj` that are step sizes."""
    return ((f.name, getattr(obj, f.name)) for f in dataclasses.fields(obj) if f.metadata.get("step_size"))


def at_round(obj: _T, t: Any, dtype: Any) -> _T:
    """`obj` with every schedule among its step sizes replaced by its value at round `t`, as a scalar of `dtype`."""
    values = {name: jnp.asarray(lr(t), dtype) for name, lr in step_sizes(obj) if callable(lr)}
    return dataclasses.replace(obj, **values) if values else obj  # type: ignore[type-var]


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True)
class Constant:
    """A value that is compiled in where a leaf would be: a Python number of a round, or a schedule that is a function.

    >>> jax.tree.leaves(Constant(0.5))
    []
    """

    value: Any

    def __call__(self, *arguments: Any) -> Any:
        return self.value(*arguments)


def cast(tree: _T, dtype: Any) -> _T:
    """Every number and floating-point array as an array of `dtype`, so that 0.1, float32(0.1) and 1 compile once.

    A function, such as a schedule of optax, becomes a `Constant`: two of them are two programs.
    """

    def leaf(a):
        if callable(a):
            return Constant(a)
        number = isinstance(a, int | float | np.number) and not isinstance(a, bool)
        return jnp.asarray(a, dtype if number or jnp.issubdtype(jnp.result_type(a), jnp.floating) else None)

    return jax.tree.map(leaf, tree)
