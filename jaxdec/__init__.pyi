from . import (
    algorithms,
    compressors,
    data,
    gradients,
    graphs,
    live,
    metrics,
    networks,
    nn,
    papers,
    problems,
    results,
    scaling,
    sweeps,
    testing,
    theory,
    types,
)
from ._module import module, static, step_size
from .loop import run
from .nn import models
from .results import plotting
from .results.result import Result
from .sweeps import load, sweep, tune

__version__: str

__all__ = [
    "Result",
    "algorithms",
    "compressors",
    "data",
    "gradients",
    "graphs",
    "live",
    "load",
    "metrics",
    "models",
    "module",
    "networks",
    "nn",
    "papers",
    "plotting",
    "problems",
    "results",
    "run",
    "scaling",
    "static",
    "step_size",
    "sweep",
    "sweeps",
    "testing",
    "theory",
    "tune",
    "types",
]
