from .defaults import gradients, quadratic
from .expect import LawBroken, NotTested
from .rules import Law, Verdict, battery, conform, laws
from .states import Trajectory, trajectory

__all__ = [
    "Law",
    "LawBroken",
    "NotTested",
    "Trajectory",
    "Verdict",
    "battery",
    "conform",
    "gradients",
    "laws",
    "quadratic",
    "trajectory",
]
