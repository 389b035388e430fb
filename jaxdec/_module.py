"""`@module`: a frozen dataclass that is a pytree. Fields are traced unless they are declared `static()`."""

import dataclasses
import inspect
import operator
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, dataclass_transform

import jax
import jax.numpy as jnp
import numpy as np
import wadler_lindig as wl

_T = TypeVar("_T")


def static(*, default: Any = dataclasses.MISSING, repr: bool = True) -> Any:
    """A field that is compiled in: two values of it are two programs. Its values are hashable."""
    return dataclasses.field(default=default, repr=repr, metadata={"static": True})


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

    It is shown with those fields that are not what they are by default, and arrays by their dtype and shape.

    >>> @module
    ... class Gossip:
    ...     consensus_lr: float
    ...     steps: int = static(default=1)
    >>> jax.tree.leaves(Gossip(0.5, steps=3))
    [0.5]
    >>> Gossip(0.5), Gossip(np.ones((8, 3)), steps=3)
    (Gossip(consensus_lr=0.5), Gossip(consensus_lr=f64[8,3], steps=3))
    """
    for name in inspect.get_annotations(cls):
        if name not in vars(cls) and isinstance(inspect.getattr_static(cls, name, None), _Derived):
            setattr(cls, name, dataclasses.field())  # what a base derives is not the field's default
    if "__repr__" not in vars(cls):
        cls.__repr__ = shown  # type: ignore[assignment]
    cls = dataclasses.dataclass(frozen=True, eq=False, repr=False)(cls)
    fields = dataclasses.fields(cls)  # type: ignore[arg-type]
    traced = [f.name for f in fields if not f.metadata.get("static")]
    compiled_in = [f.name for f in fields if f.metadata.get("static")]
    children, aux = _values(traced), _values(compiled_in)

    def flatten(obj):
        return children(obj), aux(obj)

    keys = [jax.tree_util.GetAttrKey(name) for name in traced]

    def flatten_with_keys(obj):
        return list(zip(keys, children(obj), strict=True)), aux(obj)

    def unflatten(aux, children):
        return cls(**dict(zip(traced, children, strict=True)), **dict(zip(compiled_in, aux, strict=True)))

    # Not register_dataclass: to it the structures of two classes with equal fields are equal (jax 0.10 to 0.12), and a
    # cache of compiled programs then now and then answers with the program of the wrong class.
    jax.tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)
    return cls


def _values(names: list[str]) -> Callable[[Any], tuple[Any, ...]]:
    """A function from an object to its attributes of these names, which a call of `run` asks for some thirty times."""
    if not names:
        return lambda obj: ()
    values = operator.attrgetter(*names)
    return values if len(names) > 1 else lambda obj: (values(obj),)


def step_sizes(obj: Any) -> Iterator[tuple[str, Any]]:
    """The names and values of the fields that are step sizes, of `obj` and, after a dot, of the parts it is made of."""
    for f in dataclasses.fields(obj):
        value = getattr(obj, f.name)
        if f.metadata.get("step_size"):
            yield f.name, value
        elif _is_part(value):
            yield from ((f"{f.name}.{inner}", lr) for inner, lr in step_sizes(value))


def at_round(obj: _T, t: Any, dtype: Any) -> _T:
    """`obj` with every schedule among its step sizes replaced by its value at round `t`, as a scalar of `dtype`."""
    values: dict[str, Any] = {}
    for f in dataclasses.fields(obj):  # type: ignore[arg-type]
        value = getattr(obj, f.name)
        if f.metadata.get("step_size"):
            now = jnp.asarray(value(t), dtype) if callable(value) else value
        else:
            now = at_round(value, t, dtype) if _is_part(value) else value
        if now is not value:
            values[f.name] = now
    return dataclasses.replace(obj, **values) if values else obj  # type: ignore[type-var]


def _is_part(value: Any) -> bool:
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


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

    A number stays on the host, where it costs a fiftieth: it goes to a device with the call of a program. A function,
    such as a schedule of optax, becomes a `Constant`: two of them are two programs.
    """
    dtype = jax.dtypes.canonicalize_dtype(dtype)

    def leaf(a):
        if isinstance(a, jax.Array) and a.dtype == dtype and not a.weak_type:  # which would be another program
            return a
        if callable(a):
            return Constant(a)
        if isinstance(a, int | float | np.number) and not isinstance(a, bool):
            with np.errstate(over="ignore"):
                return np.asarray(a, dtype)
        return jnp.asarray(a, dtype if jnp.issubdtype(jnp.result_type(a), jnp.floating) else None)

    return jax.tree.map(leaf, tree)


def seed_key(seed: int) -> Any:
    """The key of a seed, whose 64 bits all count, in any precision; those below 2^32 have the key that JAX gives them.

    >>> [jax.random.key_data(seed_key(seed)).tolist() for seed in (5, 2**32 + 5)]
    [[0, 5], [1, 5]]
    """
    if _threefry():
        return jax.random.wrap_key_data(seed_data(seed))  # pyrefly: ignore  # it takes arrays of NumPy too
    with jax.enable_x64(True):
        return jax.random.key(np.uint64(seed))


def seed_data(seed: int) -> np.ndarray:
    """The data of a seed's key, on the host.

    >>> seed_data(2**32 + 5).tolist()
    [1, 5]
    """
    if _threefry():
        return np.asarray([seed >> 32, seed & 0xFFFFFFFF], np.uint32)
    return np.asarray(jax.random.key_data(seed_key(seed)))


def _threefry() -> bool:
    return jax.config.jax_default_prng_impl == "threefry2x32"  # type: ignore[attr-defined]


class Keys(NamedTuple):
    """The five streams that a seed's key is split into."""

    x0: Any  # for problem.init
    data: Any  # for problem.sample, with the index of the gradient
    init: Any  # for algorithm.init
    rounds: Any  # for the network and the step, with the round
    network: Any  # for network.init

    @classmethod
    def of(cls, seed: int) -> "Keys":
        """Those of a seed."""
        return cls.split(seed_key(seed))

    @classmethod
    def split(cls, key: Any) -> "Keys":
        """Those of a seed's key."""
        return cls(*jax.random.split(key, 5))

    def of_round(self, t: Any) -> Any:
        """The network's key and the step's in round t."""
        return jax.random.split(jax.random.fold_in(self.rounds, t))


def shown(obj: Any) -> str:
    """An object in short: arrays by dtype and shape, functions by name, modules without what they are by default."""
    return wl.pformat(obj, width=120, custom=_short)


LONG = 6  # entries of a tuple that are shown


def _short(value: Any) -> wl.AbstractDoc | None:
    """How values are shown where the library shows more; None leaves a value to it."""
    show = lambda v: wl.pdoc(v, custom=_short)
    if isinstance(value, jax.Array | np.ndarray | np.generic | jax.ShapeDtypeStruct):
        told = not isinstance(value, jax.core.Tracer | jax.ShapeDtypeStruct)
        if value.ndim == 0 and told and value.dtype.kind in "biuf":
            return wl.TextDoc(f"{value.item():.6g}" if value.dtype.kind == "f" else str(value.item()))
        return wl.array_summary(value.shape, str(value.dtype), None)
    if isinstance(value, Constant):
        return show(value.value)
    if isinstance(value, frozenset):
        return wl.bracketed(wl.TextDoc("{"), [show(v) for v in sorted(value, key=str)], wl.comma, wl.TextDoc("}"), 2)
    if type(value) is tuple and len(value) > LONG:
        ends = [*map(show, value[: LONG - 1]), wl.TextDoc("..."), show(value[-1])]
        return wl.bracketed(wl.TextDoc("("), ends, wl.comma, wl.TextDoc(")"), 2)
    if inspect.isroutine(value):
        return wl.TextDoc(value.__qualname__.replace("<locals>.", ""))
    if dataclasses.is_dataclass(value) and type(value).__repr__ is shown:
        told = [(f.name, getattr(value, f.name)) for f in dataclasses.fields(value) if f.repr and not _usual(value, f)]
        name, docs = type(value).__name__, wl.named_objs(told, custom=_short)
        return wl.bracketed(wl.TextDoc(f"{name}("), docs, wl.comma, wl.TextDoc(")"), 2)
    return None


def _usual(obj: Any, field: dataclasses.Field[Any]) -> bool:
    """Whether a field is what it is by default, as far as that can be told without comparing arrays."""
    value, plain = getattr(obj, field.name), bool | int | float | str | tuple
    if isinstance(value, plain) and isinstance(field.default, plain):
        return repr(value) == repr(field.default) or (isinstance(value, int | float) and value == field.default)
    return value is field.default
