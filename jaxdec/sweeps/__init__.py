"""Sweeps: many experiments as few programs, stored and resumed, and the search for the best step sizes."""

from jaxdec.sweeps.axes import log_uniform, uniform
from jaxdec.sweeps.engine import sweep
from jaxdec.sweeps.store import load
from jaxdec.sweeps.tuning import Tuned, tune

__all__ = ["Tuned", "load", "log_uniform", "sweep", "tune", "uniform"]
