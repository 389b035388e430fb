"""Sweeps: many experiments as few programs, stored and resumed, and the search for the best step sizes."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
