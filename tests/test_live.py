"""Callbacks: they see every record once, change no bit, and stop a run where they say so."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from jaxdec import algorithms as A
from jaxdec import cli, live, networks, problems, run, sweep, tune
from jaxdec import loop as time_loop
from jaxdec.types import Cost

pytestmark = pytest.mark.sampled(3)

PROBLEM, RING = problems.quadratic(6, 3, noise=0.1), networks.ring(6)
METHOD = A.KGT(lr=0.1, local_steps=2)
LOSSY = networks.lossy(RING, 0.3)


def equal(a, b):
    """To the bit: records, costs, rounds and the last state."""
    assert a.metrics.keys() == b.metrics.keys()
    assert all(np.array_equal(a.metrics[k], b.metrics[k], equal_nan=True) for k in b.metrics)
    assert all(np.array_equal(x, y) for x, y in zip(a.cost, b.cost, strict=True))
    assert np.array_equal(a.rounds, b.rounds)
    assert all(np.array_equal(x, y) for x, y in zip(a.state, b.state, strict=True))


def gathered(seen, name):
    return np.concatenate([one.metrics[name] for one in seen], axis=2 if seen[0].metrics[name].ndim > 1 else 0)


@settings(max_examples=2, deadline=None)
@given(records=st.integers(1, 12), every=st.integers(1, 3), stretch=st.integers(1, 13))
def test_a_callback_sees_every_record_once_and_changes_no_bit(records, every, stretch):
    seen = []
    asked = {"rounds": records * every, "every": every, "metrics": ("loss", "consensus")}
    watched = run(METHOD, PROBLEM, LOSSY, callback=seen.append, callback_every=stretch * every, **asked)
    equal(watched, run(METHOD, PROBLEM, LOSSY, **asked))
    assert len(seen) == -(-records // stretch)
    assert np.array_equal(np.concatenate([one.rounds for one in seen]), watched.rounds)
    assert np.array_equal(gathered(seen, "loss"), watched.metrics["loss"])
    for name, total in zip(Cost._fields, watched.cost, strict=True):
        assert np.array_equal(np.concatenate([getattr(one.cost, name) for one in seen]), total)
    assert {one.total for one in seen} == {records * every}


def test_segments_of_equal_length_share_a_program():
    go = lambda: run(METHOD, PROBLEM, RING, rounds=30, metrics=("loss",), callback=lambda _: None, callback_every=10)
    before = time_loop._compiled._cache_size()
    go()
    assert time_loop._compiled._cache_size() - before <= 2  # the start, and ten rounds
    again = time_loop._compiled._cache_size()
    go()
    assert time_loop._compiled._cache_size() == again


def test_what_a_callback_sees_it_cannot_change():
    def spoil(seen):
        for a in (*seen.metrics.values(), *seen.cost, seen.rounds):
            with pytest.raises(ValueError, match="read-only"):
                a[...] = 0

    run(METHOD, PROBLEM, RING, rounds=4, callback=spoil)
    sweep(METHOD, PROBLEM, RING, rounds=4, seeds=2, callback=spoil)


def test_a_run_with_a_bar_is_the_same_run(capsys):
    equal(run(METHOD, PROBLEM, RING, rounds=20, progress=True), run(METHOD, PROBLEM, RING, rounds=20))
    assert "20/20 rounds" in capsys.readouterr().err


@pytest.mark.parametrize("stored", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_the_callbacks_of_a_sweep_see_every_record_of_every_run_once(tmp_path, stored):
    seen = []
    asked = {"over": {"lr": [0.05, 0.1]}, "seeds": 2, "rounds": 12, "every": 2, "metrics": ("loss",)}
    methods = [A.DSGD(lr=0.1), A.GradientTracking(lr=0.1)]
    store = {"store": tmp_path / "store"} if stored else {}
    found = sweep(methods, PROBLEM, LOSSY, callback=seen.append, callback_every=4, **store, **asked)
    assert found.drop_attrs().equals(sweep(methods, PROBLEM, LOSSY, **asked).drop_attrs())
    lines = {}
    for one in (one for part in seen for one in part.runs()):
        lines.setdefault(one.name, []).append(one)
    assert len(lines) == 8
    for parts in lines.values():
        labels = parts[0].labels
        assert labels["configuration"].startswith(f"algorithm={labels['algorithm']} lr=")
        lr = float(labels["configuration"].split()[1].removeprefix("lr="))
        there = found.sel(algorithm=labels["algorithm"], lr=lr, seed=labels["seed"])
        assert np.array_equal(np.concatenate([one.rounds for one in parts]), found["round"])
        assert np.array_equal(np.concatenate([one.metrics["loss"] for one in parts]), there.loss)
        assert np.array_equal(np.concatenate([one.cost["vectors"] for one in parts]), there.vectors)


def test_a_run_that_goes_on_begins_with_the_records_that_are_there(tmp_path):
    class Killed(Exception):
        pass

    def kill(seen):
        if seen.rounds[-1] >= 12:
            raise Killed

    asked = {"rounds": 20, "metrics": ("loss",), "checkpoint": tmp_path / "run", "callback_every": 4}
    with pytest.raises(Killed):
        run(METHOD, PROBLEM, LOSSY, callback=kill, **asked)
    seen = []
    resumed = run(METHOD, PROBLEM, LOSSY, callback=seen.append, **asked)
    assert [int(one.rounds[-1]) for one in seen] == [12, 16, 20]
    assert np.array_equal(gathered(seen, "loss"), resumed.metrics["loss"])
    equal(resumed, run(METHOD, PROBLEM, LOSSY, rounds=20, metrics=("loss",)))


def test_a_run_that_stops_is_the_beginning_of_the_one_that_does_not(tmp_path):
    asked = {"rounds": 200, "metrics": ("distance",), "seed": 3}
    exact = problems.quadratic(6, 3)
    whole = run(METHOD, exact, RING, **asked)
    stop = {"callback": live.Stop(1e-2, "distance"), "callback_every": 10}
    stopped = run(METHOD, exact, RING, **stop, **asked)
    t = int(stopped.rounds[-1])
    assert 0 < t < 200
    assert stopped.metrics["distance"].min() <= 1e-2 < stopped.metrics["distance"][:-10].min()
    assert stopped.attrs["stopped"] == "distance reached 0.01"
    assert "stopped" not in whole.attrs
    equal(stopped, run(METHOD, exact, RING, **asked | {"rounds": t}))
    kept = lambda: run(METHOD, exact, RING, checkpoint=tmp_path / "run", **stop, **asked)
    equal(kept(), stopped)
    equal(kept(), stopped)  # the same call, the same result


def test_a_run_that_diverges_stops():
    found = run(A.DSGD(lr=1e9), PROBLEM, RING, rounds=1000, callback=live.Stop(), callback_every=10)
    assert found.rounds[-1] < 200
    assert found.attrs["stopped"] == "diverged"
    assert found.attrs["diverged"] == 1


def test_more_of_an_accuracy_is_better():
    found = []
    for target in (0.5, 2.0):
        accuracy = {"accuracy": lambda problem, state: 0.7 + 0 * state.x.mean()}
        result = run(METHOD, PROBLEM, RING, rounds=20, metrics=accuracy, callback=live.Stop(target, "accuracy"))
        found.append(int(result.rounds[-1]))
    assert found == [2, 20]


def test_a_callback_that_stops_a_sweep_leaves_its_store_to_go_on_with(tmp_path):
    go = lambda **more: sweep(METHOD, PROBLEM, RING, seeds=2, rounds=8, store=tmp_path / "store", **more)
    with pytest.raises(live.Stopped, match="enough; a sweep has runs of one length"):
        go(callback=lambda seen: "enough")
    assert go().equals(go())


def test_the_callbacks_of_a_search_see_every_record_of_every_cell_and_change_none(tmp_path):
    seen = []
    over = {"lr": [0.03, 0.1], "local_steps": [1, 2]}
    asked = {"over": over, "seeds": 2, "rounds": 6, "every": 2, "budget": 8, "progress": False}
    found = tune(METHOD, PROBLEM, RING, callback=seen.append, callback_every=4, **asked)
    assert found.cells.equals(tune(METHOD, PROBLEM, RING, **asked).cells)
    ends = {}
    for one in (one for part in seen for one in part.runs()):
        ends.setdefault((one.labels["configuration"], one.labels["seed"]), []).append(one)
    assert len(ends) == found.cells.sizes["cell"] * 2
    for (configuration, seed), parts in ends.items():
        lr, K = (configuration.partition(f"{name}=")[2].split()[0] for name in ("lr", "local_steps"))
        cell = found.cells.isel(cell=(found.cells.lr == float(lr)) & (found.cells.local_steps == int(K)))
        assert np.array_equal(np.concatenate([one.metrics["loss"] for one in parts]), cell.loss.sel(seed=seed)[0])
    go = lambda **more: tune(METHOD, PROBLEM, RING, store=tmp_path, **asked, **more)
    with pytest.raises(live.Stopped, match="enough"):
        go(callback=lambda seen: "enough" if "local_steps=2" in seen.labels[0]["configuration"] else None)
    assert go().cells.equals(found.cells)


@pytest.mark.parametrize(
    ("more", "error", "said"),
    [
        ({"callback": 3}, TypeError, "callback is a function"),
        ({"callback": [print, 3]}, TypeError, "callback is a function"),
        ({"callback_every": 2}, ValueError, "callback not what"),
        ({"callback": print, "callback_every": 3, "every": 2}, ValueError, "not a multiple of every=2; take 4"),
        ({"callback": live.Stop(0.1, "accuracy")}, ValueError, "looks at 'accuracy', and recorded are"),
        ({"callback": lambda seen: 3}, TypeError, "gave 3"),
    ],
)
def test_what_is_no_callback_is_refused(more, error, said):
    for go in (run, sweep, lambda *given, **more: tune(*given, over={"lr": [0.1]}, **more)):
        with pytest.raises(error, match=said):
            go(METHOD, PROBLEM, RING, rounds=4, **more)


def test_what_would_never_stop_is_refused():
    for made in (lambda: live.Stop(diverged=False), lambda: live.Stop(float("nan"))):
        with pytest.raises(ValueError, match=r"never stop|finite"):
            made()
    asked = {"callback": print, "callback_every": 4, "checkpoint": "x", "checkpoint_every": 6}
    with pytest.raises(ValueError, match="checkpoint_every=6 is not a multiple of callback_every=4; take 8"):
        run(METHOD, PROBLEM, RING, rounds=12, **asked)


def test_every_record_is_a_line_of_json(tmp_path):
    path = tmp_path / "deep" / "run.jsonl"
    writer = live.JSONLines(path)
    each = {"loss": "loss", "size": lambda problem, state: (state.x**2).sum(1)}
    result = run(METHOD, PROBLEM, LOSSY, rounds=6, metrics=each, seed=4, callback=writer)
    run(A.DSGD(lr=1e300), PROBLEM, RING, rounds=6, metrics=("loss",), callback=writer)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["round"] for line in lines] == 2 * list(range(7))
    assert [line["loss"] for line in lines[:7]] == result.metrics["loss"].tolist()
    assert lines[3]["size"] == result.metrics["size"][3].tolist()
    assert lines[6]["lost"] == result.cost.lost[-1] > 0
    assert "lost" not in lines[7]  # nothing was
    assert lines[0] | {"algorithm": "KGT", "seed": 4} == lines[0]
    assert lines[-1]["loss"] is None
    live.JSONLines(path, append=True)
    assert len(path.read_text().splitlines()) == 14
    live.JSONLines(path)
    assert path.read_text() == ""
    with pytest.raises(OSError, match="nothing can be written"):
        live.JSONLines(path / "below")


class Fake:
    """What tensorboardX and wandb have that is used here, noting what it is told."""

    def __init__(self):
        self.told = []

    def __getattr__(self, name):
        if name in ("SummaryWriter", "init"):
            return lambda *a, **k: self.told.append((name, a, k)) or self
        return lambda *a, **k: self.told.append((name, *a, *k.values()))


def test_records_go_to_tensorboard(tmp_path, monkeypatch):
    fake = Fake()
    monkeypatch.setitem(sys.modules, "tensorboardX", fake)
    result = run(METHOD, PROBLEM, RING, rounds=4, metrics=("loss",), callback=live.TensorBoard(tmp_path))
    scalars = [told[1:] for told in fake.told if told[0] == "add_scalar" and told[1] == "loss"]
    assert scalars == [("loss", v, t) for t, v in enumerate(result.metrics["loss"].tolist())]
    assert fake.told[0] == ("SummaryWriter", (str(tmp_path / "KGT seed=0"),), {})
    assert ("add_scalar", "cost/vectors", 8.0, 4) in fake.told
    assert fake.told[-1] == ("close",)


def test_the_files_of_tensorboard_are_there(tmp_path):
    pytest.importorskip("tensorboardX", reason="needs the extra `tensorboard`")
    sizes = {"size": lambda problem, state: (state.x**2).sum(1)}
    asked = {"over": {"lr": [0.1, 0.2]}, "seeds": 2, "rounds": 4, "metrics": sizes}
    sweep(METHOD, PROBLEM, RING, callback=live.TensorBoard(tmp_path), **asked)
    files = list(tmp_path.glob("*/events*"))
    assert len(files) == 4
    assert all(file.stat().st_size > 500 for file in files)


def test_records_go_to_weights_and_biases(monkeypatch):
    fake = Fake()
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=fake.init))
    board = live.WeightsAndBiases(project="test", mode="offline")
    result = run(METHOD, PROBLEM, RING, rounds=4, metrics=("loss",), callback=board)
    begun = fake.told[0][2]
    assert begun["config"] == {"algorithm": "KGT", "problem": "Quadratic", "network": "Static", "seed": 0}
    assert begun | {"name": "KGT seed=0", "project": "test", "mode": "offline"} == begun
    logged = [told for told in fake.told if told[0] == "log"]
    assert [(told[1]["loss"], told[2]) for told in logged] == [(v, t) for t, v in enumerate(result.metrics["loss"])]
    assert fake.told[-1] == ("finish",)


def test_without_its_package_an_adapter_says_what_to_install(monkeypatch, tmp_path):
    for package, make in (("tensorboardX", lambda: live.TensorBoard(tmp_path)), ("wandb", live.WeightsAndBiases)):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(ImportError, match=rf"needs {package}; install it with pip install \"jaxdec\["):
            make()


def test_the_command_writes_a_line_for_each_record_of_each_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "spec.toml").write_text(
        "rounds = 4\nevery = 2\nseeds = 2\nover.lr = [0.1, 0.2]\n[algorithms.DSGD]\nlr = 0.1\n"
        '[problem]\ntype = "quadratic"\nn = 4\nd = 2\n[network]\ntype = "ring"\nn = 4\n'
    )
    found = CliRunner().invoke(cli.app, ["sweep", "spec.toml", "--log", "run.jsonl", "--x64"])
    assert found.exit_code == 0, found.output
    lines = [json.loads(line) for line in (tmp_path / "run.jsonl").read_text().splitlines()]
    assert {(line["configuration"], line["seed"]) for line in lines} == {
        (f"algorithm=DSGD lr={lr} network=Static problem=Quadratic", seed) for lr in (0.1, 0.2) for seed in (0, 1)
    }
    assert len(lines) == 12
