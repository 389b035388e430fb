"""Stored sweeps and checkpointed runs: what is written is what was computed, and nothing that is written is lost."""

import errno
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
import zarr
from stores import COMPRESSED, GRID, PROBLEM, RING, contents, fail_after, go, one_seed_in_a_unit, units_run

__all__ = ["one_seed_in_a_unit"]  # a fixture of all tests here

from jaxdec import algorithms as A
from jaxdec import data, module, problems, run, sweep
from jaxdec.metrics import consensus, loss
from jaxdec.storage.files import unpack
from jaxdec.sweeps import execute, load, partial
from jaxdec.types import World

pytestmark = pytest.mark.sampled(5)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A whole sweep in a store, and the same without one."""
    path = tmp_path_factory.mktemp("whole") / "store"
    return path, go(path), go()


def test_a_store_holds_what_the_sweep_returns(stored, monkeypatch):
    path, results, unstored = stored
    assert results.equals(unstored)
    read = load(path)
    assert read.identical(results)
    assert read.attrs["programs"] == 1
    assert read.attrs["runs_done"] == read.attrs["runs"] == 10
    assert read.attrs["compile_seconds"] > 0
    blocks = units_run(monkeypatch)
    assert go(path).equals(results)
    assert not blocks


def test_any_reader_of_zarr_opens_the_data(stored):
    path, results, _ = stored
    array = zarr.open_array(path / "data.zarr/0/0/loss", mode="r")
    np.testing.assert_array_equal(array[:], results.loss.transpose("seed", "lr", "round"))
    group = xr.open_zarr(path / "data.zarr/0/0", consolidated=False)
    assert group.loss.dims == ("seed", "cell", "round")
    np.testing.assert_array_equal(group.grads, results.grads.isel(lr=0))


def test_the_manifest_says_what_was_asked_in_words(stored):
    path, _, _ = stored
    manifest = json.loads((path / "manifest.json").read_text())
    asked = manifest["specification"]
    assert asked["algorithms"] == {"DSGD": {"class": "jaxdec.algorithms.dsgd.DSGD", "lr": 0.1, "form": "atc"}}
    assert asked["problems"]["Quadratic"]["noise"] == 0.2
    assert asked["problems"]["Quadratic"]["A"]["shape"] == [6, 3]
    assert asked["over"] == {"lr": [{"lr": lr} for lr in GRID]}
    assert asked["metrics"] == {"loss": "jaxdec.metrics.loss", "consensus": "jaxdec.metrics.consensus"}
    assert manifest["groups"][0]["shape"] == [2, 1]
    assert manifest["versions"]["jax"] == jax.__version__


def test_more_seeds_and_more_rounds_extend_a_store_to_what_an_undisturbed_run_gives(tmp_path, monkeypatch):
    go(tmp_path, COMPRESSED)
    blocks = units_run(monkeypatch)
    assert go(tmp_path, COMPRESSED, seeds=3).equals(go(None, COMPRESSED, seeds=3))
    assert [list(seeds) for _, seeds in blocks[:3]] == [[2]] * 3
    blocks.clear()
    longer = go(tmp_path, COMPRESSED, seeds=3, rounds=12)
    assert len(blocks) == 9
    assert not list((tmp_path / "states").glob("0.0.*"))  # the states of round 12 have replaced those of round 6
    assert longer.equals(go(None, COMPRESSED, seeds=3, rounds=12))
    grown = go(tmp_path, COMPRESSED, seeds=[3, 0, 1, 2], rounds=18)  # a new seed runs all three stretches
    assert grown.equals(go(None, COMPRESSED, seeds=[3, 0, 1, 2], rounds=18))
    assert load(tmp_path).sel(seed=[3, 0, 1, 2]).equals(grown)


def test_the_order_in_which_things_are_named_does_not_matter(tmp_path, monkeypatch):
    pair = {"DSGD": A.DSGD(lr=0.1), "other": A.DSGD(lr=0.1)}
    results = go(tmp_path, pair)
    blocks = units_run(monkeypatch)
    turned = go(tmp_path, dict(reversed(pair.items())), over={"lr": GRID[::-1]}, seeds=[1, 0])
    assert not blocks
    assert list(turned.algorithm) == ["other", "DSGD"]
    assert turned.sel(algorithm=["DSGD", "other"], lr=GRID, seed=[0, 1]).equals(results)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"algorithms": A.DSGD(lr=0.3)}, r"algorithms.DSGD.lr is 0.1 there and 0.3 here"),
        ({"over": {"lr": [0.05]}}, r"over.lr is \[.*0.05"),
        ({"every": 2}, "every is 3 there and 2 here"),
        ({"paired": False}, "paired is true there"),
        ({"x0": np.ones(3)}, "x0 is null there and"),
        ({"metrics": (loss,)}, "metrics.consensus is .* there and .*nothing"),
        ({"seeds": 1}, "holds more than this sweep asks for: seed 1"),
        ({"rounds": 3}, "holds more than this sweep asks for: rounds up to 6"),
    ],
)
def test_a_store_refuses_another_sweep_and_says_in_what_it_differs(stored, change, message):
    path, _, _ = stored
    before = contents(path)
    with pytest.raises(ValueError, match=message):
        go(path, **change)
    assert contents(path) == before


def test_a_directory_with_other_things_in_it_is_no_store(tmp_path):
    with pytest.raises(ValueError, match="holds no sweep"):
        load(tmp_path)
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(ValueError, match="not empty and holds no sweep"):
        go(tmp_path)
    assert contents(tmp_path).keys() == {"thesis.tex"}


def test_a_store_without_states_takes_more_seeds_but_no_more_rounds(tmp_path):
    go(tmp_path, states=False)
    assert go(tmp_path, states=False, seeds=3).equals(go(seeds=3))
    assert not (tmp_path / "states").exists()
    before = contents(tmp_path)
    with pytest.raises(ValueError, match="states=False"):
        go(tmp_path, seeds=3, rounds=12)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("writes", [9, 13, 16, 19])
def test_a_full_disk_costs_the_unit_in_flight_alone(stored, tmp_path, monkeypatch, writes):
    with monkeypatch.context() as patch:
        fail_after(patch, writes, OSError(errno.ENOSPC, "No space left on device"))
        with pytest.raises(OSError, match=r"the disk is full: .* was not written. What is stored") as caught:
            go(tmp_path / "store")
    assert caught.value.errno == errno.ENOSPC
    assert not list(tmp_path.rglob("*.tmp"))
    half, whole = load(tmp_path / "store"), stored[1]
    assert half.attrs["runs_done"] < 10
    np.testing.assert_array_equal(half.done, ~np.isnan(half.loss.isel(round=-1)) if half.data_vars else half.done)
    if half.data_vars:
        assert (half.loss == whole.loss).where(half.done, True).all()
    assert go(tmp_path / "store").equals(whole)


def stopped_after(monkeypatch, launches, go):
    """Run something that is stopped when a program is launched for the n-th time, its progress being kept at once."""
    launch, begun = execute.Engine._launch, []

    def stopping(*a):
        begun.append(a)
        if len(begun) > launches:
            raise KeyboardInterrupt
        return launch(*a)

    with monkeypatch.context() as patch:
        patch.setattr(execute.Engine, "_launch", stopping)
        patch.setattr(partial, "PATIENCE", 0.0)
        with pytest.raises(KeyboardInterrupt):
            go()


def test_a_unit_that_is_stopped_goes_on_from_its_last_segment_with_one_program_for_all(tmp_path, monkeypatch):
    long = {"seeds": 1, "rounds": 42, "every": 2, "chunk": 5}  # seven segments of six rounds
    sweeping = lambda name, **change: go(tmp_path / name, COMPRESSED, **(long | change))
    traces, simulate = [], execute.simulate
    monkeypatch.setattr(execute, "simulate", lambda *a, **k: traces.append(k["rounds"]) or simulate(*a, **k))
    whole = sweeping("undisturbed")
    assert traces == [0, 6]
    assert not list((tmp_path / "undisturbed").glob("partial/*"))
    assert whole.equals(go(None, COMPRESSED, **long))
    stopped_after(monkeypatch, 4, lambda: sweeping("stopped"))  # a start and three segments
    assert load(tmp_path / "stopped").attrs["runs_done"] == 0
    since, block = [], execute.Engine.block
    monkeypatch.setattr(execute.Engine, "block", lambda self, *a: since.append(a[3][0]) or block(self, *a))
    assert sweeping("stopped").equals(whole)
    assert since == [18, 24, 30, 36]
    assert contents(tmp_path / "stopped/data.zarr") == contents(tmp_path / "undisturbed/data.zarr")
    assert not list((tmp_path / "stopped").glob("partial/*"))
    # A unit that is stopped in rounds that were asked for later goes on from there too.
    stopped_after(monkeypatch, 2, lambda: sweeping("stopped", rounds=84))
    since.clear()
    monkeypatch.setattr(execute.Engine, "block", lambda self, *a: since.append(a[3:]) or block(self, *a))
    assert sweeping("stopped", rounds=84).equals(go(None, COMPRESSED, **(long | {"rounds": 84})))
    assert since[0][0][0] == 54


def test_what_a_unit_kept_is_not_used_for_one_that_has_become_another(tmp_path, monkeypatch):
    long = {"seeds": 1, "rounds": 20, "every": 1, "chunk": 5}
    stopped_after(monkeypatch, 4, lambda: go(tmp_path, **long))
    assert list((tmp_path / "partial").glob("*"))
    assert go(tmp_path, **(long | {"seeds": [0, 1]})).equals(go(None, **(long | {"seeds": [0, 1]})))


@module
class Walking:
    """A ring whose links are up while a random walk is positive: what it remembers is drawn from its keys."""

    pace: float = 0.5
    n = 6
    provides = RING.provides

    def init(self, key):
        return {"walk": jax.random.normal(key, (6,))}

    def at(self, memory, t, key):
        walk = memory["walk"] + self.pace * jax.random.normal(key, (6,))
        W = np.roll(np.eye(6), 1, axis=1) * jnp.where(walk > 0, 1 / 3, 0)[:, None]
        W = W + W.T
        return {"walk": walk}, World(W + jnp.diag(1 - W.sum(axis=1)))


@pytest.mark.parametrize("shares", [True, False])
@pytest.mark.thinned(2)
def test_what_a_network_remembers_is_resumed_and_has_cells_only_where_the_network_is_swept(
    tmp_path, monkeypatch, shares
):
    over = {"lr": GRID[:3]} if shares else {"network.pace": [0.1, 0.5, 2.0]}
    arguments = {"over": over, "seeds": 2, "every": 1, "metrics": (loss, consensus), "chunk": 2, "progress": False}
    sweeping = lambda path, rounds: sweep(
        A.GradientTracking(lr=0.1), PROBLEM, Walking(), store=path, rounds=rounds, **arguments
    )
    whole = sweeping(None, 18)
    stopped_after(monkeypatch, 3, lambda: sweeping(tmp_path, 10))
    assert sweeping(tmp_path, 10).equals(sweeping(None, 10))
    kept = unpack((tmp_path / "states/0.0.0.0").read_bytes())["0"]
    assert kept.shape == ((1, 6) if shares else (1, 2, 6))
    assert sweeping(tmp_path, 18).equals(whole)
    alone = run(A.GradientTracking(lr=0.05 if shares else 0.1), PROBLEM, Walking(0.5 if shares else 0.1), rounds=18)
    np.testing.assert_allclose(whole.loss[0, 0], alone.metrics["loss"], rtol=1e-12)


@pytest.mark.parametrize("method", [A.GradientTracking(lr=0.1), A.MomentumTracking(lr=0.05, momentum=0.9)])
def test_a_segment_of_one_record_rounds_as_the_whole_does(tmp_path, method):
    """XLA takes a loop of one turn apart, and then rounds otherwise: here it did, by an ulp."""
    digits = data.digits()
    problem = problems.softmax(digits, data.iid(digits, n=6), batch_size=5)
    whole = run(method, problem, RING, rounds=20)
    cut = run(method, problem, RING, rounds=20, checkpoint=tmp_path, checkpoint_every=1)
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(cut), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_run_goes_on_from_its_last_checkpoint_to_the_result_of_an_undisturbed_one(tmp_path):
    method, arguments = A.KGT(lr=0.1, local_steps=2), {"every": 2, "metrics": (loss,)}
    alone = run(method, PROBLEM, RING, rounds=24, **arguments)
    first = run(method, PROBLEM, RING, rounds=8, checkpoint=tmp_path / "a", checkpoint_every=8, **arguments)
    assert first.rounds.tolist() == [0, 2, 4, 6, 8]
    again = run(method, PROBLEM, RING, rounds=24, checkpoint=tmp_path / "a", checkpoint_every=8, **arguments)
    for a, b in zip(jax.tree.leaves(alone), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(a, b)
    for change, message in (
        ({"rounds": 24, "seed": 1}, "holds checkpoints of another run.*\n  seed is 0 there and 1 here"),
        ({"rounds": 16}, "holds a checkpoint of round 24, and this run is to have 16"),
        ({"rounds": 24, "checkpoint_every": 3}, "checkpoint_every=3 is not a multiple of every=2; take 4"),
        ({"rounds": 24, "checkpoint_every": 4, "checkpoint": None}, "and checkpoint not where"),
    ):
        with pytest.raises(ValueError, match=message):
            run(method, PROBLEM, RING, **({"checkpoint": tmp_path / "a"} | arguments | change))
