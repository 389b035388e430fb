"""The laws that every algorithm obeys, for a method of your own: as a table, and as tests.

`conform(Mine(lr=0.1))` prints what was found; `TestMine = battery(Mine(lr=0.1))` in a test file is one test for each
law, and `laws(Mine(lr=0.1))` is the list of them. What you know of your method is tested too: that it is exact, what
sums to zero, what it conserves, and the same method as a plain loop over nodes.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
