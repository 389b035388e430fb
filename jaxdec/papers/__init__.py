"""Papers: one module or package each, a `PAPER` with its exhibits: sweeps, a figure, and claims that are judged.

`jaxdec reproduce` runs them. Where a paper's own settings are not public, an exhibit is a reconstruction, and says so.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
