"""What a newcomer writes wrong is told in one sentence that says what to write, before anything is compiled."""

import dataclasses
import re
from typing import Any, NamedTuple

import jax.numpy as jnp
import networkx as nx
import numpy as np
import pytest
import scipy.sparse as sp

from jaxdec import algorithms, graphs, module, networks, problems, run, static, step_size, sweep
from jaxdec.types import Cost, World

pytestmark = pytest.mark.sampled(12)

METHOD, PROBLEM, RING = algorithms.DSGD(lr=0.1), problems.quadratic(6, 3), networks.ring(6)


class State(NamedTuple):
    x: Any


class Alone(NamedTuple):
    x: Any
    count: Any


@module
class Right:
    """What the mistakes below are made in."""

    lr: float = step_size()
    requires = "symmetric"

    def init(self, problem, x0, r):
        return State(x0), Cost()

    def step(self, problem, s, r):
        return State(r.W @ (s.x - self.lr * problem.grad(s.x, r.draw(problem)))), Cost(grads=1, vectors=1)


@module
class Line(problems.Problem):
    """f_i(x) = ‖x - b_i‖²/2."""

    b: Any

    @property
    def n(self):
        return self.b.shape[0]

    @property
    def d(self):
        return self.b.shape[1]

    def sample(self, key_data, i):
        return None

    def loss(self, x, batch=None):
        return jnp.sum((x - self.b) ** 2, axis=1) / 2


@module
class Sleepy:
    """Every other node is absent."""

    n: int = static()
    provides: frozenset[str] = static(default=frozenset({"symmetric", "doubly stochastic"}))

    def init(self, key):
        return ()

    def at(self, memory, t, key):
        return memory, World(jnp.eye(self.n), active=jnp.arange(self.n) % 2 == 0)


def changed(kind, **changes):
    """A class with some of its attributes replaced, or, where None, removed."""
    fields = dataclasses.fields(kind)
    body = {k: v for k, v in vars(kind).items() if not k.startswith("__")}
    body |= {f.name: dataclasses.field(default=f.default, metadata=f.metadata) for f in fields}
    body = {k: v for k, v in (body | changes).items() if v is not None}
    return module(type("Mine", kind.__bases__, body | {"__annotations__": {f.name: f.type for f in fields}}))


def method(**changes):
    return {"algorithm": changed(Right, **changes)(0.1)}


def init_of(returned):
    return method(init=lambda self, problem, x0, r: returned(x0))


def step_of(returned):
    return method(step=lambda self, problem, s, r: returned(s))


def problem(**changes):
    return {"problem": changed(Line, **changes)(np.ones((6, 3)))}


def network(**changes):
    return {"network": changed(Sleepy, **changes)(6)}


def test_what_the_mistakes_are_made_in_is_right():
    run(Right(0.1), Line(np.ones((6, 3))), RING, rounds=1)
    run(Right(0.1), Line(np.ones((6, 3))), Sleepy(6), rounds=1)
    run(changed(Right)(0.1), changed(Line)(np.ones((6, 3))), changed(Sleepy)(6), rounds=1)


class NoModule:
    requires = "symmetric"
    init, step = Right.init, Right.step


class NoDecorator(algorithms.DSGD):
    pass


@module
class Traced:
    n: int
    d: int
    sample, loss, grad = Line.sample, Line.loss, Line.grad


@module
class Summed(problems.Problem):
    m: Any
    n = property(lambda self: self.m + 0)
    d = property(lambda self: 3)
    sample, loss = Line.sample, Line.loss


@module
class Bare:
    n: int = static()
    d: int = static()
    sample, loss, grad = Line.sample, Line.loss, Line.grad


class FirstEdition(NamedTuple):
    n: int
    provides: Any
    init = Sleepy.init

    def at(self, t, key):
        return World(jnp.eye(6))


def array(self, memory, t, key):
    return memory, jnp.eye(self.n)


def pair(self, problem, x0, r):
    return Alone(x0, jnp.zeros(())), Cost()


MISTAKES = {
    # Where something else was given.
    "a class for an algorithm": (
        {"algorithm": algorithms.KGT},
        r"an algorithm, got the class KGT; write KGT\(lr=..., local_steps=...\)",
    ),
    "a class for a problem": ({"problem": Line}, r"a problem, got the class Line; write Line\(b=...\)"),
    "a class for a network": ({"network": Sleepy}, r"a network, got the class Sleepy; write Sleepy\(n=...\)"),
    "nothing for an algorithm": ({"algorithm": None}, r"an algorithm, such as algorithms.DSGD\(lr=0.1\); got None"),
    "a name for an algorithm": ({"algorithm": "DSGD"}, r"such as algorithms.DSGD\(lr=0.1\); got 'DSGD'"),
    "a list of algorithms": ({"algorithm": [METHOD]}, r"an algorithm, such as .*; got \[DSGD\(lr=0.1\)\]"),
    "swapped first arguments": (
        {"algorithm": PROBLEM, "problem": METHOD},
        r"an algorithm, got a problem, Quadratic; the order is \(algorithm, problem, network\)",
    ),
    "swapped last arguments": ({"problem": RING, "network": PROBLEM}, r"a problem, got a network, Static; the order"),
    "a graph": ({"network": graphs.ring(6)}, r"a network, got a graph, Graph; write networks.static\(graph\)"),
    "a graph of NetworkX": (
        {"network": nx.cycle_graph(6)},
        r"a network, got a graph, Graph; write networks.static\(graph\)",
    ),
    "an array": ({"network": np.eye(6)}, r"a network, got a matrix, ndarray; write networks.static\(W\)"),
    "an array of JAX": ({"network": jnp.eye(6)}, r"a network, got a matrix, .*; write networks.static\(W\)"),
    "a sparse array": ({"network": sp.eye_array(6)}, r"a network, got a matrix, .*; write networks.static\(W\)"),
    "a list of rows": ({"network": np.eye(6).tolist()}, r"a network, got a matrix, list; write networks.static\(W\)"),
    "an operator": ({"network": RING.W}, r"a network, got a matrix, Circulant; write networks.static\(W\)"),
    # An algorithm.
    "no @module": ({"algorithm": NoModule()}, "NoModule is not a pytree.*write @jaxdec.module above its class"),
    "no @module on a subclass": ({"algorithm": NoDecorator(0.1)}, "NoDecorator is not a pytree.*write @jaxdec.module"),
    "no requires": (method(requires=None), 'no `requires`, .*; write `requires = "symmetric"` in the class'),
    "a misspelt law": (method(requires="symetric"), "names 'symetric', which is no law; did you mean 'symmetric'[?]"),
    "a misspelt law among many": (
        method(requires=frozenset({"fixed", "serverr"})),
        "names 'serverr', .* did you mean 'server'",
    ),
    "a misspelt wish": (method(wants={"Fixed": "it"}), "wants of Mine names 'Fixed', .* did you mean 'fixed'"),
    "a misspelt absence": (
        method(absent="freeze"),
        "absent of Mine is one of 'frozen', 'own', 'refused'; got 'freeze'",
    ),
    "no init": (method(init=None), r"Mine has no `init`, .*; write `def init\(self, problem, x0, r\)`"),
    "no step": (method(step=None), r"Mine has no `step`, .*; write `def step\(self, problem, state, r\)`"),
    "a step of other arguments": (
        method(step=lambda self, s, r: s),
        r"Mine is written with `step\(self, s, r\)`; write `def step\(self, problem, state, r\)`, which returns",
    ),
    "no Cost of init": (init_of(State), r"Mine.init returns of class State; .* write `return State\(x\), Cost\("),
    "no Cost of step": (
        step_of(lambda s: (s, 1)),
        r"Mine.step returns .*; it returns the state and what the round cost: write",
    ),
    "nothing from step": (
        step_of(lambda s: None),
        r"Mine.step returns nothing; it returns the state and what the round cost",
    ),
    "a cost for each node": (
        step_of(lambda s: (s, Cost(bits=jnp.ones(6)))),
        r"bits of shape \(6,\); it is one number, the mean",
    ),
    "a dict as state": (
        init_of(lambda x0: ({"x": x0}, Cost())),
        r"of class dict; write a NamedTuple with a field x.*`class State\(NamedTuple\): x: Any`",
    ),
    "an array as state": (init_of(lambda x0: (x0, Cost())), r"an array f64\[6,3\]; write a NamedTuple"),
    "x of another shape": (
        init_of(lambda x0: (State(x0.T), Cost())),
        r"f64\[3,6\]; it is as x0, f64\[6,3\], or \(1, d\)",
    ),
    "integers as x": (
        init_of(lambda x0: (State(x0.astype(int)), Cost())),
        r"i64\[6,3\]; it is as x0, f64\[6,3\], .*keep its dtype",
    ),
    "x whose dtype changes": (
        step_of(lambda s: (State(s.x.astype(int)), Cost())),
        r"Mine.step makes i64\[6,3\] of .x of its state, which was f64\[6,3\]; a state keeps",
    ),
    "x whose shape changes": (
        step_of(lambda s: (State(s.x[:2]), Cost())),
        r"makes f64\[2,3\] of .x of its state, which was f64\[6,3\]",
    ),
    "float64 in a float32 run": (
        step_of(lambda s: (State(s.x.astype(float)), Cost())) | {"x0": np.zeros(3, np.float32)},
        r"makes f64\[6,3\] of .x of its state, which was f32\[6,3\]",
    ),
    "a state of another class": (method(init=pair), "makes nothing of .count of its state, which was f64"),
    "no axis of nodes": (
        method(init=pair) | {"network": Sleepy(6)},
        r".count of Mine's state is f64\[\], without the nodes' axis n=6 .*write `absent = \"own\"`",
    ),
    # A problem.
    "a size that is traced": (
        {"problem": Traced(6, 3)},
        r"n of Traced is a traced field, .* write `n: int = static\(\)`",
    ),
    "a size that is computed": (
        {"problem": Summed(6)},
        r"n of Summed is .*; write `n: int = static\(\)`, or a property that returns part of an array's shape",
    ),
    "no loss": (problem(loss=None), r"Mine has no `loss`, .*; write `def loss\(self, x, batch=None\)`"),
    "no sample": (problem(sample=None), r"Mine has no `sample`, .*; write `def sample\(self, key_data, i\)`"),
    "no n": (problem(n=None), r"Mine has no `n`, .*; write `n: int = static\(\)`"),
    "no d": (problem(d=None), r"Mine has no `d`, .*; write `d: int = static\(\)`"),
    "no base": ({"problem": Bare(6, 3)}, r"Bare has no `minimizer`; write `class Bare\(problems.Problem\)`"),
    "no grad, and no base": (
        {"problem": changed(Bare, grad=None)(6, 3)},
        r"Mine has no `grad`, .*; write `def grad\(self, x, batch=None\)`",
    ),
    # A network.
    "no init of a network": (network(init=None), r"Mine has no `init`, .*; write `def init\(self, key\)`"),
    "no at": (network(at=None), r"Mine has no `at`, .*; write `def at\(self, memory, t, key\)`"),
    "at of the first edition": (
        {"network": FirstEdition(6, frozenset())},
        r"`at\(self, t, key\)`; write `def at\(self, memory, t, key\)`, .*`return memory, World\(W\)`",
    ),
    "no world": (
        network(at=array),
        r"at of Mine returns .*; it returns the memory and the world: write `return memory, World\(W\)`",
    ),
    "a misspelt promise": (
        {"network": Sleepy(6, frozenset({"doubly-stochastic", "symmetric"}))},
        "provides of Sleepy names 'doubly-stochastic', .*did you mean 'doubly stochastic'",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_in_one_sentence(mistake):
    changes, message = MISTAKES[mistake]
    arguments = {"algorithm": METHOD, "problem": PROBLEM, "network": RING, "rounds": 2} | changes
    with pytest.raises((TypeError, ValueError), match=message) as error:
        run(**arguments)
    assert "\n" not in str(error.value)


SWEPT = (
    "a class for a problem",
    "a graph",
    "no @module",
    "no requires",
    "a dict as state",
    "no Cost of step",
    "no world",
)


@pytest.mark.parametrize("mistake", SWEPT)
def test_a_sweep_tells_it_before_it_runs_what_is_right(mistake, monkeypatch):
    changes, message = MISTAKES[mistake]
    arguments = {"algorithm": METHOD, "problem": PROBLEM, "network": RING} | changes
    monkeypatch.setattr("jaxdec.sweeps.engine.Session", lambda *_: pytest.fail("something was run"))
    both = zip((METHOD, PROBLEM, RING), arguments.values(), strict=True)
    with pytest.raises((TypeError, ValueError), match=message):
        sweep(*({"right": right, "wrong": wrong} for right, wrong in both), rounds=2)


def test_a_network_of_ones_own_that_says_p_is_one_changes_nothing():
    mine = changed(Sleepy, at=lambda self, memory, t, key: (memory, World(jnp.eye(self.n), p=1.0)))
    x = run(METHOD, PROBLEM, mine(6), rounds=3).state.x
    mine = changed(Sleepy, at=lambda self, memory, t, key: (memory, World(jnp.eye(self.n))))
    np.testing.assert_array_equal(x, run(METHOD, PROBLEM, mine(6), rounds=3).state.x)


def test_the_laws_in_an_error_are_those_there_are():
    with pytest.raises(ValueError, match="The laws are") as error:
        run(changed(Right, requires="x")(0.1), PROBLEM, RING, rounds=1)
    listed = re.split("The laws are ", str(error.value))[1].split(", ")
    assert {"symmetric", "push-pull", "reliable"} <= set(listed)
