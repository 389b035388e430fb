"""Algorithms: frozen dataclasses of hyperparameters with a pure `init` and `step`, one paper's methods per file.

`algorithms.table()` has a row for each, and `algorithms.find(...)` those of which something is true.
"""

import lazy_loader

__getattr__, _, _everything = lazy_loader.attach_stub(__name__, __file__)
__all__ = [name for name in _everything if name not in ("find", "table")]  # of methods alone


def __dir__() -> list[str]:
    return __all__
