"""Seeds that are run side by side: as many as fill a CPU, with the numbers of those run one by one."""

from dataclasses import replace

import numpy as np
import pytest

from jaxdec import algorithms as A
from jaxdec import networks, problems, sweep
from jaxdec.metrics import consensus, loss
from jaxdec.sweeps import execute, load
from jaxdec.sweeps.store import MANIFEST, Store

pytestmark = pytest.mark.sampled(12)

RING = networks.ring(4)
SMALL, LARGE = problems.quadratic(4, 2, noise=0.2), problems.quadratic(4, 4000, noise=0.2)


def go(path=None, problem=SMALL, **change):
    arguments = {"over": {"lr": [0.05, 0.1]}, "seeds": 150, "rounds": 4, "every": 2, "metrics": (loss, consensus)}
    return sweep(A.DSGD(lr=0.1), problem, RING, store=path, progress=False, **(arguments | change))


@pytest.fixture
def calls(monkeypatch):
    """The shapes of all calls, (cells, seeds)."""
    launch, shapes = execute.Engine._launch, []

    def counted(engine, leaves, folds, keys, *rest):
        shapes.append((len(folds), len(keys)))
        return launch(engine, leaves, folds, keys, *rest)

    monkeypatch.setattr(execute.Engine, "_launch", counted)
    return shapes


def test_seeds_of_small_cells_are_one_call_with_the_numbers_of_calls_one_by_one(calls, monkeypatch):
    together = go()
    assert calls == [(2, 150)]
    assert together.attrs["at_once"].startswith("2 cells by 150 seeds on ")
    monkeypatch.setattr(execute, "CPU_FULL", 0)
    alone = go()
    assert calls[1:] == [(2, 1)] * 150
    for name in ("loss", "consensus"):
        np.testing.assert_allclose(together[name], alone[name], rtol=1e-12, atol=1e-15)
    assert together.drop_vars(["loss", "consensus"]).equals(alone.drop_vars(["loss", "consensus"]))


def test_seeds_of_large_cells_are_run_one_by_one(calls):
    go(problem=LARGE, seeds=2)
    assert calls == [(2, 1)] * 2


def test_blocks_of_seeds_are_stored_by_name_and_extended_by_more_seeds(tmp_path, calls):
    stored = go(tmp_path)
    assert calls == [(2, 50)] * 3  # equal blocks of at most 64
    assert sorted(f.stem for f in (tmp_path / "done").iterdir()) == ["0.0.0.0", "0.0.0.1", "0.0.0.2"]
    more = [*range(150), 1000, 7_000_000]
    extended = go(tmp_path, seeds=more)
    assert calls[3:] == [(2, 50)]  # the new ones alone
    np.testing.assert_array_equal(extended.loss.sel(seed=range(150)), stored.loss)
    fresh = go(seeds=[1000, 7_000_000])
    np.testing.assert_allclose(extended.loss.sel(seed=[1000, 7_000_000]), fresh.loss, rtol=1e-12, atol=1e-15)
    again = go(tmp_path, seeds=[*more, 5000], rounds=6)
    assert load(tmp_path).equals(again)
    np.testing.assert_array_equal(again.loss.sel(seed=range(150))[..., :3], stored.loss)
    np.testing.assert_allclose(again.loss, go(seeds=[*more, 5000], rounds=6).loss, rtol=1e-12, atol=1e-15)


def test_a_block_is_marked_with_the_seeds_that_it_had_when_it_was_begun(tmp_path, monkeypatch):
    met, real = [], Store.write

    def extended(store, unit, *rest):
        met.append(unit)
        if unit.block == 1:  # 62 seeds where there is room for 63: another session asks for one more meanwhile
            layout = replace(store.layout, seeds=tuple(range(126)))
            with store.claims.alone(MANIFEST):
                store._save(replace(store.manifest, layout=layout))
            store.look()
        return real(store, unit, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "write", extended)
        go(tmp_path, seeds=125)
    assert [unit.block for unit in met[:2]] == [0, 1]
    found = go(tmp_path, seeds=126)
    assert np.all(np.isfinite(found.loss))
    np.testing.assert_allclose(found.loss, go(seeds=126).loss, rtol=1e-12, atol=1e-15)


def test_what_was_run_in_several_shapes_says_so(tmp_path, monkeypatch):
    go(tmp_path, seeds=4)
    assert "; " not in load(tmp_path).attrs["at_once"]
    go(tmp_path, seeds=8, chunk=1)
    assert load(tmp_path).attrs["at_once"].count("cells by") == 2
