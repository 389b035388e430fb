"""Results: labelled arrays in, labelled arrays, tables and figures out; nothing here runs an experiment."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
