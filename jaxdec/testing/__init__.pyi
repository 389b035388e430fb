from .defaults import gradients, quadratic
from .expect import LawBroken, NotTested
from .rules import Law, Verdict, battery, conform, laws

__all__ = [
    "Law",
    "LawBroken",
    "NotTested",
    "Verdict",
    "battery",
    "conform",
    "gradients",
    "laws",
    "quadratic",
]
