"""Data on the host: where samples come from, and which node holds which.

Sets come from `sources`, `images`, `characters`, `svmlight` and `synthetic`; partitions from `partitions`,
`label_skew` and `clusters`; `contents` tells what a partition holds.

>>> from jaxdec import data
>>> digits = data.digits()
>>> partition = data.dirichlet(digits, n=10, alpha=0.5, seed=1)
>>> partition.n, partition.unused(len(digits.targets))
(10, 0)
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
