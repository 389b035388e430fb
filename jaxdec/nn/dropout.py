"""Dropout is found by what a network computes, and not by the name of an argument.

It is on in the gradients of minibatches and off elsewhere. A network that cannot be called so is refused: nothing is
trained without the dropout that it has, and nothing is evaluated with it.

A linen module says by an argument of `__call__` whether it is trained, with a default or without: `train`, `training`
or `is_training`, or by `deterministic` whether it is not. An nnx module has `train()` and `eval()`, and may have such
an argument as well. Flax is imported by whoever has a network.
"""

import dataclasses
import inspect
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
from jax.interpreters import partial_eval
from jaxtyping import PyTree

__all__ = ["SWITCHES", "DropoutError", "apply", "called", "init", "is_linen", "made", "random", "watched"]

SWITCHES = {"train": True, "training": True, "is_training": True, "deterministic": False}  # what each is in training

_NAMES = f"{', '.join(list(SWITCHES)[:-1])} or {list(SWITCHES)[-1]}"


class DropoutError(ValueError):
    """A network has dropout that cannot be on in training and off elsewhere."""


class Layer(NamedTuple):
    """A layer with dropout, as it was called."""

    path: str
    rate: float
    off: bool | None  # None where nothing says


def is_linen(network: Any) -> bool:
    """Whether this is a module of Flax's linen."""
    from flax import linen

    return isinstance(network, linen.Module)


def made(network: Any) -> None:
    """Refuse the class of a linen module, and an nnx module that is made already.

    Raises:
        TypeError: if it is one, or no network.
    """
    from flax import linen, nnx

    name = _name(network)
    if isinstance(network, type) and issubclass(network, linen.Module):
        raise TypeError(f"network is the class {name}, and a linen module is given made; write {name}(...)")
    if isinstance(network, nnx.Module):
        raise TypeError(
            f"network is an nnx module that is made, of class {name}, and each node makes its own; give the class, or "
            f"a function of nnx.Rngs that makes it: lambda rngs: {name}(..., rngs=rngs)"
        )
    if not isinstance(network, linen.Module) and not callable(network):
        raise TypeError(f"network is a linen module or a function of nnx.Rngs that makes an nnx module; got {name}")


def called(network: Any) -> None:
    """Refuse a network that needs other arguments than its inputs and switches."""
    from flax import nnx

    kind = type(network if is_linen(network) else nnx.eval_shape(lambda: network(nnx.Rngs(0))))
    _, _, *others = _parameters(kind).values() if len(_parameters(kind)) > 1 else (None, None)
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    for p in others:
        if p.default is p.empty and p.kind not in several and p.name not in SWITCHES:
            raise DropoutError(
                f"{kind.__name__} needs the argument {p.name!r}, and a network is called with its inputs; one that "
                f"turns dropout on or off is called {_NAMES}, and others have a default"
            )


def init(network: Any, key: Any, inputs: Any) -> PyTree:
    """The variables of a linen module, or the parameters of an nnx module."""
    if is_linen(network):
        return network.init(key, inputs, **_switches(type(network), False))
    from flax import nnx

    return nnx.to_pure_dict(nnx.state(network(nnx.Rngs(key)), nnx.Param))


def apply(network: Any, parameters: PyTree, inputs: Any, key: Any) -> Any:
    """The outputs; in training, with dropout, where there is a key."""
    if is_linen(network):
        switches = _switches(type(network), key is not None)
        # What asks for another stream than that of dropout gets one that is split from the parameters'.
        rngs = {} if key is None else {"dropout": key, "params": key}
        return network.apply(parameters, inputs, **switches, rngs=rngs)
    return _apply_nnx(network, parameters, inputs, jax.random.key(0) if key is None else key, key is not None)


def _apply_nnx(network: Any, parameters: PyTree, inputs: Any, key: Any, training: bool) -> Any:
    from flax import nnx

    # The values that it is made with are replaced at once, and so never computed.
    made = network(nnx.Rngs(key))
    made.train() if training else made.eval()
    state = nnx.state(made, nnx.Param)
    nnx.replace_by_pure_dict(state, parameters)
    nnx.update(made, state)
    return made(inputs, **_switches(type(made), training))


def random(network: Any, parameters: PyTree, inputs: Any) -> bool:
    """Whether a network has dropout: whether its outputs depend on the key in training.

    Args:
        network: a linen module, or what makes an nnx module.
        parameters: their shapes.
        inputs: their shape.

    Raises:
        ValueError: if it has dropout that is not on in training, or not off elsewhere.
    """
    return (_random_linen if is_linen(network) else _random_nnx)(network, parameters, inputs)


def _random_linen(network: Any, parameters: PyTree, inputs: Any) -> bool:
    from flax import errors

    name, seen, off = _name(network), [], partial(apply, network, key=None)
    try:
        with watched(seen):
            jax.eval_shape(off, parameters, inputs)
    except errors.InvalidRngError as error:
        raise DropoutError(
            f"{name} draws random numbers where it is evaluated{_of(seen)}: its dropout is not turned off; {_ADVICE}"
        ) from error
    if always := [layer for layer in seen if layer.off is False]:
        raise DropoutError(f"{name} has dropout that stays on where it is evaluated{_of(always)}; {_ADVICE}")
    seen.clear()
    with watched(seen):
        drawn = _trained(name, lambda key, *a: apply(network, *a, key=key), parameters, inputs)
    if never := [layer for layer in seen if layer.off]:
        raise DropoutError(f"{name} has dropout that stays off in training{_of(never)}; {_ADVICE}")
    if not drawn and (switch := next(_others(network, inputs), None)):
        raise DropoutError(
            f"{name} draws random numbers, as dropout does, where {switch}, which nothing sets; {_ADVICE}"
        )
    return drawn


_ADVICE = (
    f"what turns it on and off is an argument of __call__ called {_NAMES}, which is handed on to it. Give the network "
    "one, or leave the dropout out"
)


def _others(network: Any, inputs: Any) -> Iterator[str]:
    """Switches of other names with which the network draws random numbers."""
    from flax.errors import FlaxError

    def draws(network: Any, **switches: bool) -> bool:
        known = _switches(type(network), True) | switches
        make = lambda key, x: network.init_with_output({"params": jax.random.key(0), "dropout": key}, x, **known)[0]
        try:
            return _depends(make, inputs)
        except (TypeError, ValueError, ZeroDivisionError, FlaxError):  # not a network, with that switch
            return False

    for name, parameter in _parameters(type(network)).items():
        if (
            isinstance(parameter.default, bool)
            and name not in SWITCHES
            and draws(network, **{name: not parameter.default})
        ):
            yield f"its argument {name} is {not parameter.default}"
    for field in dataclasses.fields(network):
        value = vars(network).get(field.name)
        if isinstance(value, bool) and draws(network.clone(**{field.name: not value})):
            yield f"its field {field.name} is {not value}"


def _random_nnx(network: Any, parameters: PyTree, inputs: Any) -> bool:
    from flax import nnx

    module = nnx.eval_shape(lambda: network(nnx.Rngs(0)))
    name = type(module).__name__
    called = lambda training: lambda key, parameters, x: _apply_nnx(network, parameters, x, key, training)
    layers = [
        Layer("/".join(map(str, path)), part.rate, None)
        for path, part in nnx.iter_modules(module)
        if isinstance(part, nnx.Dropout) and part.rate > 0
    ]
    if _depends(called(False), parameters, inputs):
        raise DropoutError(
            f"{name} draws random numbers where it is evaluated{_of(layers)}, after eval(): its dropout is not turned "
            "off. What turns it on and off is `deterministic` of its layers, which train() and eval() set"
        )
    drawn = _trained(name, called(True), parameters, inputs)
    if layers and not drawn:
        raise DropoutError(
            f"{name} has dropout that stays off in training{_of(layers)}, after train(). What turns it on and off is "
            "`deterministic` of its layers, which train() and eval() set; leave it to them"
        )
    keeping = [part for _, part in nnx.iter_modules(module) if not type(part).__module__.startswith("flax.")]
    streams = (nnx.Rngs, nnx.RngStream)
    if not drawn and (unused := [part for part in keeping if any(isinstance(v, streams) for v in vars(part).values())]):
        raise DropoutError(
            f"{type(unused[0]).__name__} keeps a stream of random numbers, as for dropout, that training does not draw "
            "from after train(). Draw where `deterministic`, which train() and eval() set, is False, or do not keep it"
        )
    return drawn


def _of(layers: list[Layer]) -> str:
    told = ", ".join(dict.fromkeys(f"{layer.path or 'dropout'} of rate {layer.rate:g}" for layer in layers))
    return f" ({told})" if told else ""


def watched(seen: list[Layer]) -> Any:
    """A context in which the layers of linen with dropout are noted, as they are called."""
    from flax import linen

    def note(call: Callable, args: Any, kwargs: Any, context: Any) -> Any:
        layer = context.module
        attention = isinstance(layer, linen.MultiHeadDotProductAttention)
        rate = layer.rate if isinstance(layer, linen.Dropout) else layer.dropout_rate if attention else 0.0
        if context.method_name == "__call__" and rate > 0:
            bound = inspect.signature(type(layer).__call__).bind(layer, *args, **kwargs).arguments
            off = layer.deterministic if bound.get("deterministic") is None else bound["deterministic"]
            seen.append(Layer("/".join(layer.path), float(rate), None if off is None else bool(off)))
            if off is None:
                raise DropoutError(f"nothing says whether its dropout is on{_of(seen[-1:])}; {_ADVICE}")
        return call(*args, **kwargs)

    return linen.intercept_methods(note)


def _trained(name: str, f: Callable, *shapes: Any) -> bool:
    """Whether what f(key, ...), of training, returns depends on the key."""
    from flax.errors import FlaxError

    try:
        return _depends(f, *shapes)
    except DropoutError:
        raise
    except (TypeError, ValueError, AttributeError, FlaxError) as error:
        raise DropoutError(
            f"{name} can be called where it is evaluated, and not in training, with dropout on: "
            f"{str(error).splitlines()[0]}"
        ) from error


def _depends(f: Callable, *shapes: Any) -> bool:
    """Whether what f(key, ...) returns depends on the key."""
    traced = jax.make_jaxpr(lambda data, *a: f(jax.random.wrap_key_data(data), *a))
    jaxpr = traced(jax.eval_shape(jax.random.key_data, jax.random.key(0)), *shapes).jaxpr
    return partial_eval.dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars))[1][0]


def _parameters(kind: type) -> dict[str, inspect.Parameter]:
    """Those of `__call__`, of a class of modules."""
    return dict(inspect.signature(kind.__call__).parameters)


def _switches(kind: type, training: bool) -> dict[str, bool]:
    """The switches that a network is called with, whether it has a default for them or not."""
    names = _parameters(kind)
    return {name: on == training for name, on in SWITCHES.items() if name in names}


def _name(network: Any) -> str:
    return network.__name__ if isinstance(network, type) else type(network).__name__
