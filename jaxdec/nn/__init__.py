"""Neural networks: layers that are fast where every node has its own weights, and the models of the papers."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
