"""Algorithms: frozen dataclasses of hyperparameters with a pure `init` and `step`, one paper's methods per file.

`table()` has a row for each, and `find(...)` those of which something is true.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ = [name for name in __all__ if name not in ("find", "table")]  # of methods alone
