from .axes import log_uniform, uniform
from .engine import sweep
from .mending import repair
from .store import load
from .tuning import Tuned, tune

__all__ = [
    "Tuned",
    "load",
    "log_uniform",
    "repair",
    "sweep",
    "tune",
    "uniform",
]
