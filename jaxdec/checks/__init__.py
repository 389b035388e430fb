"""Bad input is refused here, before anything is traced: what was wrong, what was expected, what to do."""

from jaxdec.checks.lawful import DIRECTED, HINTS, Facts, algorithm, facts, fitting, laws, limit, single, violation
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
    speeds,
    start,
)
from jaxdec.checks.written import DEFAULTS, EXAMPLES, NEEDED, is_a, own, part, parts, sizes, unwrapped

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
    "fitting",
    "fraction",
    "free",
    "horizon",
    "integer",
    "is_a",
    "laws",
    "limit",
    "measured",
    "own",
    "part",
    "parts",
    "positive",
    "single",
    "sizes",
    "speeds",
    "start",
    "unwrapped",
    "violation",
]


def __dir__() -> list[str]:
    return __all__
