"""The battery: which laws apply to a method, as a list, as a printed table and as tests."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jaxdec.testing import facts, nodes, programs
from jaxdec.testing.defaults import default_network, quadratic, starts
from jaxdec.testing.expect import LawBroken, NotTested
from jaxdec.testing.subject import CONVERGED, SHORT, Subject

__all__ = ["RULES", "Law", "Rule", "Verdict", "battery", "conform", "laws"]


class Rule(NamedTuple):
    """A law, as it is listed."""

    name: str
    check: Callable[[Subject], str]
    applies: Callable[[Subject], bool] = lambda s: True


def _may_be_absent(s: Subject) -> bool:
    if s.facts.absent == "own":
        return "reliable" not in s.network.provides
    return not s.is_server and not s.facts.requires & {"fixed", "reliable"}


def _has_rounds(s: Subject) -> bool:
    return not s.is_server and not s.is_asynchronous


def _has_numbers(s: Subject) -> bool:
    return bool(programs.numbers_of(s.algorithm))


RULES = (
    Rule("a step keeps structure, shapes and dtypes", programs.step_keeps_shapes),
    Rule("init takes no step", programs.init_takes_no_step),
    Rule("a run is its steps one after the other", programs.a_run_is_its_steps),
    Rule("a cell of a sweep is its single run", programs.a_sweep_is_its_runs),
    Rule("another number reuses the program", programs.another_number_reuses_the_program, _has_numbers),
    Rule("a seed repeats itself, another differs", programs.a_seed_repeats_itself),
    Rule("minibatches are those of the seed", programs.minibatches_are_those_of_the_seed),
    Rule("no key is used twice", programs.no_key_is_used_twice),
    Rule("lowers for every platform", programs.lowers_for_every_platform),
    Rule("reported cost is the counted cost", nodes.reported_cost_is_the_counted_cost),
    Rule("messages are as many as hops", nodes.messages_are_as_many_as_hops, _has_rounds),
    Rule("relabelling nodes permutes the trajectory", nodes.relabelling_permutes),
    Rule("nodes hear through W alone", nodes.nodes_hear_through_W_alone, lambda s: not s.is_server),
    Rule("absent nodes keep their rows", nodes.absent_nodes_keep_their_rows, _may_be_absent),
    Rule("a node alone runs", nodes.alone_a_node_runs),
    Rule("it equals its reference", facts.equals_its_reference, lambda s: s.reference is not None),
    Rule("it reaches the minimizer", facts.reaches_the_minimizer, lambda s: s.exact is True),
    Rule("it stalls away from it", facts.stalls_away_from_the_minimizer, lambda s: s.exact is False),
    Rule("corrections sum to zero", facts.what_is_to_sum_to_zero_does, lambda s: s.zero_sum is not None),
    Rule("what is conserved is", facts.what_is_conserved_is, lambda s: s.conserved is not None),
)


@dataclasses.dataclass(frozen=True, eq=False)
class Law:
    """A law about one method. Calling it tests it.

    Returns:
        What was seen.

    Raises:
        LawBroken: what was expected, what was seen, and where to look.
        NotTested: if it cannot be tested on this method, and why. pytest takes it for a skipped test.
    """

    rule: Rule
    subject: Subject

    @property
    def name(self) -> str:
        return self.rule.name

    def __str__(self) -> str:
        return self.name

    def __call__(self) -> str:
        with jax.enable_x64(True):
            if self.rule is not RULES[0]:
                try:
                    RULES[0].check(self.subject)
                except LawBroken as broken:
                    raise NotTested(f"first comes another law: {RULES[0].name}") from broken
            return self.rule.check(self.subject)


class Verdict(NamedTuple):
    """What was found of a law."""

    law: str
    holds: bool | None  # None: not tested
    seen: str


def laws(
    algorithm: Any,
    problem: Any = None,
    network: Any = None,
    *,
    exact: bool | None = None,
    zero_sum: str | None = None,
    conserved: str | Callable[[Any], Any] | None = None,
    reference: Callable[..., Any] | None = None,
    x0: Any = None,
    rounds: int | None = None,
    seed: int = 7,
) -> list[Law]:
    """The laws that apply to a method, each a function without arguments whose `str` is its name.

    With pytest, one test for each of them::

        @pytest.mark.parametrize("law", testing.laws(Mine(lr=0.1), exact=True), ids=str)
        def test_mine(law):
            law()

    Args:
        algorithm: your method, at a step size with which it is stable on the problem.
        problem: what it is tested on; None takes `testing.quadratic()`, six nodes that agree on nothing, with noise.
        network: None takes one with the laws that the method requires, and half of the clients of a server in each
            round if the method says what becomes of the others.
        exact: whether the minimizer of nodes that differ is a fixed point, which it reaches with exact gradients (the
            noise of a `Quadratic` is switched off); None does not ask.
        zero_sum: a field of the state whose sum over nodes stays zero, such as the correction of a tracker.
        conserved: a field of the state whose sum over nodes stays what it was, or a function of the state that does.
        reference: (W, grad, x0, rounds) to the trajectory of x, (rounds + 1, n, d): the method again, as a plain loop
            over nodes. W is a matrix, or a pair of them, and grad(i, x, k) is node i's stochastic gradient number k.
        x0: the start, (n, d); None takes a different point for each node.
        rounds: of the longest run; None takes 3000 where `exact` is given, else 20.
        seed: of the runs.

    Raises:
        ValueError: if the parts do not fit together.

    >>> from jaxdec import algorithms
    >>> [str(law) for law in laws(algorithms.DSGD(lr=0.1))][:3]
    ['a step keeps structure, shapes and dtypes', 'init takes no step', 'a run is its steps one after the other']
    """
    with jax.enable_x64(True):
        problem = quadratic() if problem is None else problem
        network = default_network(algorithm, problem.n) if network is None else network
        x0 = starts(problem) if x0 is None else x0
        rounds = max(SHORT, rounds or (SHORT if exact is None else CONVERGED))
        s = Subject(algorithm, problem, network, x0, rounds, seed, exact, zero_sum, conserved, reference)
        s.prepared()
        return [Law(rule, s) for rule in RULES if rule.applies(s)]


def conform(
    algorithm: Any, problem: Any = None, network: Any = None, *, check: bool = True, **known: Any
) -> list[Verdict]:
    """Test a method by the laws that every algorithm obeys, and print a table of what was seen.

    It takes some seconds, and works in float64 whatever the session's precision is.

    Args:
        algorithm: your method, at a step size with which it is stable on the problem.
        problem: see `laws`.
        network: see `laws`.
        check: whether a broken law is an error.
        **known: facts of the method and further arguments of `laws`, such as exact=True and zero_sum="c".

    Returns:
        A verdict for each law.

    Raises:
        LawBroken: if a law is broken, with what was expected, what was seen and where to look.

    The method of the README, written with the gradient of the same round:

    >>> from typing import ClassVar, NamedTuple
    >>> import jax.numpy as jnp
    >>> from jaxdec import module, step_size
    >>> from jaxdec.types import Cost, Iterates, StepSize
    >>> class State(NamedTuple):
    ...     x: Iterates
    ...     c: Iterates
    >>> @module
    ... class Tracking:
    ...     requires: ClassVar[str] = "doubly stochastic"
    ...     lr: StepSize = step_size()
    ...
    ...     def init(self, problem, x0, r):
    ...         return State(x0, jnp.zeros_like(x0)), Cost()
    ...
    ...     def step(self, problem, s, r):
    ...         g = problem.grad(s.x, r.draw(problem))
    ...         y = g + s.c
    ...         return State(r.W @ (s.x - self.lr * y), r.W @ y - g), Cost(grads=problem.batch_size, vectors=2)
    >>> found = conform(Tracking(lr=0.2), exact=True, zero_sum="c")
    Tracking...
    >>> all(verdict.holds for verdict in found)
    True
    """
    verdicts, broken = [], []
    for law in laws(algorithm, problem, network, **known):
        holds, seen, error = _tried(law)
        verdicts.append(Verdict(law.name, holds, seen))
        if error is not None:
            broken.append(error)
    _table(type(algorithm).__name__, verdicts)
    if broken and check:
        said = "\n".join(f"{v.law}: {v.seen}" for v in verdicts if v.holds is False)
        raise LawBroken(
            f"{type(algorithm).__name__} breaks {len(broken)} of {len(verdicts)} laws:\n{said}"
        ) from broken[0]
    return verdicts


def _tried(law: Law) -> tuple[bool | None, str, Exception | None]:
    """The verdict on a law. Whatever the method raises is one too, and the other laws are tested all the same."""
    try:
        return True, law(), None
    except NotTested as reason:
        return None, str(reason), None
    except LawBroken as broken:
        return False, str(broken), broken
    except Exception as error:
        first, *_ = [*str(error).splitlines(), ""]
        return False, f"{type(error).__name__}: {first}", error


def _table(title: str, verdicts: list[Verdict]) -> None:
    table = Table("law", "verdict", "what was seen", title=Text(title), title_justify="left")
    words = {True: "holds", False: "[bold red]broken[/]", None: "not tested"}
    for verdict in verdicts:
        table.add_row(Text(verdict.law), words[verdict.holds], Text(verdict.seen))
    Console(width=80, highlight=False).print(table)


def battery(algorithm: Any, problem: Any = None, network: Any = None, **known: Any) -> type:
    """A class with one test for each law: a line of a test file that pytest collects.

    ::

        TestMine = testing.battery(Mine(lr=0.1), exact=True)

    Args:
        algorithm: see `laws`.
        problem: see `laws`.
        network: see `laws`.
        **known: see `laws`.

    >>> from jaxdec import algorithms
    >>> sorted(name for name in vars(battery(algorithms.DSGD(lr=0.1))) if name.startswith("test_"))[:2]
    ['test_a_cell_of_a_sweep_is_its_single_run', 'test_a_node_alone_runs']
    """
    tests = {_identifier(law.name): _test(law) for law in laws(algorithm, problem, network, **known)}
    return type(f"Test{type(algorithm).__name__}", (), tests)


def _identifier(name: str) -> str:
    return "test_" + "".join(c if c.isalnum() else "_" for c in name).replace("__", "_")


def _test(law: Law) -> Callable[[Any], None]:
    def test(self: Any) -> None:
        law()

    return test
