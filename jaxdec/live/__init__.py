"""Runs and sweeps while they go on: callbacks that write their records elsewhere, stop them, or show how far they are.

A callback is any function of a `Seen`, the records that are new. It is called on the host, between segments of rounds
that share one compiled program, so that it changes nothing of what is computed.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
