"""`lastmap` gives what `jax.vmap` gives: of single operations, of control flow, of every algorithm's program."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import CASES, OTHERS, UNDIRECTED, N, quadratic
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from jaxdec import algorithms as A
from jaxdec import data, graphs, networks, problems, run, sweep
from jaxdec.loop import prepare, simulate
from jaxdec.metrics import consensus, loss, named
from jaxdec.networks import clocks, delays, outages
from jaxdec.sweeps import execute, load
from jaxdec.sweeps.lastmap import interpret, lastmap
from jaxdec.testing.programs import numbers_of

pytestmark = pytest.mark.sampled(16)

CELLS = 3
few = settings(max_examples=15, deadline=None, derandomize=True)


def same(found, expected, rtol=1e-9):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        if jnp.issubdtype(b.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        near = rtol if jnp.issubdtype(b.dtype, jnp.floating) else 0
        np.testing.assert_allclose(a, b, rtol=near, atol=near * np.abs(b).max(initial=1) if near else 0)


def agree(f, *args, in_axes=0):
    """F mapped by either, no operation of it left to `jax.vmap`."""
    left = []
    same(lastmap(f, in_axes, fell_back=left.append)(*args), jax.vmap(f, in_axes)(*args))
    assert not left


def values(seed, *shapes, mapped):
    """Arrays of those shapes, those that are mapped with an axis of cells in front; and the axes."""
    rng = np.random.default_rng(seed)
    arrays = [jnp.asarray(rng.standard_normal((CELLS, *s) if m else s)) for s, m in zip(shapes, mapped, strict=True)]
    return arrays, tuple(0 if m else None for m in mapped)


def which(count):
    """Which of so many arguments are mapped: at least one."""
    return st.lists(st.booleans(), min_size=count, max_size=count).filter(any)


SEEDS = st.integers(0, 2**31)
SHAPES = st.lists(st.integers(1, 4), max_size=3).map(tuple)


# Single operations.

ELEMENTWISE = {
    "scalars": lambda x, y, s: s * x + jnp.maximum(y, 0.5) - 2.0 * y / (1 + s * s),
    "choices": lambda x, y, s: jnp.where(x > s, y, jnp.where(s > 0, x, 1.0)),
    "bounds": lambda x, y, s: (lax.clamp(s, x, s + 1.0), lax.clamp(-1.0, y, 1.0)),
    "choices among many": lambda x, y, s: lax.select_n((x > y).astype(jnp.int32) + (y > 0), x, y, x * s),
    "bits and dtypes": lambda x, y, s: lax.bitcast_convert_type(x, jnp.int64) ^ jnp.floor(9 * y).astype(jnp.int64),
    "powers": lambda x, y, s: jax.nn.softplus(x) + jnp.abs(y) ** 1.5 + x**3 + jax.scipy.special.erf(s),
    "a derivative": lambda x, y, s: jax.grad(lambda z: jnp.sum(jax.nn.relu(z) * y) + jnp.sum(jnp.tanh(s * z)))(x),
}


@few
@given(st.sampled_from(sorted(ELEMENTWISE)), SHAPES, which(3), SEEDS)
def test_elementwise_operations_take_shared_and_mapped_operands_in_any_mixture(name, shape, mapped, seed):
    args, axes = values(seed, shape, shape, (), mapped=mapped)
    agree(ELEMENTWISE[name], *args, in_axes=axes)


def structural(axis):
    """Operations on x (3, 4, 2) and y (3, 4, 2), along an axis of them."""
    return {
        "reductions": lambda x, y: [f(x * y, axis) for f in (jnp.sum, jnp.prod, jnp.max, jnp.min, jnp.mean, jnp.var)],
        "sums over several": lambda x, y: (
            jnp.sum(x),
            jnp.sum(x, (0, axis or 1)),
            jnp.all(x > 0, axis),
            jnp.any(x > y),
        ),
        "cumulative": lambda x, y: [f(x, axis=axis) for f in (lax.cumsum, lax.cumprod, lax.cummax, lax.cumlogsumexp)],
        "order": lambda x, y: (jnp.sort(x, axis), jnp.argsort(y, axis), jnp.argmax(x, axis), jnp.argmin(x)),
        "pairs in order": lambda x, y: lax.sort((jnp.round(x), y), dimension=axis, num_keys=2),
        "largest": lambda x, y: lax.top_k(x, 2),
        "shapes": lambda x, y: (x.reshape(4, 6), x.T, jnp.moveaxis(x, axis, 0), x[None, ..., None], x.ravel()),
        "parts": lambda x, y: (x[1:, ::2], jnp.flip(x, axis), jnp.split(y, [1], axis), jnp.squeeze(x[:1], 0)),
        "together": lambda x, y: (jnp.concatenate([x, y], axis), jnp.stack([x, y], axis), jnp.tile(x, (1, 2, 1))),
        "borders": lambda x, y: (jnp.pad(x, 1), jnp.pad(x, 1, mode="wrap"), jnp.roll(x, 1, axis)),
        "a border of one's own": lambda x, y: lax.pad(x, y[0, 0, 0], [(1, 0, 0), (0, -1, 1), (0, 0, 0)]),
        "windows": lambda x, y: lax.reduce_window(x, -jnp.inf, lax.max, (2, 2, 1), (1, 2, 1), "VALID"),
        "norms": lambda x, y: (jnp.linalg.norm(x, axis=axis), jax.nn.softmax(x, axis), jax.nn.logsumexp(y, axis)),
    }


@pytest.mark.parametrize("name", structural(0))
def test_operations_along_axes_leave_the_cells_alone(name):
    for axis, mapped in ((0, (True, True)), (1, (True, False)), (2, (False, True))):
        args, axes = values(axis, (3, 4, 2), (3, 4, 2), mapped=mapped)
        agree(structural(axis)[name], *args, in_axes=axes)


PLACES = {
    "rows": lambda x, i, v: x[i],
    "entries": lambda x, i, v: x[i, i % 3],
    "columns of rows": lambda x, i, v: jnp.take_along_axis(x, jnp.stack([i, i, i], 1)[:5] % 5, axis=0),
    "one row": lambda x, i, v: x[i[0]],
    "a slice": lambda x, i, v: lax.dynamic_slice(x, (i[0], i[1]), (2, 2)),
    "setting": lambda x, i, v: x.at[i].set(jnp.ones(3)),
    "adding": lambda x, i, v: x.at[i].add(v),
    "the largest": lambda x, i, v: (x.at[i].max(v), x.at[i].min(v), x.at[i].multiply(v)),
    "adding entries": lambda x, i, v: x.at[i, i % 3].add(v[:, 0]),
    "a slice set": lambda x, i, v: lax.dynamic_update_slice(x, v[:2, :2], (i[0], i[1])),
    "beyond the end": lambda x, i, v: (x.at[2 * i].get(mode="fill", fill_value=7.0), x.at[2 * i].add(v, mode="drop")),
}


@pytest.mark.parametrize("name", PLACES)
def test_gathers_and_scatters_take_shared_and_mapped_places(name):
    for k in range(1, 8):
        mapped = k & 1, k & 2, k & 4
        (x, i, v), axes = values(k, (6, 3), (5,), (5, 3), mapped=mapped)
        agree(PLACES[name], x, jnp.abs(9 * i).astype(jnp.int32) % 6, v, in_axes=axes)


@few
@given(st.data(), which(2), SEEDS)
def test_products_over_any_axes_are_those_of_vmap(data, mapped, seed):
    batch, summed, left, right = (data.draw(st.integers(0, 2), label=k) for k in ("batch", "summed", "left", "right"))
    sizes = dict(zip("abcdefgh", data.draw(st.lists(st.integers(1, 4), min_size=8, max_size=8)), strict=True))
    b, s, fl, fr = "ab"[:batch], "cd"[:summed], "ef"[:left], "gh"[:right]
    of = lambda letters: "".join(data.draw(st.permutations(letters)))
    one, other = of(b + s + fl), of(b + s + fr)
    (x, y), axes = values(seed, [sizes[k] for k in one], [sizes[k] for k in other], mapped=mapped)
    agree(lambda x, y: jnp.einsum(f"{one},{other}->{b + fl + fr}", x, y), x, y, in_axes=axes)


@pytest.mark.parametrize("shared", [True, False])
def test_what_is_drawn_is_the_same_to_the_bit(shared):
    def draws(key, scale):
        one, other = jax.random.split(jax.random.fold_in(key, 3))
        several = jax.random.split(one, (2, 3))
        raw = jax.random.wrap_key_data(jax.random.key_data(several[1]))
        uniform = scale * jax.random.uniform(other, (4, 2), minval=-scale)
        each = jax.vmap(lambda k: jax.random.randint(k, (5,), 0, 1000))(several[0])
        return several, uniform, each, jax.random.permutation(raw[0], 7), jax.random.bernoulli(raw[1], 0.3, (9,))

    keys = jax.random.key(5) if shared else jax.random.split(jax.random.key(5), CELLS)
    agree(draws, keys, jnp.arange(1.0, 4), in_axes=(None if shared else 0, 0))


def test_an_unknown_operation_is_that_of_vmap_and_is_named():
    (a, b), axes = values(0, (4, 4), (4,), mapped=(True, False))
    solve = lambda a, b: (jnp.linalg.solve(a @ a.T + jnp.eye(4), b), jnp.sum(a))
    left = []
    same(lastmap(solve, axes, fell_back=left.append)(a, b), jax.vmap(solve, axes)(a, b))
    assert left
    assert "reduce_sum" not in left


DECOMPOSITIONS = {
    "cholesky": lambda a, b: jax.scipy.linalg.cho_solve(jax.scipy.linalg.cho_factor(a @ a.T + jnp.eye(4)), b),
    "triangular": lambda a, b: jax.scipy.linalg.solve_triangular(jnp.tril(a) + 4 * jnp.eye(4), b),
    "eigenvalues": lambda a, b: jnp.linalg.eigvalsh(a + a.T) * b,
    "qr": lambda a, b: jnp.abs(jnp.linalg.qr(a)[1]) @ b,
    "singular values": lambda a, b: jnp.linalg.svd(a, compute_uv=False) * b,
    "the determinant": lambda a, b: jnp.linalg.slogdet(a)[1] * b,
}


@pytest.mark.parametrize("name", DECOMPOSITIONS)
def test_decompositions_are_of_each_cell_by_itself(name):
    for mapped in ((True, True), (True, False), (False, True)):
        args, axes = values(1, (4, 4), (4,), mapped=mapped)
        agree(DECOMPOSITIONS[name], *args, in_axes=axes)


# Control flow.

CONTROL = {
    "a carry that gets mapped": lambda x, s, k: lax.scan(
        lambda c, y: ((c[1], c[1] + s * y), c[0]), (0.0, 1.0), x[:, 0]
    ),
    "shared turns": lambda x, s, k: lax.fori_loop(0, 5, lambda i, c: (c[0] + i, c[1] * s + x[0]), (0, x[1])),
    "turns of one's own": lambda x, s, k: lax.while_loop(lambda c: c[0] < k, lambda c: (c[0] + 1, 2 * c[1]), (0, x)),
    "until it is small": lambda x, s, k: lax.while_loop(lambda y: jnp.max(y) > 0.1, lambda y: y / 2, jnp.abs(x)),
    "a branch": lambda x, s, k: lax.cond(s > 0, lambda y: (y, 1.0), lambda y: (0 * y, s), x),
    "one of three": lambda x, s, k: lax.switch(k, [jnp.sin, lambda y: y * s, jnp.zeros_like], x),
    "behind a barrier": lambda x, s, k: lax.optimization_barrier((x, s, k)),
    "recomputed": lambda x, s, k: jax.grad(lambda s: jnp.sum(jax.checkpoint(jnp.sin)(s * x)))(s),
    "backwards": lambda x, s, k: lax.scan(lambda c, y: (c * s, y + c), s, x, reverse=True, unroll=2),
}


@pytest.mark.parametrize("name", CONTROL)
def test_loops_and_branches_are_those_of_vmap_whatever_is_mapped(name):
    for k in range(1, 8):
        (x, s, _), axes = values(k, (4, 2), (), (), mapped=(k & 1, k & 2, k & 4))
        agree(CONTROL[name], x, s, np.arange(CELLS) if k & 4 else 2, in_axes=axes)


def test_axes_are_those_of_vmap():
    x, y = np.arange(24.0).reshape(2, 3, 4), {"a": np.ones((3, 2)), "b": np.ones(5)}
    f = lambda x, y: {"sum": x.T @ y["a"], "shared": y["b"], "none": None}
    axes, out = (1, {"a": 0, "b": None}), {"sum": 1, "shared": None, "none": 0}
    g = lambda x, y: f(x, {"a": y["a"], "b": y["b"]})
    for outs in (out, 0):
        same(lastmap(g, axes, outs)(x, y), jax.vmap(g, axes, outs)(x, y))
    with pytest.raises(ValueError, match="asked for a result without the mapped axis"):
        lastmap(g, axes, None)(x, y)
    with pytest.raises(ValueError, match=r"of one size, got the sizes \[2, 3\]"):
        lastmap(jnp.add, 0)(np.ones((2, 3)), np.ones((3, 3)))


# Programs.


def program(algorithm, network, problem, *, paired=True):
    """A run as a function of a factor of the algorithm's numbers (of x0 where it has none) and a key; its arguments."""
    x0 = np.random.default_rng(0).standard_normal((problem.n, problem.d))
    algorithm, *others = prepare(algorithm, problem, network, x0, rounds=4, every=2)
    leaves, structure = jax.tree.flatten(algorithm)
    number = lambda a: a.ndim == 0 and jnp.issubdtype(a.dtype, jnp.floating)
    swept = bool(numbers_of(algorithm))

    def one(scale, key):
        scaled = jax.tree.unflatten(structure, [scale * a if number(a) else a for a in leaves])
        start = others[2] if swept else scale * others[2]
        return simulate(scaled, *others[:2], start, key, rounds=4, every=2, metrics=named((loss, consensus)))

    keys = jax.random.key(7) if paired else jax.random.split(jax.random.key(7), CELLS)
    return one, (jnp.linspace(0.8, 1.0, CELLS), keys), (0, None if paired else 0)


@pytest.mark.thinned(9)
@pytest.mark.parametrize("paired", [True, False], ids=["one key", "own keys"])
@pytest.mark.parametrize("case", CASES + OTHERS, ids=lambda case: case.name)
def test_every_program_of_the_battery_is_that_of_vmap_and_nothing_falls_back(case, paired):
    one, args, axes = program(case.algorithm, case.network, quadratic(0.5), paired=paired)
    left = []
    found = jax.jit(lastmap(one, axes, fell_back=left.append))(*args)
    assert not left
    same(found, jax.jit(jax.vmap(one, axes))(*args), rtol=1e-8)


DIGITS = data.digits()
CLASSES = data.iid(DIGITS, n=N)
HALVES = data.binary(DIGITS, positive=range(5))
GOSSIP, BURSTS = A.DSGD(lr=0.1), outages.GilbertElliott(0.3, 2.0)
ROWS, CLIENTS = networks.random_digraph(N, 0.2), networks.server(N)


def softmax(**how):
    return problems.softmax(DIGITS, CLASSES, batch_size=4, **how)


def events(network, speed, **how):
    return networks.asynchronous(network, speed=speed, **how)


PROGRAMS = {
    "softmax, minibatches": (GOSSIP, softmax(), UNDIRECTED),
    "softmax, other minibatches": (GOSSIP, softmax(sampling="subset"), UNDIRECTED),
    "softmax, epochs": (GOSSIP, softmax(sampling="epochs"), UNDIRECTED),
    "logistic": (GOSSIP, problems.logistic(HALVES, CLASSES, l2=0.1), networks.torus(2, 3)),
    "proximal steps by Newton": (A.RelaxedADMM(penalty=1.0), problems.logistic(HALVES, CLASSES, l2=0.1), UNDIRECTED),
    "an exponential graph": (GOSSIP, problems.quadratic(N, 20, noise=0.1), networks.exponential(N)),
    "arcs that fail": (GOSSIP, quadratic(0.5), networks.lossy(UNDIRECTED, 0.3)),
    "arcs that fail unknown to all": (A.ASYSONATA(lr=0.1), quadratic(0.5), networks.lossy(ROWS, BURSTS, "arcs")),
    "running sums": (
        A.RobustStochasticGradientPush(lr=0.1, floor=0.05),
        quadratic(0.5),
        networks.lossy(ROWS, 0.3, "arcs"),
    ),
    "pairs that fail": (
        A.AB(lr=0.1),
        quadratic(0.5),
        networks.lossy(networks.push_pull(graphs.random_digraph(N, 0.3)), 0.3, "sender"),
    ),
    "held": (A.held(GOSSIP), quadratic(0.5), networks.lossy(UNDIRECTED, BURSTS, "arcs")),
    "delayed iterates": (A.delayed(GOSSIP, delays.Uniform(1, 4, per="message")), quadratic(0.5), UNDIRECTED),
    "delayed momentum": (A.delayed(A.DSGDm(lr=0.1, momentum=0.7), 2), quadratic(0.5), UNDIRECTED),
    "delayed mass": (
        A.delayed(A.StochasticGradientPush(lr=0.1), delays.Bandwidth(bandwidth=60.0), longest=3),
        quadratic(0.5),
        ROWS,
    ),
    "nodes that sleep": (GOSSIP, quadratic(0.5), networks.sleeping(UNDIRECTED, BURSTS)),
    "nodes that sleep in turn": (GOSSIP, quadratic(0.5), networks.sleeping(UNDIRECTED, outages.Cyclic(5, 2))),
    "nodes that wake at once": (GOSSIP, quadratic(0.5), networks.sleeping(UNDIRECTED, outages.AtLeast(2, 0.5))),
    "nodes that wake now and then": (GOSSIP, quadratic(0.5), networks.sleeping(UNDIRECTED, outages.Poisson(0.5))),
    "clients that sleep": (A.SCAFFOLD(lr=0.1, local_steps=2), quadratic(0.5), networks.sleeping(CLIENTS, 0.3)),
    "clients of a cohort": (A.LocalSGD(lr=0.1, local_steps=2), softmax(), networks.server(N, cohort=2)),
    "workers of many speeds": (A.AsynchronousSGD(lr=0.1), softmax(), events(CLIENTS, clocks.LogNormal(1.0, 0.5))),
    "nodes of fixed speeds": (A.SWIFT(lr=0.1), softmax(), events(UNDIRECTED, clocks.Fixed(1.0), hears="all")),
    "matchings": (GOSSIP, quadratic(0.5), networks.random_matchings(N)),
    "one peer": (A.GradientTracking(lr=0.1), quadratic(0.5), networks.one_peer_random(N)),
    "one after another": (
        A.DSGDm(lr=0.1, momentum=0.7),
        problems.quadratic(8, 3, noise=0.5),
        networks.one_peer_exponential(8),
    ),
    "drawn graphs": (GOSSIP, quadratic(0.5), networks.random_erdos_renyi(N, 0.5)),
    "a pool": (GOSSIP, quadratic(0.5), networks.ou_equidyn(N, pool=5)),
}


@pytest.mark.thinned(9)
@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_of_other_problems_and_networks_are_those_of_vmap(name):
    method, problem, network = PROGRAMS[name]
    one, args, axes = program(method, network, problem)
    left = []
    found = jax.jit(lastmap(one, axes, fell_back=left.append))(*args)
    assert not left
    same(found, jax.jit(jax.vmap(one, axes))(*args), rtol=1e-8)


# Sweeps.


NOISY = quadratic(0.5)


def swept(path=None, problem=NOISY, cells=execute.SIDE_BY_SIDE, **change):
    how = {"over": {"lr": list(np.geomspace(1e-3, 0.3, cells))}, "seeds": 2, "rounds": 6, "every": 2}
    network = networks.ring(problem.n)
    return sweep(A.GradientTracking(lr=0.1), problem, network, store=path, progress=False, **(how | change))


@pytest.fixture
def evaluated(monkeypatch):
    """How many cells there were in programs that have them last."""
    sizes, evaluate = [], interpret.Cells.evaluate

    def counted(cells, *args):
        sizes.append(cells.size)
        return evaluate(cells, *args)

    monkeypatch.setattr(interpret.Cells, "evaluate", counted)
    jax.clear_caches()
    return sizes


def test_cells_of_a_sweep_are_last_where_that_pays(evaluated):
    swept(cells=execute.SIDE_BY_SIDE - 1)
    swept(problem=problems.quadratic(4, 100))  # elementwise, and long
    assert not evaluated
    found = swept()
    assert set(evaluated) == {execute.SIDE_BY_SIDE}
    for k, s in ((0, 1), (-1, 0)):
        alone = run(
            A.GradientTracking(lr=float(found.lr[k])), quadratic(0.5), networks.ring(N), rounds=6, every=2, seed=s
        )
        np.testing.assert_allclose(found.loss[dict(lr=k, seed=s)], alone.metrics["loss"], rtol=1e-10)


def test_what_does_not_pay_is_traced_once_and_is_that_of_vmap():
    traced = []
    f = lambda x, s: traced.append(x) or {"a": jnp.tanh(s * x), "b": s}
    x, s = jnp.arange(6.0).reshape(2, 3), jnp.asarray(0.5)
    out = {"a": 1, "b": None}
    found = lastmap(f, (1, None), out, pays=lambda size, equations: False)(x, s)
    assert len(traced) == 1
    same(found, jax.vmap(f, (1, None), out)(x, s))


def test_a_sweep_with_cells_last_goes_on_to_the_bit(tmp_path, evaluated):
    whole = swept(rounds=12)
    assert evaluated
    for rounds in (4, 8, 12):
        stored = swept(tmp_path, rounds=rounds)
    assert load(tmp_path).equals(stored)
    for name in ("loss", "consensus", "grads"):
        np.testing.assert_array_equal(stored[name], whole[name])
