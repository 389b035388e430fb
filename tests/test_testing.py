"""The public battery: a method that breaks a law is caught by that law, by no other, and told in a sentence."""

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdec import algorithms, module, networks, problems, static, step_size, testing
from jaxdec.types import Cost, Iterates, ScalarLike, StepSize

pytestmark = pytest.mark.sampled(12)

SHAPES, INIT = "a step keeps structure, shapes and dtypes", "init takes no step"
STEPS, SWEEP = "a run is its steps one after the other", "a cell of a sweep is its single run"
PROGRAM, SEED = "another number reuses the program", "a seed repeats itself, another differs"
DATA, KEYS, PLATFORMS = "minibatches are those of the seed", "no key is used twice", "lowers for every platform"
COST, NAMES = "reported cost is the counted cost", "relabelling nodes permutes the trajectory"
HEARD, ABSENT, ALONE = "nodes hear through W alone", "absent nodes keep their rows", "a node alone runs"
REFERENCE, MINIMIZER, BIAS = "it equals its reference", "it reaches the minimizer", "it stalls away from it"
ZERO, CONSERVED = "corrections sum to zero", "what is conserved is"


class State(NamedTuple):
    x: Iterates  # (n, d), iterates
    c: Iterates  # (n, d), what tracking adds to the gradient


def minibatch(problem, s, r):
    return problem.grad(s.x, r.draw(problem))


@module
class Tracking:
    """Gradient tracking, which obeys every law unless one of its parts is another."""

    requires: ClassVar[str] = "doubly stochastic"
    lr: StepSize = step_size(default=0.2)
    started: Callable[..., Any] = static(default=lambda problem, s, r: (s, Cost()))
    gradient: Callable[..., Any] = static(default=minibatch)
    changed: Callable[..., Any] = static(default=lambda problem, s, r, new, cost: (new, cost))

    def init(self, problem, x0, r):
        return self.started(problem, State(x0, jnp.zeros_like(x0)), r)

    def step(self, problem, s, r):
        g = self.gradient(problem, s, r)
        y = g + s.c
        new = State(r.W @ (s.x - self.lr * y), r.W @ y - g)
        return self.changed(problem, s, r, new, Cost(grads=problem.batch_size, vectors=2))


def moves(problem, s, r):
    return s._replace(x=s.x - 0.1 * minibatch(problem, s, r)), Cost(grads=problem.batch_size)


def doubles(problem, s, r, new, cost):
    return new._replace(c=new.c + np.zeros((1, 3))), cost  # float64, whatever the run's precision


def drops(problem, s, r, new, cost):
    return (new.x, new.c), cost  # not a State


def remembers(problem, s, r, new, cost, memory=[]):  # noqa: B006
    memory.append(1)
    return new._replace(x=new.x + 0.01 * len(memory)), cost


def draws_twice(problem, s, r, new, cost):
    noise = jax.random.normal(r.key, (1, 3), s.x.dtype) + jax.random.normal(r.key, (1, 3), s.x.dtype)
    return new._replace(x=new.x + 0.01 * noise), cost


def calls_back(problem, s, r, new, cost):
    like = jax.ShapeDtypeStruct(new.x.shape, new.x.dtype)
    return new._replace(x=jax.pure_callback(np.asarray, like, new.x, vmap_method="expand_dims")), cost


def counts_nodes(problem, s, r, new, cost):
    return new._replace(x=new.x - 0.01 * jnp.arange(problem.n, dtype=s.x.dtype)[:, None]), cost


def reads_everybody(problem, s, r, new, cost):
    return new._replace(x=new.x - 0.01 * (new.x - jnp.mean(s.x, axis=0, keepdims=True))), cost


def divides_by_the_others(problem, s, r, new, cost):
    return new._replace(x=new.x + 0.01 * new.x / jnp.asarray(problem.n - 1, s.x.dtype)), cost


def adds(problem, s, r, new, cost):
    return new._replace(c=new.c + 1e-3), cost


def spends(**other):
    return lambda problem, s, r, new, cost: (new, cost._replace(**other))


class Counting(NamedTuple):
    x: Iterates  # (n, d), iterates
    t: ScalarLike  # how many rounds there were, a number for all nodes


@module
class CountingDSGD:
    """DSGD with a number in its state, of which absent nodes cannot keep a row."""

    requires: ClassVar[str] = "doubly stochastic"
    lr: StepSize = step_size(default=0.2)

    def init(self, problem, x0, r):
        return Counting(x0, jnp.zeros((), x0.dtype)), Cost()

    def step(self, problem, s, r):
        x = r.W @ (s.x - self.lr * problem.grad(s.x, r.draw(problem)))
        return Counting(x, s.t + 1), Cost(grads=problem.batch_size, vectors=1)


@module
class CompiledIn:
    """DSGD whose step size is a constant of the program."""

    requires: ClassVar[str] = "doubly stochastic"
    lr: float = static(default=0.2)

    def init(self, problem, x0, r):
        return State(x0, x0), Cost()

    def step(self, problem, s, r):
        x = r.W @ (s.x - self.lr * problem.grad(s.x, r.draw(problem)))
        return State(x, x), Cost(grads=problem.batch_size, vectors=1)


class Remembered(NamedTuple):
    x: Iterates  # (1, d), the server's model
    h: Iterates  # (n, d), the clients' last gradients


@module
class Averaging:
    """SGD at a server whose clients remember their last gradient; those who are absent forget a part of it."""

    requires: ClassVar[str] = "server"
    absent: ClassVar[str] = "own"
    lr: StepSize = step_size(default=0.2)
    forgotten: ScalarLike = 0.0

    def init(self, problem, x0, r):
        return Remembered(jnp.mean(x0, axis=0, keepdims=True), jnp.zeros_like(x0)), Cost()

    def step(self, problem, s, r):
        clients = r.of(problem)
        g = clients.grad(r.spread(s.x), r.draw(clients))
        h = r.kept((1 - self.forgotten) * s.h, g)
        return Remembered(s.x - self.lr * r.mean(g), h), r.cost(clients.batch_size, 1)


def dgd(W, grad, x0, rounds):
    """Mixing first, and the gradient at what is mixed: the same as DSGD for a single node alone."""
    x = [x0]
    for t in range(rounds):
        mixed = W @ x[-1]
        x.append(np.stack([mixed[i] - 0.2 * grad(i, mixed[i], t) for i in range(len(x0))]))
    return np.stack(x)


FIXED_KEY = lambda problem, s, r: problem.grad(s.x, problem.sample(jax.random.key(0), r.t))
ROUND_KEY = lambda problem, s, r: problem.grad(s.x, problem.sample(r.key, r.t))
ONE_BATCH = lambda problem, s, r: problem.grad(s.x, r.draw(problem, 0, 0))

# A method, what is claimed of it, the law that catches it, and those that must notice too.
BROKEN = {
    "init moves": (Tracking(started=moves), {}, INIT, set()),
    "float64": (Tracking(changed=doubles), {}, SHAPES, set()),
    "no State": (Tracking(changed=drops), {}, SHAPES, set()),
    "a memory outside of the state": (Tracking(changed=remembers), {}, STEPS, {SWEEP, NAMES, HEARD}),
    "a static step size": (CompiledIn(), {}, PROGRAM, set()),
    "a key of its own": (Tracking(gradient=FIXED_KEY), {}, SEED, {DATA}),
    "minibatches by the round's key": (Tracking(gradient=ROUND_KEY), {}, DATA, set()),
    "one minibatch for all rounds": (Tracking(gradient=ONE_BATCH), {}, DATA, set()),
    "a key twice": (Tracking(changed=draws_twice), {}, KEYS, set()),
    "a callback": (Tracking(changed=calls_back), {}, PLATFORMS, set()),
    "vectors for free": (Tracking(changed=spends(vectors=1)), {}, COST, set()),
    "gradients for free": (Tracking(changed=spends(grads=0)), {}, COST, set()),
    "nodes by number": (Tracking(changed=counts_nodes), {}, NAMES, set()),
    "a mean over all nodes": (Tracking(changed=reads_everybody), {}, HEARD, set()),
    "a number for all nodes": (CountingDSGD(), {}, ABSENT, set()),
    "absent clients that forget": (Averaging(forgotten=0.1), {}, ABSENT, set()),
    "n - 1": (Tracking(changed=divides_by_the_others), {}, ALONE, set()),
    "another reference": (algorithms.DSGD(lr=0.2), {"reference": dgd}, REFERENCE, set()),
    "not exact": (algorithms.DSGD(lr=0.2), {"exact": True}, MINIMIZER, set()),
    "exact": (Tracking(), {"exact": False}, BIAS, set()),
    "corrections that grow": (Tracking(changed=adds), {"zero_sum": "c"}, ZERO, {ABSENT}),
    "not conserved": (Tracking(), {"conserved": "x"}, CONSERVED, set()),
}
each = pytest.mark.parametrize(("method", "known", "law", "others"), BROKEN.values(), ids=BROKEN)


@each
@pytest.mark.thinned(6)
def test_a_broken_method_is_caught_by_the_law(method, known, law, others):
    (broken,) = (each for each in testing.laws(method, **known) if each.name == law)
    with pytest.raises((testing.LawBroken, NotImplementedError)) as caught:
        broken()
    assert law == PLATFORMS or str(caught.value).startswith("expected ")


@pytest.mark.slow
@each
def test_a_broken_method_is_caught_by_no_other_law(method, known, law, others, capsys):
    verdicts = testing.conform(method, check=False, **known)
    assert {v.law for v in verdicts if v.holds is False} == {law} | others


@pytest.mark.parametrize(
    ("method", "known"),
    [(Tracking(), {"exact": True, "zero_sum": "c", "conserved": lambda s: s.c.sum(axis=0)}), (Averaging(), {})],
    ids=["of a graph", "of a server"],
)
@pytest.mark.thinned(2)
def test_a_right_method_passes(method, known, capsys):
    verdicts = testing.conform(method, **known)
    assert all(v.holds for v in verdicts)
    table = capsys.readouterr().out
    assert max(map(len, table.splitlines())) <= 80
    assert all(v.law.split()[0] in table for v in verdicts)


def test_conform_raises_what_is_broken_after_its_table(capsys):
    with pytest.raises(testing.LawBroken, match=r"(?s)Tracking breaks 1 of 15 laws:\nreported cost .* expected a cost"):
        testing.conform(Tracking(changed=spends(vectors=1)))
    assert "broken" in capsys.readouterr().out


def test_what_a_method_raises_is_a_verdict(capsys):
    def fails(problem, s, r):
        return problem.no_such_gradient(s.x)

    verdicts = testing.conform(Tracking(gradient=fails), check=False)
    assert all(v.holds is False and "no_such_gradient" in v.seen for v in verdicts)


class TestTracking(testing.battery(Tracking(), zero_sum="c")):
    """A line of a test file is a test for each law."""


def test_a_battery_has_a_test_for_each_law():
    names = [name for name in dir(TestTracking) if name.startswith("test_")]
    assert len(names) == len(testing.laws(Tracking(), zero_sum="c"))
    assert "test_no_key_is_used_twice" in names


def test_laws_are_tested_in_float64_whatever_the_session_is():
    with jax.enable_x64(False):
        law = next(law for law in testing.laws(algorithms.DSGD(lr=0.2), exact=False) if law.name == STEPS)
        assert "4 rounds" in law()
    assert law.subject.ran[".x"].dtype == np.float64


def test_a_problem_and_a_network_of_ones_own_are_used():
    problem, network = problems.quadratic(5, 4, noise=0.1), networks.ring(5)
    laws = testing.laws(Tracking(), problem, network, exact=True, rounds=800)
    assert {law.subject.network for law in laws} == {network}
    assert next(law for law in laws if law.name == MINIMIZER)().endswith("after 800 rounds")


def test_a_method_that_does_not_fit_is_refused_at_once():
    with pytest.raises(ValueError, match="doubly stochastic"):
        testing.laws(Tracking(), network=networks.server(6))
    with pytest.raises(TypeError, match="class Tracking"):
        testing.laws(Tracking)
