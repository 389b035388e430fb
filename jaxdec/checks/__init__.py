"""Bad input is refused here, before anything is traced: what was wrong, what was expected, what to do."""

from jaxdec.checks.lawful import DIRECTED, HINTS, Facts, algorithm, facts, fitting, laws, limit, single, violation
from jaxdec.checks.memory import fits, installed, readable
from jaxdec.checks.values import (
    NUMBERS,
    TAKEN,
    checkpoints,
    choice,
    fraction,
    free,
    horizon,
    integer,
    measured,
    positive,
    start,
)
from jaxdec.checks.written import DEFAULTS, EXAMPLES, NEEDED, own, part, parts, sizes, unwrapped

__all__ = [
    "DEFAULTS",
    "DIRECTED",
    "EXAMPLES",
    "HINTS",
    "NEEDED",
    "NUMBERS",
    "TAKEN",
    "Facts",
    "algorithm",
    "checkpoints",
    "choice",
    "facts",
    "fits",
    "fitting",
    "fraction",
    "free",
    "horizon",
    "installed",
    "integer",
    "laws",
    "limit",
    "measured",
    "own",
    "part",
    "parts",
    "positive",
    "readable",
    "single",
    "sizes",
    "start",
    "unwrapped",
    "violation",
]


def __dir__() -> list[str]:
    return __all__
