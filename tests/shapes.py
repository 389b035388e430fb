"""What the import hook of conftest.py checks at run time: annotations that say a dtype and a shape, and no others.

Other types are pyrefly's, and at the boundary our own errors say more. Fields are left out, too: those of a pytree hold
whatever a transformation puts there.
"""

import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any, get_args

from beartype import beartype
from jaxtyping import AbstractArray


def has_shape(annotation: Any) -> bool:
    """Whether an annotation is an array's, or a union, a tuple and so on of such."""
    if inspect.isclass(annotation) and issubclass(annotation, AbstractArray):
        return True
    return any(has_shape(part) for part in get_args(annotation))


def checked(function: FunctionType) -> Callable[..., Any]:
    """The function, which raises where an array that it is given or returns is not what its annotation says."""
    shapes = {name: a for name, a in function.__annotations__.items() if has_shape(a)}
    if not shapes or function.__name__ == "__init__":
        return function
    copy = FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    copy.__kwdefaults__, copy.__annotations__, copy.__qualname__ = (
        function.__kwdefaults__,
        shapes,
        function.__qualname__,
    )
    copy.__module__, copy.__doc__ = function.__module__, function.__doc__
    return beartype(copy)
