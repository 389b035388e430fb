"""What a paper is made of here: exhibits, which are sweeps with a figure, and the claims that they are to bear out.

A file of one's own with a `PAPER` is run by `jaxdec reproduce FILE` as the papers of jaxdec are::

    def sweeps(*, seeds, rounds):
        ring = {"problems": problems.quadratic(8, 3), "networks": networks.ring(8), "rounds": rounds, "seeds": seeds}
        return {"ring": ring | {"algorithms": {"K-GT": algorithms.KGT(lr=0.1, local_steps=5)}}}

    def figure(results):
        return plotting.panels(results, "distance")

    def worst(results):
        return float(results.distance.isel(round=-1).max())

    exact = Claim("K-GT reaches the minimizer", worst, most=1e-3, source="derived", where="its guarantee without noise",
                  why="a thousandth of the distance at the start")
    ring = Exhibit("ring", "K-GT on a ring", sweeps, figure, (exact,), default={"seeds": 5, "rounds": 400},
                   fast={"seeds": 1}, precision="float64")
    PAPER = Paper("mine", "Mine (2030), On rings", (ring,))
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np
import xarray as xr

from jaxdec import checks
from jaxdec.sweeps import Tuned

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["BUDGETS", "Budget", "Claim", "Exhibit", "Paper", "Source", "Style", "Verdict", "beside", "bounds_of"]

Budget: TypeAlias = Literal["fast", "default", "full"]
BUDGETS: tuple[Budget, ...] = get_args(Budget)

# With what right a number is expected: it stands on a page or in code that was read; it is remembered of a page that
# was not; it follows from a theorem or a calculation; an independent program found it; or it was seen here.
Source: TypeAlias = Literal["read", "recalled", "derived", "independent", "seen"]
Style: TypeAlias = Literal["as in the authors' code", "as in the paper", "in the style of"]


@dataclass(frozen=True)
class Claim:
    """A sentence, a number that decides on it, and the bounds between which the sentence holds."""

    name: str
    measure: Callable[[xr.Dataset], float]  # of what the exhibit's sweeps gave; nan is that it does not hold
    _: KW_ONLY
    least: float | None = None
    most: float | None = None
    source: Source
    where: str  # the page, the code, the calculation or the program
    why: str  # these bounds and no others
    must: bool = True  # whether a reproduction without it has failed
    budgets: Sequence[Budget] = BUDGETS  # with which it is claimed

    def __post_init__(self) -> None:
        checks.choice(f"source of the claim {self.name!r}", self.source, get_args(Source))
        if self.least is None and self.most is None:
            raise ValueError(f"the claim {self.name!r} has neither a least nor a most: nothing can decide on it")

    def judged(self, results: xr.Dataset) -> "Verdict":
        """What becomes of it."""
        return Verdict(self, float(self.measure(results)))

    @property
    def bounds(self) -> str:
        """In words."""
        return bounds_of(self.least, self.most)


def bounds_of(least: float | None, most: float | None) -> str:
    """Bounds in words.

    >>> bounds_of(4.5, None), bounds_of(4.5, 5.5)
    ('at least 4.5', '4.5 to 5.5')
    """
    if least is not None and most is not None:
        return f"{least:g} to {most:g}"
    return f"at least {least:g}" if least is not None else f"at most {most:g}"


@dataclass(frozen=True)
class Verdict:
    """What became of a claim."""

    claim: Claim
    measured: float

    @property
    def holds(self) -> bool:
        low = -np.inf if self.claim.least is None else self.claim.least
        high = np.inf if self.claim.most is None else self.claim.most
        return bool(low <= self.measured <= high)


@dataclass(frozen=True)
class Exhibit:
    """A figure or table of a paper.

    `sweeps(**arguments)` returns the arguments of `sweep` for each sweep, by name. `default` has its own arguments with
    the default budget; `fast` and `full` are what is otherwise with the other two. `tuned`, where there is one, returns
    the arguments of `tune`, and `sweeps` is given besides, as `tuned`, what was found: a `Tuned` for each name. Each of
    the two functions gets those of the arguments that it names. Where there are several sweeps, the results are laid
    side by side along the dimension `along`. Figure, claims and data are of what `view` makes of the results.
    """

    name: str
    title: str
    sweeps: Callable[..., Mapping[Any, Mapping[str, Any]]]
    figure: "Callable[[xr.Dataset], Figure]"
    claims: tuple[Claim, ...]
    _: KW_ONLY
    precision: Literal["float32", "float64"]
    style: Style = "in the style of"
    default: Mapping[str, Any] = field(default_factory=dict)
    fast: Mapping[str, Any] = field(default_factory=dict)
    full: Mapping[str, Any] = field(default_factory=dict)
    tuned: Callable[..., Mapping[Any, Mapping[str, Any]]] | None = None
    along: str = "algorithm"
    view: Callable[[xr.Dataset], xr.Dataset] = lambda results: results
    needs: tuple[str, ...] = ()  # files under JAXDEC_DATA, such as "libsvm/a9a"; "fast" needs none
    needs_in_full: tuple[str, ...] | None = None  # in place of these; None is the same
    stand_in: str = ""  # what "fast" takes in place of them
    assumed: str = ""  # what the paper does not say, and was chosen here
    warned: tuple[str, ...] = ()  # how warnings begin that are meant, of methods that are to fail
    minutes: Mapping[Budget, float] = field(default_factory=dict)  # of one core; what was measured
    budgets: Sequence[Budget] = BUDGETS  # with which it can be run

    def __post_init__(self) -> None:
        checks.choice(f"precision of the exhibit {self.name!r}", self.precision, ("float32", "float64"))
        checks.choice(f"style of the exhibit {self.name!r}", self.style, get_args(Style))
        if self.needs and not self.stand_in and "fast" in self.budgets:
            raise ValueError(
                f"the exhibit {self.name!r} needs data: say in stand_in what the fast budget takes instead"
            )

        known = _parameters(self.sweeps) | (_parameters(self.tuned) if self.tuned else {})
        needed = {name for name, default in known.items() if default is inspect.Parameter.empty} - {"tuned"}
        for budget in BUDGETS:
            given = {*self.arguments(budget)}
            if wrong := sorted(needed - given | given - {*known} | given & {"tuned"}):
                raise ValueError(
                    f"the exhibit {self.name!r} is made by functions of {', '.join(known)}; with the budget {budget!r} "
                    f"{', '.join(wrong)} has no value, or is none of them: see default, {budget}"
                )

    def data(self, budget: Budget) -> tuple[str, ...]:
        """The files that it reads."""
        in_full = self.needs if self.needs_in_full is None else self.needs_in_full
        return {"fast": (), "default": self.needs, "full": in_full}[budget]

    def arguments(self, budget: Budget) -> Mapping[str, Any]:
        """What `tuned` and `sweeps` are called with."""
        return {**self.default, **{"fast": self.fast, "default": {}, "full": self.full}[budget]}

    def searches(self, budget: Budget) -> Mapping[Any, Mapping[str, Any]]:
        """The arguments of `tune`."""
        return {} if self.tuned is None else _called(self.tuned, self.arguments(budget))

    def planned(self, budget: Budget, tuned: Mapping[Any, Tuned]) -> Mapping[Any, Mapping[str, Any]]:
        """The arguments of `sweep`, with what was found by `tune`."""
        return _called(self.sweeps, {**self.arguments(budget), "tuned": tuned})


def _parameters(function: Callable[..., Any]) -> dict[str, Any]:
    return {name: one.default for name, one in inspect.signature(function).parameters.items()}


def _called(function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    return function(**{name: arguments[name] for name in _parameters(function) if name in arguments})


@dataclass(frozen=True)
class Paper:
    """A paper and its exhibits."""

    name: str  # as on the command line
    reference: str
    exhibits: tuple[Exhibit, ...]

    def __post_init__(self) -> None:
        names = [exhibit.name for exhibit in self.exhibits]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{self.name} has two exhibits called {', '.join(twice)}")

    def chosen(self, names: Sequence[str]) -> tuple[Exhibit, ...]:
        """The exhibits of these names, or all."""
        known = {exhibit.name: exhibit for exhibit in self.exhibits}
        for name in names:
            checks.choice(f"an exhibit of {self.name}", name, tuple(known))
        return tuple(known[name] for name in names) if names else self.exhibits


def beside(results: Mapping[Any, xr.Dataset], along: str) -> xr.Dataset:
    """Sweeps side by side; where one has not what another has, nan is filled in.

    Args:
        results: by name, which is the coordinate where `along` is a dimension that none of them has.
        along: a dimension.

    >>> one = xr.Dataset({"loss": ("round", [1.0, 0.5])}, {"round": [0, 1]})
    >>> beside({0.1: one, 0.2: one.isel(round=[0])}, "zeta").loss.values
    array([[1. , 0.5],
           [1. , nan]])
    """
    found = list(results.values())
    if len(found) == 1 and along in found[0].dims:
        return found[0]
    index: Any = (
        along if all(along in one.dims for one in found) else xr.DataArray(list(results), dims=along, name=along)
    )
    options: dict[str, Any] = {"data_vars": "all", "coords": "different", "compat": "equals", "join": "outer"}
    # What some alone have as a coordinate, such as the seconds of events, cannot be filled in but as data.
    own = lambda one: {name for name in one.coords if name not in one.dims}
    some = set.union(*map(own, found)) - set.intersection(*map(own, found))
    found = [one.reset_coords([*some & own(one)]) for one in found]
    return xr.concat(found, index, combine_attrs="drop_conflicts", **options).set_coords(some)
