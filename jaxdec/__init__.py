"""jaxdec: decentralized, federated and compressed optimization, simulated on one accelerator.

>>> from jaxdec import algorithms, networks, problems, run
>>> problem = problems.quadratic(n=16, d=10, zeta=1.0)
>>> result = run(algorithms.KGT(lr=0.05, local_steps=5), problem, networks.ring(16), rounds=500, every=50)
>>> result.to_xarray().distance.sizes
Frozen({'round': 11})
"""

from jaxdec import algorithms, compressors, data, graphs, metrics, networks, problems, results, scaling, theory, types
from jaxdec._module import module, static, step_size
from jaxdec.loop import Result, run
from jaxdec.nn import models
from jaxdec.results import plotting
from jaxdec.sweeps import load, sweep, tune

__version__ = "0.1.0"

__all__ = [
    "Result",
    "__version__",
    "algorithms",
    "compressors",
    "data",
    "graphs",
    "load",
    "metrics",
    "models",
    "module",
    "networks",
    "plotting",
    "problems",
    "results",
    "run",
    "scaling",
    "static",
    "step_size",
    "sweep",
    "theory",
    "tune",
    "types",
]
