"""Sweeps: cells, programs, common random numbers, divergence, and the labelled result."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdec import algorithms as A
from jaxdec import data, networks, problems, run, sweep
from jaxdec.metrics import consensus, loss, named
from jaxdec.results import best, diverged
from jaxdec.sweeps import axes, devices, execute, load, log_uniform, plan, uniform

pytestmark = pytest.mark.sampled(12)

PROBLEM, RING = problems.quadratic(6, 3, noise=0.2), networks.ring(6)
CLOSE = {"rtol": 0, "atol": 1e-12}


def test_dimensions_are_named_after_what_is_swept():
    results = sweep(
        {"plain": A.LocalDSGD(lr=0.1, local_steps=1), "tracked": A.KGT(lr=0.1, local_steps=1)},
        PROBLEM,
        [RING, networks.complete(6)][:1],
        over={"local_steps": [1, 2], "lr": [0.05, 0.1, 0.2]},
        seeds=[4, 9],
        rounds=6,
        every=3,
        progress=False,
    )
    assert dict(results.sizes) == {"algorithm": 2, "network": 1, "local_steps": 2, "lr": 3, "seed": 2, "round": 3}
    assert results.attrs["programs"] == 4  # two algorithms by two numbers of local steps
    assert results.grads.dims == ("algorithm", "network", "local_steps", "lr", "round")
    for label, make in (("plain", A.LocalDSGD), ("tracked", A.KGT)):
        alone = run(make(lr=0.1, local_steps=2), PROBLEM, RING, rounds=6, every=3, seed=9)
        cell = results.sel(algorithm=label, local_steps=2, lr=0.1, seed=9).squeeze("network")
        for name, values in alone.metrics.items():
            np.testing.assert_allclose(cell[name], values, **CLOSE)
        np.testing.assert_array_equal(cell.grads, alone.cost.grads)
        np.testing.assert_array_equal(cell.bits, alone.cost.bits)


def test_a_grid_of_step_sizes_and_seeds_costs_one_trace(monkeypatch):
    traces = counted(monkeypatch)
    for grid in ([0.01, 0.02, 0.03, 0.04, 0.05], [1, 2, 3, 4, 5]):
        sweep(A.DSGD(lr=0.1), PROBLEM, RING, over={"lr": grid}, seeds=3, rounds=2)
    assert len(traces) == 1


def counted(monkeypatch):
    """A list that grows with each trace of an experiment."""
    traces, simulate = [], execute.simulate
    monkeypatch.setattr(execute, "simulate", lambda *a, **k: traces.append(a) or simulate(*a, **k))
    return traces


def test_what_cells_share_is_checked_and_its_start_traced_once(monkeypatch):
    kind, checked, traced = problems.Quadratic, [], []
    check, init = kind.check, kind.init
    monkeypatch.setattr(kind, "check", lambda p: checked.append(p) or check(p))
    monkeypatch.setattr(kind, "init", lambda p, key: traced.append(p) or init(p, key))
    problem, both = problems.quadratic(6, 4), {"ring": RING, "complete": networks.complete(6)}
    for swept in ({"lr": np.geomspace(1e-3, 1e-2, 20)}, {"lr": [0.1, 0.2], "network": both}):
        sweep(A.DSGD(lr=0.1), problem, swept.pop("network", RING), over=swept, seeds=1, rounds=1)
    assert len(checked) == 1 + 2  # with each network
    runs = [run(A.DSGD(lr=0.1), problem, RING, rounds=1, seed=seed) and len(traced) for seed in range(3)]
    assert runs[0] == runs[1] == runs[2] > 0


@pytest.mark.parametrize("wrong", [-1.0, 0.0, np.nan, np.inf, True, "0.1", 1j, 1e-60, 1e60])
def test_a_cell_with_a_wrong_value_says_what_a_run_says(wrong):
    over = [0.1 + 0.01 * k for k in range(20)]
    x0 = np.zeros(3, np.float32)
    with pytest.raises(ValueError, match=r"lr") as alone:
        run(A.DSGD(lr=wrong), PROBLEM, RING, rounds=1, x0=x0)
    for place in (0, 7, 19):
        values = [*over[:place], wrong, *over[place:]]
        with pytest.raises(ValueError, match=r"lr") as among:
            sweep(A.DSGD(lr=0.1), PROBLEM, RING, over={"lr": values}, seeds=1, rounds=1, x0=x0)
        assert str(among.value) == str(alone.value)


def test_all_configurations_of_a_seed_see_the_same_noise_unless_they_are_to_be_independent():
    arguments = {"over": {"lr": [0.1, 0.1, 0.1]}, "seeds": 1, "rounds": 3}
    paired = sweep(A.DSGD(lr=0.1), PROBLEM, RING, **arguments).distance.isel(seed=0, round=-1)
    independent = sweep(A.DSGD(lr=0.1), PROBLEM, RING, paired=False, **arguments).distance.isel(seed=0, round=-1)
    assert len(np.unique(paired)) == 1
    assert len(np.unique(independent)) == 3


def test_what_configurations_share_is_not_batched_over_them():
    """The minibatch gather and the random bits of a seed are made once, whatever the number of configurations."""
    digits = data.digits()
    problem = problems.softmax(digits, data.iid(digits, n=4), batch_size=5)

    (group,) = grouped(A.DSGD(lr=0.1), problem, networks.ring(4), {"lr": [0.1 * (k + 1) for k in range(13)]})
    horizon = execute.Horizon(2, 1, named((consensus,)), True, False)
    keys = jax.random.key_data(jax.random.split(jax.random.key(0), 1))
    static = {"structure": group.structure, "batched": group.batched, "horizon": horizon, "mesh": None, "shared": True}
    static |= {"d": None}  # cells are first
    text = execute._grid.lower(group.leaves(range(13)), np.zeros(13, np.uint32), keys, None, **static).as_text()
    assert "13x4x650" in text  # the iterates of all cells
    assert "13x4x5xui32" not in text  # but one draw of random bits
    assert "13x4x5x65" not in text  # and one gather of inputs
    assert "4x5x65" in text


def mixings(jaxpr, inside=False):
    """How many products with a (6, 6) matrix a program has: outside of its branches, and in them."""
    found = np.zeros(2, int)
    for eqn in jaxpr.eqns:
        shapes = [v.aval.shape for v in eqn.invars if hasattr(v, "aval")]
        found[int(inside)] += eqn.primitive.name == "dot_general" and (6, 6) in [s[-2:] for s in shapes]
        for given in jax.tree.leaves(tuple(eqn.params.values()), is_leaf=lambda a: hasattr(a, "jaxpr")):
            inner = getattr(given, "jaxpr", given)
            if hasattr(inner, "eqns"):
                found += mixings(inner, inside or eqn.primitive.name == "cond")
    return found


def test_the_local_rounds_of_proxskip_cost_no_gossip_where_a_call_runs_one_seed():
    """Mapped over seeds, whose coins differ, a branch becomes a choice between what both sides compute."""
    method = A.ProxSkip(lr=0.1, probability=0.3, consensus_lr=0.5)
    network = networks.static(RING.W.dense(), form="dense")
    (group,) = grouped(method, PROBLEM, network, {"lr": [0.05, 0.1, 0.2]})
    programs = {}
    for seeds in (1, 2):
        engine = execute.Engine(group, range(seeds), True, devices.mesh(1))
        horizon = execute.Horizon(6, 1, named((consensus,)), True, True)
        keys = np.stack([execute.seed_data(seed) for seed in range(seeds)])
        programs[seeds] = execute._grid.trace(
            group.leaves(range(3)), engine.folds, keys, None, **engine._static(horizon)
        )
    one, two = (programs[seeds].lower().as_text().count("stablehlo.case") for seeds in (1, 2))
    assert one == two + 1  # the coin's, besides whether there is noise
    np.testing.assert_array_equal(mixings(programs[1].jaxpr.jaxpr), [0, 1])
    np.testing.assert_array_equal(mixings(programs[2].jaxpr.jaxpr), [1, 0])
    arguments = {"rounds": 60, "metrics": (loss, consensus), "progress": False}
    one, two = (sweep(method, PROBLEM, network, over={"lr": [0.05, 0.1, 0.2]}, seeds=k, **arguments) for k in (1, 2))
    alone = run(method, PROBLEM, network, rounds=60, metrics=(loss, consensus))
    np.testing.assert_allclose(one.loss.sel(lr=0.1, seed=0), alone.metrics["loss"], **CLOSE)
    np.testing.assert_array_equal(one.vectors, np.tile(alone.cost.vectors, (3, 1)))
    np.testing.assert_array_equal(two.vectors.sel(seed=0), one.vectors)


def drift(problem, state, world):
    """Each node's distance to the mean: (n,); and how many nodes take part, which the world knows."""
    share = 1.0 if world.active is None else jnp.mean(world.active)
    return {"drift": jnp.linalg.norm(state.x - state.x.mean(axis=0, keepdims=True), axis=1), "awake": share}


def test_a_number_for_each_node_becomes_the_dimension_node(tmp_path):
    arguments = {"seeds": 2, "rounds": 6, "every": 3, "metrics": [drift, "loss"], "progress": False}
    sweeping = lambda **change: sweep(PAIR, PROBLEM, RING, over={"lr": [0.1, 0.2]}, **(arguments | change))
    results = sweeping()
    assert results.drift.dims == ("algorithm", "lr", "seed", "round", "node")
    assert results.loss.dims == ("algorithm", "lr", "seed", "round")
    assert dict(results.sizes)["node"] == 6
    alone = run(A.DSGD(lr=0.2), PROBLEM, RING, rounds=6, every=3, seed=1, metrics=[drift, "loss"]).to_xarray()
    assert alone.drift.dims == ("round", "node")
    np.testing.assert_allclose(results.drift.sel(algorithm="DSGD", lr=0.2, seed=1), alone.drift, **CLOSE)
    np.testing.assert_array_equal(alone.awake, 1)
    assert sweeping(store=tmp_path / "a").equals(results)
    assert sweeping(store=tmp_path / "a", rounds=12).equals(sweeping(rounds=12))
    for_nodes_alone = sweeping(metrics={"mine": lambda problem, state: problem.loss(state.x)})
    assert for_nodes_alone.attrs["diverged"] == 0


def grouped(algorithms, problem, network, over, **horizon):
    dimensions, known = axes.axes(algorithms, problem, network, over), axes.objects(algorithms, problem, network)
    return plan.groups(plan.cells(known, dimensions, None, rounds=2, every=1))


def test_a_cell_that_diverges_leaves_its_neighbours_untouched():
    # From the minimum, which is the default start here, noise would lead away from it.
    arguments = {"seeds": 2, "rounds": 400, "every": 100, "x0": np.ones(3)}
    calm = sweep(A.DSGD(lr=0.1), PROBLEM, RING, over={"lr": [0.1, 0.2]}, **arguments)
    wild = sweep(A.DSGD(lr=0.1), PROBLEM, RING, over={"lr": [0.1, 90.0]}, **arguments)
    np.testing.assert_allclose(wild.loss.sel(lr=0.1), calm.loss.sel(lr=0.1), **CLOSE)
    lost = diverged(wild)
    assert lost.sel(lr=90.0).all()
    assert not lost.sel(lr=0.1).any()
    assert wild.attrs["diverged"] == int(lost.sum())


def test_the_best_cell_has_the_best_median_and_diverged_cells_never_win():
    results = sweep(
        [A.DSGD(lr=0.1), A.GradientTracking(lr=0.1)], PROBLEM, RING,
        over={"lr": [1e-4, 0.2, 90.0]}, seeds=3, rounds=300, every=100,
    )  # fmt: skip
    chosen = best(results)
    assert chosen.lr.dims == ("algorithm",)
    np.testing.assert_array_equal(chosen.lr, [0.2, 0.2])
    np.testing.assert_array_equal(chosen.loss, results.loss.sel(lr=0.2))


def test_problems_and_networks_can_be_swept_too():
    results = sweep(
        A.GradientTracking(lr=0.1),
        {f"zeta={z}": problems.quadratic(6, 3, zeta=z) for z in (0.0, 1.0)},
        {"ring": RING, "complete": networks.complete(6)},
        seeds=1,
        rounds=10,
    )
    assert dict(results.sizes) == {"problem": 2, "network": 2, "seed": 1, "round": 11}
    assert results.attrs["programs"] == 2  # the two problems differ in numbers, the two networks in form
    alone = run(A.GradientTracking(lr=0.1), problems.quadratic(6, 3, zeta=1.0), RING, rounds=10)
    np.testing.assert_allclose(
        results.loss.sel(problem="zeta=1.0", network="ring").isel(seed=0), alone.metrics["loss"], **CLOSE
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"over": {("lr", "form"): [(0.1,)]}}, "a list of 2 values each"),
        ({"over": {"lr": [0.1], ("lr", "form"): [(0.1, "atc")]}}, "'lr' is the name of another dimension too"),
        ({"over": {"DSGDM.lr": [1.0]}}, "DSGD has no field 'DSGDM' to sweep.*Is it of DSGD"),
        ({"over": {"problem.noises": [1.0]}}, "Quadratic has no field 'noises' to sweep; did you mean 'noise'"),
        ({"over": {"lr": {"KGT": [0.1]}}}, "there is no algorithm 'KGT'; there are DSGD"),
        ({"algorithms": [A.DSGD(0.1), A.KGT(0.1, 2)], "over": {"lr": {"KGT": [0.1]}}}, "no values for DSGD"),
        (
            {"algorithms": [A.DSGD(0.1), A.KGT(0.1, 2)], "over": {"local_steps": [1]}},
            "DSGD has no field 'local_steps'.*KGT would have it: sweep 'KGT.local_steps'",
        ),
        ({"over": []}, "over is a mapping of fields to values, or a list of such mappings"),
        ({"chunk": 0}, "chunk is an integer of at least 1; got 0"),
        ({"memory": "2 gigs"}, "a text such as '2GB'; got '2 gigs'"),
        ({"devices": 0}, "devices=0, but there are"),
        ({"over": {"le": [1.0]}}, "DSGD has no field 'le' to sweep; did you mean 'lr'.*fields are lr, form"),
        ({"over": {"lr.start": [1.0]}}, "float has no field 'start'"),
        ({"over": {"lr": [0.1, -1.0]}}, "DSGD.lr is a step size, which is positive and finite; got -1.0"),
        ({"over": {"lr": []}}, r"over\['lr'\] is a list of values to sweep; got \[\]"),
        ({"over": {"lr": 0.1}}, "is a list of values"),
        ({"over": {"form": "atc"}}, "is a list of values"),
        ({"seeds": 0}, "seeds is an integer of at least 1; got 0"),
        ({"seeds": [1, 1]}, "a list of different ones"),
        ({"algorithms": [A.DSGD(lr=0.1), A.DSGD(lr=0.2)]}, "two algorithms are called DSGD; give a mapping"),
        ({"algorithms": []}, "at least one algorithm"),
        ({"networks": networks.ring(4)}, "problem has 6 nodes and the network 4"),
        ({"rounds": 7, "every": 2}, "not a multiple"),
        ({"metrics": ["los"]}, "a metric's name is one of .*'loss'.*; got 'los'"),
        ({"metrics": {"x": lambda p, s: s.x}}, r"the metric 'x' gives an array of shape \(6, 3\); .* \(n,\) = \(6,\)"),
        ({"metrics": {"lr": loss}, "over": {"lr": [0.1]}}, "a metric cannot be called 'lr'"),
        ({"metrics": {"lr_form": loss}, "over": {("lr", "form"): [(0.1, "atc")]}}, "cannot be called 'lr_form'"),
        ({"metrics": {"a/b": loss}, "store": "nowhere"}, "is named as a file can be; got 'a/b'"),
    ],
)
def test_a_sweep_that_makes_no_sense_is_refused_before_anything_is_compiled(change, message, monkeypatch):
    arguments = {"algorithms": A.DSGD(lr=0.1), "problems": PROBLEM, "networks": RING, "rounds": 2} | change
    traces = counted(monkeypatch)
    with pytest.raises(ValueError, match=message):
        sweep(**arguments)
    assert not traces


def test_broken_laws_are_warned_of_and_recorded_where_that_is_asked_for(tmp_path):
    cycle = networks.static(np.eye(6) / 2 + np.roll(np.eye(6), 1, axis=1) / 2)
    given = {"EXTRA": A.EXTRA(lr=0.05), "DSGD": A.DSGD(lr=0.05)}, PROBLEM, {"cycle": cycle}
    with pytest.raises(ValueError, match="EXTRA needs a symmetric W"):
        sweep(*given, **SHORT)
    with pytest.warns(UserWarning, match="EXTRA runs without a symmetric W"):
        results = sweep(*given, strict=False, store=tmp_path, **SHORT)
    assert results.attrs["broken_laws"] == "EXTRA on cycle: symmetric"
    assert json.loads(results.attrs["specification"])["broken_laws"] == {"EXTRA on cycle": ["symmetric"]}
    assert load(tmp_path).attrs["broken_laws"] == results.attrs["broken_laws"]
    assert sweep(PAIR, PROBLEM, RING, **SHORT).attrs["broken_laws"] == ""


SHORT = {"seeds": 2, "rounds": 6, "every": 3, "metrics": (loss, consensus), "progress": False}
PAIR = {"DSGD": A.DSGD(lr=0.1), "KGT": A.KGT(lr=0.1, local_steps=1)}


def equal_to_its_run(cell, algorithm, problem=PROBLEM, network=RING):
    seed = int(cell.seed)
    alone = run(algorithm, problem, network, rounds=6, every=3, metrics=(loss, consensus), seed=seed)
    for name, values in alone.metrics.items():
        np.testing.assert_allclose(cell[name], values, rtol=1e-12, atol=0)
    np.testing.assert_array_equal(cell.grads, alone.cost.grads)


def test_each_algorithm_may_have_its_own_grid_and_fields_and_problems_are_swept_by_their_prefix(monkeypatch):
    traces = counted(monkeypatch)
    over = {
        "lr": {"DSGD": [0.1, 0.2, 0.3], "KGT": [0.05, 0.15]},
        "KGT.local_steps": [1, 2],
        "problem.noise": [0.0, 0.2],
    }
    results = sweep(PAIR, PROBLEM, RING, over=over, **SHORT)
    assert results.attrs["programs"] == len(traces) == 3
    assert results.attrs["runs"] == results.attrs["runs_done"] == 2 * (3 * 2 + 2 * 2 * 2)  # DSGD has no local steps
    assert results.lr.dims == ("algorithm", "lr")
    np.testing.assert_array_equal(results.lr, [[0.1, 0.2, 0.3], [0.05, 0.15, np.nan]])
    np.testing.assert_array_equal(results.done.all(["KGT.local_steps", "problem.noise", "seed"]), ~np.isnan(results.lr))
    plain, tracked = results.sel(algorithm="DSGD"), results.sel(algorithm="KGT")
    np.testing.assert_array_equal(*(plain.loss.sel({"KGT.local_steps": k}) for k in (1, 2)))
    where = {"KGT.local_steps": 2, "problem.noise": 0.2, "seed": 1}
    equal_to_its_run(tracked.isel(lr=1).sel(where), A.KGT(lr=0.15, local_steps=2))
    equal_to_its_run(plain.isel(lr=2).sel(where), A.DSGD(lr=0.3))
    chosen = best(results)
    assert set(chosen.lr.values) <= {0.1, 0.2, 0.3, 0.05, 0.15}


def test_fields_may_be_zipped_or_come_as_a_list_of_configurations():
    noisy = problems.quadratic(6, 3, noise=0.5)
    zipped = sweep(PAIR["DSGD"], PROBLEM, RING, over={("lr", "problem.noise"): [(0.1, 0.2), (0.3, 0.5)]}, **SHORT)
    listed = sweep(PAIR["DSGD"], PROBLEM, RING, over=[{"lr": 0.1}, {"lr": 0.3, "problem.noise": 0.5}], **SHORT)
    assert zipped.loss.dims == ("lr_problem.noise", "seed", "round")
    assert listed.loss.dims == ("config", "seed", "round")
    np.testing.assert_array_equal(listed["problem.noise"], [np.nan, 0.5])
    np.testing.assert_array_equal(zipped.loss, listed.loss)
    equal_to_its_run(listed.isel(config=1, seed=1), A.DSGD(lr=0.3), noisy)
    objects = sweep(PAIR["DSGD"], PROBLEM, RING, over={"lr": list(map(float, uniform(0.1, 0.2, 2)))}, **SHORT)
    assert objects.sizes["lr"] == 2


@pytest.mark.parametrize("paired", [True, False])
def test_no_result_depends_on_the_order_of_algorithms_values_or_seeds_nor_on_the_chunk(paired):
    grid = [0.05, 0.1, 0.15, 0.2, 0.25]
    ahead = sweep(PAIR, PROBLEM, RING, over={"lr": grid}, paired=paired, **SHORT)
    back = dict(reversed(PAIR.items()))
    behind = sweep(back, PROBLEM, RING, over={"lr": grid[::-1]}, paired=paired, **(SHORT | {"seeds": [1, 0]}))
    assert ahead.equals(behind.sel(algorithm=["DSGD", "KGT"], lr=grid, seed=[0, 1]))
    for chunk in (2, 3) if paired else (2,):
        chunked = sweep(PAIR["KGT"], PROBLEM, RING, over={"lr": grid}, chunk=chunk, paired=paired, **SHORT)
        if paired:  # a cell's independent draws go by its name, of which the label of its algorithm is a part
            np.testing.assert_allclose(chunked.loss, ahead.loss.sel(algorithm="KGT"), rtol=1e-12)


def test_networks_of_one_form_share_a_program_and_equal_their_single_runs():
    given = {
        "path": networks.path(8), "star": networks.star(8), "tree": networks.tree(8), "cycle with chords": CHORDS,
        "dense": networks.static(CHORDS.W.dense(), form="dense"),
        "denser": networks.static(networks.star(8).W.dense(), form="dense"),
    }  # fmt: skip
    problem = problems.quadratic(8, 3)
    results = sweep(PAIR["DSGD"], problem, given, **SHORT)
    assert results.attrs["programs"] == 2
    for label in ("star", "dense"):
        equal_to_its_run(results.sel(network=label, seed=1), PAIR["DSGD"], problem, given[label])


CHORDS = networks.small_world(8, 2, 0.5, seed=1)


def test_what_copies_of_a_dataset_share_is_not_stacked():
    digits = data.digits()
    given = {str(a): problems.softmax(digits, data.dirichlet(digits, n=4, alpha=a), batch_size=5) for a in (0.5, 5.0)}
    found = grouped(PAIR["DSGD"], given, networks.ring(4), {"lr": [0.1, 0.2]})
    for group in found:
        stacked = [column[0].shape for column, batched in zip(group.columns, group.batched, strict=True) if batched]
        assert all(np.prod(shape) < digits.inputs.size / 4 for shape in stacked)


def test_a_chunk_that_runs_out_of_memory_is_halved_and_run_again(monkeypatch):
    monkeypatch.setattr(execute, "CPU_FULL", 0)  # one seed after another
    arguments = {"over": {"lr": [0.05, 0.1, 0.15, 0.2, 0.25]}, **SHORT}
    whole = sweep(PAIR["DSGD"], PROBLEM, RING, **arguments)
    launch, shapes = execute.Engine._launch, []

    def limited(engine, leaves, folds, keys, since, horizon):
        shapes.append((len(folds), len(keys)))
        if len(folds) > 2:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 80000000000 bytes.")
        return launch(engine, leaves, folds, keys, since, horizon)

    monkeypatch.setattr(execute.Engine, "_launch", limited)
    found = sweep(PAIR["DSGD"], PROBLEM, RING, **arguments)
    assert shapes == [(5, 1), (3, 1), *[(2, 1)] * 6]
    np.testing.assert_allclose(found.loss, whole.loss, rtol=1e-12)
    monkeypatch.setattr(execute.Engine, "_launch", lambda *a: limited(a[0], a[1], [0] * 3, *a[3:]))
    with pytest.raises(MemoryError, match="a single run of DSGD does not fit"):
        sweep(PAIR["DSGD"], PROBLEM, RING, **arguments)


def test_chunks_are_as_large_as_the_memory_allows(monkeypatch):
    monkeypatch.setattr(execute, "CPU_FULL", 0)  # one seed after another
    (group,) = grouped(PAIR["DSGD"], PROBLEM, RING, {"lr": list(np.linspace(0.1, 0.2, 50))})
    horizon = execute.Horizon(2, 1, named((consensus,)), True, False)
    engine = execute.Engine(group, range(4), True, devices.mesh(1))
    least, most = (engine.bytes(execute.Shape(k, 1), horizon) for k in (1, 50))
    limit = (least + most) // 2
    shape = engine.fit(horizon, chunk=None, limit=limit, strict=True)
    assert 10 < shape.cells < 50
    assert engine.bytes(shape, horizon) <= limit
    assert engine.fit(horizon, chunk=None, limit=10 * most, strict=True) == (50, 1)
    with pytest.raises(ValueError, match=r"DSGD takes .* bytes on each device for 1 run at once, and memory allows"):
        engine.fit(horizon, chunk=None, limit=least - 1, strict=True)


def test_draws_are_seeded_and_within_their_limits():
    for draw in (uniform, log_uniform):
        values = np.asarray(draw(0.01, 10.0, 1000, seed=3))
        assert (values >= 0.01).all()
        assert (values <= 10).all()
        assert draw(0.01, 10.0, 5) == draw(0.01, 10.0, 5)
    assert abs(np.median(np.log10(values)) + 0.5) < 0.1
    for arguments, message in (((0.0, 1.0, 3), "positive"), ((1.0, 0.5, 3), "low < high"), ((0.1, 1.0, 0), "count")):
        with pytest.raises(ValueError, match=message):
            log_uniform(*arguments)


def test_progress_shows_runs_programs_seconds_the_best_cell_and_what_diverged(capfd, monkeypatch):
    monkeypatch.setattr(execute, "CPU_FULL", 0)  # one seed after another
    monkeypatch.setenv("COLUMNS", "200")
    sweep(PAIR["DSGD"], PROBLEM, RING, over={"lr": [0.1, 1e6]}, **(SHORT | {"rounds": 60, "progress": True}))
    shown = capfd.readouterr().err
    for part in ("4/4 runs · program 1/1 · chunk 2/2", "compiling", "running", "2 runs diverged", "240 of 240 rounds"):
        assert part in shown
    assert "best loss" in shown
    assert "lr=0.1" in shown


def test_a_number_in_place_of_a_part_is_refused_with_the_number_that_is_meant():
    lossy, late = networks.lossy(RING, 0.1), A.delayed(A.DSGD(lr=0.1), 2)
    with pytest.raises(ValueError, match=r"'network.loss' is Independent.* got 0.0: sweep 'network.loss.probability'"):
        sweep(A.DSGD(lr=0.1), PROBLEM, lossy, over={"network.loss": [0.0, 0.3]}, rounds=2)
    with pytest.raises(ValueError, match=r"'delay' is Constant.* got 1: sweep 'delay.rounds'"):
        sweep(late, PROBLEM, RING, over=[{"delay": 1}], rounds=2)
