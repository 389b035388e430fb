"""Papers: one module each, with its experiments, its figure and its claims.

`experiment` functions return what `sweep` returns, `figure` draws it, and the tests check the claims. Where a paper's
own settings are not public, the experiment is a reconstruction, and its module says so.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
