from .axes import log_uniform, uniform
from .engine import sweep
from .store import load
from .tuning import Tuned, tune

__all__ = [
    "Tuned",
    "load",
    "log_uniform",
    "sweep",
    "tune",
    "uniform",
]
