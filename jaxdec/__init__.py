"""jaxdec: decentralized, federated and compressed optimization, simulated on one accelerator.

>>> from jaxdec import algorithms, networks, problems, run
>>> problem = problems.quadratic(n=16, d=10, zeta=1.0)
>>> result = run(algorithms.KGT(lr=0.05, local_steps=5), problem, networks.ring(16), rounds=500, every=50)
>>> result.to_xarray().distance.sizes
Frozen({'round': 11})
"""

from jaxdec import algorithms, compressors, data, graphs, metrics, mixing, networks, problems, theory, types
from jaxdec._module import module, static, step_size
from jaxdec.run import Result, run
from jaxdec.sweep import sweep

__version__ = "0.1.0"

__all__ = [
    "Result",
    "__version__",
    "algorithms",
    "compressors",
    "data",
    "graphs",
    "metrics",
    "mixing",
    "module",
    "networks",
    "problems",
    "run",
    "static",
    "step_size",
    "sweep",
    "theory",
    "types",
]
