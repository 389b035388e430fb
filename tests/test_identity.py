"""What has an identity has it by what it is: values by content, numbers by size, code by what it does, runs by seed."""

import importlib
import random
import sys
import types
from functools import partial

import jax
import numpy as np
import pytest
from jax.tree_util import Partial

from jaxdec import algorithms as A
from jaxdec import compressors, metrics, networks, problems, run, sweep
from jaxdec.describe import describe, distinct, identity, unique
from jaxdec.identity import ASIDE
from jaxdec.papers import averaging

pytestmark = pytest.mark.sampled(12)

PROBLEM, RING = problems.quadratic(4, 2, noise=0.2), networks.ring(4)
SHORT = {"seeds": 2, "rounds": 2, "metrics": ("loss",), "progress": False}


def decay(start, t):
    return start / (t + 1)


def scaled(starts, t):
    return starts[0] / (t + 1)


class Schedule:
    """A callable that shows nothing of what it holds."""

    def __init__(self, start):
        self.start = start

    def __call__(self, t):
        return self.start / (t + 1)

    def __repr__(self):
        return "Schedule"


ALIKE = {
    "partials": [Partial(decay, 0.1), Partial(decay, 0.9)],
    "partials of arrays": [Partial(scaled, np.asarray([0.1, 0])), Partial(scaled, np.asarray([0.9, 0]))],
    "objects": [Schedule(0.1), Schedule(0.9)],
    "lambdas of one code": [(lambda t, c=c: c / (t + 1)) for c in (0.1, 0.9)],
}


def go(over, path=None, algorithms=None, **change):
    return sweep(algorithms or A.DSGD(lr=0.1), PROBLEM, RING, over=over, store=path, **(SHORT | change))


@pytest.mark.parametrize("kind", ALIKE)
def test_values_that_look_alike_keep_their_own_results_in_a_store_and_have_labels_of_their_own(tmp_path, kind):
    values = ALIKE[kind]
    ahead = go({"lr": values}, tmp_path)
    behind = go({"lr": values[::-1]}, tmp_path)
    assert behind.attrs["run_seconds"] == 0  # what is there is not run again
    np.testing.assert_array_equal(behind.loss, ahead.loss[::-1])
    assert not np.array_equal(ahead.loss[0], ahead.loss[1])
    assert len(set(ahead.lr.values)) == 2
    np.testing.assert_array_equal(behind.lr, ahead.lr[::-1])


def test_arrays_that_look_alike_keep_their_own_results_in_a_store_and_in_independent_draws(tmp_path):
    values = [np.ones((4, 2)), np.full((4, 2), 3.0)]
    for paired in (True, False):
        ahead, behind = (
            go({"problem.A": order}, tmp_path / str(paired), paired=paired) for order in (values, values[::-1])
        )
        np.testing.assert_array_equal(behind.loss, ahead.loss[::-1])
        np.testing.assert_array_equal(go({"problem.A": values[::-1]}, paired=paired).loss, behind.loss)
        assert len(set(ahead["problem.A"].values)) == 2


def test_labels_are_equal_for_equal_values_alone():
    values = [0.1, "0.1", True, "True", None, Schedule(1), Schedule(2), np.zeros(3), np.ones(3), 1, "1", Schedule(2)]
    labels = list(map(str, distinct(values)))
    assert len(set(labels)) == len(values) - 1
    assert labels[-1] == labels[6]
    names = [unique(value) for value in values]
    assert len(set(names)) == len(values) - 1


def test_numbers_that_are_equal_are_one_value_however_they_are_written(tmp_path):
    first = go({"lr": [1, 0.2]}, tmp_path)
    jax_numbers = [jax.numpy.asarray(1.0), jax.numpy.asarray(0.2)]
    for values in ([1.0, 0.2], np.asarray([1, 0.2]), [np.int32(1), np.asarray(0.2)], jax_numbers):
        assert go({"lr": values}, tmp_path).equals(first)
    np.testing.assert_array_equal(go({"lr": [0.2, 1.0]}, tmp_path).loss, first.loss[::-1])
    assert identity({"a": [1, 2]}) == identity({"a": [1.0, np.int8(2)]}) != identity({"a": [1, "2"]})


def made(source, name="f", **known):
    """What a source defines, as in a module of one's own that was edited between two calls."""
    space = {"__name__": "mine", "A": A, "np": np, **known}
    exec(source, space)
    return space[name]


EDITS = {
    "a body": ("def f(t): return .1 / (t + 1)", "def f(t): return .5 / (t + 1)"),
    "a lambda": ("f = lambda t: .1 / (t + 1)", "f = lambda t: .1 / (t + 2)"),
    "a default": ("def f(t, c=.1): return c / (t + 1)", "def f(t, c=.5): return c / (t + 1)"),
    "a keyword": ("def f(t, *, c=.1): return c / (t + 1)", "def f(t, *, c=.5): return c / (t + 1)"),
    "an inner function": (
        "def f(t):\n def g(): return .1\n return g()",
        "def f(t):\n def g(): return .5\n return g()",
    ),
    "a function that it calls": (
        "def g(): return .1\ndef f(t): return g()",
        "def g(): return .5\ndef f(t): return g()",
    ),
    "a constant of its module": ("c = .1\ndef f(t): return c", "c = .5\ndef f(t): return c"),
    "the fields of a callable": (
        "class C:\n def __init__(self, c): self.c = c\n def __call__(self, t): return self.c\nf = C(.1)",
        "class C:\n def __init__(self, c): self.c = c\n def __call__(self, t): return self.c\nf = C(.5)",
    ),
    "the call of a callable": (
        "class C:\n def __call__(self, t): return .1\nf = C()",
        "class C:\n def __call__(self, t): return .5\nf = C()",
    ),
    "what it closes over": (
        "def make(c):\n def f(t): return c[0]\n return f\nf = make([.1])",
        "def make(c):\n def f(t): return c[0]\n return f\nf = make([.5])",
    ),
}


@pytest.mark.parametrize("what", EDITS)
def test_code_that_was_edited_is_another_and_the_same_code_made_again_is_the_same(what):
    before, after = EDITS[what]
    for wrap in (lambda f: f, jax.jit, Partial, lambda f: A.DSGD(lr=f)):
        assert identity(wrap(made(before))) == identity(wrap(made("\n# moved and commented\n" + before)))
        assert identity(wrap(made(before))) != identity(wrap(made(after)))


CHECKER = """
from functools import wraps
import numpy as np
CALLS = 0

def checked(times):
    def around(f):
        @wraps(f)
        def call(t):
            return np.sum(times) * f(t) + 0 * CALLS
        return call
    return around
"""


@pytest.fixture
def checker(tmp_path, monkeypatch):
    """A package that is installed, with a decorator that keeps something of its own."""
    place = tmp_path / "site-packages"
    place.mkdir()
    (place / "a_checker.py").write_text(CHECKER)
    monkeypatch.syspath_prepend(place)
    yield importlib.import_module("a_checker")
    del sys.modules["a_checker"]


@pytest.mark.parametrize("what", EDITS)
def test_what_a_package_decorated_is_what_is_inside_and_what_the_decorator_was_given(checker, what):
    before, after = EDITS[what]
    inside = lambda source, times=1: checker.checked(times)(made(source))
    outside = "\nouter = around(f)\ndef last(t): return outer(t)"
    calls = lambda source: made(source + outside, "last", around=checker.checked(1))
    if isinstance(made(before), types.FunctionType):  # what is no function has no name for a decorator to take over
        assert identity(inside(before)) == identity(inside("\n# moved\n" + before)) != identity(inside(after))
        given = [1, 2, (1, 2), [1, 3], np.ones(2), Partial(np.add, 1), made("def g(): return 1", "g")]
        assert len({identity(inside(before, times)) for times in given}) == len(given)
        assert identity(calls(before)) == identity(calls("\n# moved\n" + before)) != identity(calls(after))
        told = [identity(inside(before)), identity(calls(before))]
        checker.CALLS += 1  # what a package keeps is none of it
        assert told == [identity(inside(before)), identity(calls(before))]


def test_a_docstring_is_no_part_of_what_code_does():
    one, other = (made(f"def f(t):\n '''{doc}'''\n return .1") for doc in ("One.", "Other."))
    assert describe(one) == describe(other)


STEP = """
from jaxdec import module
@module
class Mine(A.DSGD):
    def step(self, problem, state, r):
        state, cost = super().step(problem, state, r)
        return state._replace(x={factor} * state.x), cost
"""
METRIC = "def f(problem, state): return {factor} * problem.objective(state.x.mean(axis=0))"


def test_a_store_and_a_checkpoint_refuse_code_that_was_edited_and_name_it(tmp_path):
    lr = {factor: made(f"f = lambda t: {factor} / (t + 1)") for factor in (0.1, 0.5)}
    metric = {factor: made(METRIC.format(factor=factor)) for factor in (0.1, 0.5)}
    method = {factor: made(STEP.format(factor=factor), "Mine")(lr=0.1) for factor in (0.1, 0.5)}
    asked = {"lr": lr, "metrics": metric, "step": method}
    ask = {
        "lr": lambda value, path: go({"lr": [value]}, path),
        "metrics": lambda value, path: go({"lr": [0.1]}, path, metrics={"mine": value}),
        "step": lambda value, path: go({"lr": [0.1]}, path, value),
    }
    where = {"lr": r"over\.lr\.lr\.code", "metrics": r"metrics\.mine\.code", "step": r"algorithms\.Mine\.code"}
    for what, values in asked.items():
        first = ask[what](values[0.1], tmp_path / what)
        assert ask[what](values[0.1], tmp_path / what).equals(first)
        with pytest.raises(ValueError, match=where[what] + r" is .*Python 3.* there and .*Python 3"):
            ask[what](values[0.5], tmp_path / what)
    arguments = {"rounds": 4, "metrics": ("loss",), "checkpoint": tmp_path / "run"}
    run(method[0.1], PROBLEM, RING, **arguments)
    with pytest.raises(ValueError, match=r"algorithm\.code is"):
        run(method[0.5], PROBLEM, RING, **arguments)


def test_a_store_and_a_checkpoint_refuse_another_jaxdec_and_name_it(tmp_path, monkeypatch):
    ask = {
        "store": lambda: go({"lr": [0.1]}, tmp_path / "store"),
        "run": lambda: run(A.DSGD(lr=0.1), PROBLEM, RING, rounds=4, checkpoint=tmp_path / "run"),
    }
    for call in ask.values():
        call()
    for module in ("jaxdec.loop.source", "jaxdec.sweeps.manifest.source"):
        monkeypatch.setattr(module, lambda: {"version": "0.0.9", "source": "0"})
    for call in ask.values():
        with pytest.raises(ValueError, match=r'jaxdec\.version is "[\d.]+" there and "0\.0\.9" here'):
            call()


def test_what_holds_itself_is_described():
    held: list = []
    held.append(held)
    assert isinstance(describe(partial(decay, held)), dict)
    mutual = "def f(t): return g(t)\ndef g(t): return {c} if t else f(t)"
    assert identity(made(mutual.format(c=1))) == identity(made(mutual.format(c=1)))
    assert identity(made(mutual.format(c=1))) != identity(made(mutual.format(c=2)))


@pytest.mark.parametrize("more", [[5, 3, 7], [9, 5, 0, 3], list(range(10))[::-1]])
def test_each_seed_keeps_its_own_results_whatever_its_position(tmp_path, more):
    over = {"lr": [0.1, 0.2]}
    go(over, tmp_path, seeds=[3, 5])
    found = go(over, tmp_path, seeds=more)
    assert found.equals(go(over, seeds=more))
    assert found.seed.values.tolist() == more


@pytest.mark.parametrize(
    ("algorithms", "over", "message"),
    [
        ({1: A.DSGD(lr=0.1), "1": A.DSGD(lr=0.2)}, None, "two algorithms are labelled 1"),
        ({"one": A.DSGD(lr=0.1)}, {"lr": {"one": [0.1], "DSGD": [0.2]}}, "has values for one twice"),
        (A.DSGD(lr=0.1), {"lr": [0.1], "DSGD.lr": [0.2]}, "'lr' and 'DSGD.lr' are both 'lr' of DSGD"),
        (A.DSGD(lr=0.1), {("lr", "DSGD.lr"): [(0.1, 0.2)]}, "'lr' and 'DSGD.lr' are both 'lr' of DSGD"),
        (A.DSGD(lr=0.1), [{"lr": 0.1, "DSGD.lr": 0.2}], "'lr' and 'DSGD.lr' are both 'lr' of DSGD"),
        ({"one": A.DSGD(lr=0.1)}, {"lr": {"one": [0.1]}, "DSGD.lr": [0.2]}, "are both 'lr' of one"),
    ],
)
def test_what_has_two_names_is_refused(algorithms, over, message):
    with pytest.raises(ValueError, match=message):
        go(over, algorithms=algorithms)


def test_a_field_is_set_in_an_object_that_is_swept_too_whichever_is_named_first():
    over = {"compressor": [compressors.TopK(1, per_block=flag) for flag in (False, True)], "compressor.k": [1, 2]}
    method = A.ChocoSGD(lr=0.1, consensus_lr=0.3, compressor=compressors.TopK(1))
    ahead = go(over, algorithms=method)
    behind = go(dict(reversed(over.items())), algorithms=method)
    np.testing.assert_array_equal(behind.loss.transpose(*ahead.loss.dims), ahead.loss)


METHODS = {"DSGD": A.DSGD(lr=0.1), "another one": A.GradientTracking(lr=0.1)}
OVER = {
    "lr": [Partial(decay, 0.1), 0.2, Partial(decay, 0.3)],
    "problem.A": [np.ones((4, 2)), np.full((4, 2), 2.0)],
}
TOLD = {"lr": ["decay(0.1)", "0.2", "decay(0.3)"]}


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.thinned(2)
def test_any_permutation_of_algorithms_values_and_seeds_gives_each_cell_the_same_numbers(tmp_path, paired):
    given = {"seeds": [0, 4, 2], "paired": paired}
    first = go(OVER, tmp_path, METHODS, **given)
    rng = random.Random(0)
    shuffled = lambda values: rng.sample(values, len(values))
    for k in range(4):
        over = {name: shuffled(OVER[name]) for name in shuffled(list(OVER))}
        methods = {name: METHODS[name] for name in shuffled(list(METHODS))}
        path = tmp_path if k < 3 else None
        found = go(over, path, methods, **(given | {"seeds": shuffled(given["seeds"])}))
        back = found.sel({name: first[name].values for name in (*OVER, "algorithm", "seed")})
        back = back.transpose(*first.loss.dims)
        np.testing.assert_array_equal(back.loss, first.loss)
        assert set(found.lr.values) == set(TOLD["lr"])


def test_any_permutation_of_each_algorithms_own_values_gives_each_cell_the_same_numbers(tmp_path):
    own = {"DSGD": [0.1, Partial(decay, 0.2)], "another one": [0.3, Partial(decay, 0.2)]}
    first = go({"lr": own}, tmp_path, METHODS)
    turned = {"another one": own["another one"], "DSGD": own["DSGD"][::-1]}
    found = go({"lr": turned}, tmp_path, METHODS)
    np.testing.assert_array_equal(found.loss[0], first.loss[0, ::-1])
    np.testing.assert_array_equal(found.loss[1], first.loss[1])


def test_what_papers_define_has_the_digest_of_its_code_and_is_no_part_of_the_source():
    """So that a figure or a claim may be edited without a store being another's, and a metric may not."""
    told = describe(averaging.error)
    assert "code" in told.get("wrapped", told)  # the tests check its arguments' types, in a function around it
    assert describe(metrics.loss) == "jaxdec.metrics.loss"
    assert "papers" in ASIDE
