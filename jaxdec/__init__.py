"""jaxdec: decentralized, federated and compressed optimization, simulated on one accelerator.

>>> from jaxdec import algorithms, networks, problems, run
>>> problem = problems.quadratic(n=16, d=10, zeta=1.0)
>>> result = run(algorithms.KGT(lr=0.05, local_steps=5), problem, networks.ring(16), rounds=500, every=50)
>>> result.to_xarray().distance.sizes
Frozen({'round': 11})
"""

import lazy_loader

__version__ = "0.1.0"

# Each name is imported when it is first used: what there is, and where, stands in the stub beside this file.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
