"""Sweeps and runs that are killed, alone and with others: they end as if undisturbed."""

import json
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from stores import GRID, PROBLEM, RING, contents, one_seed_in_a_unit

__all__ = ["one_seed_in_a_unit"]  # a fixture of all tests here

from jaxdec import algorithms as A
from jaxdec import run, sweep
from jaxdec.metrics import consensus
from jaxdec.storage import segments
from jaxdec.sweeps import load

CHILD = """
import sys, jax
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_compilation_cache_dir", sys.argv[2])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
from jaxdec import algorithms, networks, problems, sweep
from jaxdec.metrics import consensus
from jaxdec.sweeps import execute
from jaxdec.sweeps.store import Store
execute.CPU_FULL = 0
write = Store.write
def logged(self, unit, *what):
    write(self, unit, *what)
    with open(sys.argv[1] + ".log", "a") as log:
        log.write(f"{unit}\\n")
Store.write = logged
sweep(algorithms.DSGD(lr=0.1), problems.quadratic(6, 3, noise=0.2), networks.ring(6),
      over={"lr": [0.05, 0.1, 0.15, 0.2, 0.25]}, chunk=2, seeds=SEEDS, rounds=40, every=20, metrics=(consensus,),
      store=sys.argv[1])
"""


def kill_and_resume(path, kills, seeds):
    """Kill a stored sweep with SIGKILL at random moments, as often, each time after it has stored something new."""
    rng = random.Random(kills)
    command = [sys.executable, "-c", CHILD.replace("SEEDS", str(seeds)), str(path / "store"), str(path / "cache")]
    marks = lambda: len(list((path / "store/done").glob("*.json"))) if (path / "store/done").exists() else 0
    for k in range(kills):
        begun, target = marks(), 3 * seeds * (k + 1) // (kills + 2)
        child = subprocess.Popen(command)
        while child.poll() is None and marks() <= max(begun, target):
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.02))
        assert child.poll() is None, "it had ended before it was killed: give it more seeds"
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert load(path / "store").attrs["runs_done"] < 5 * seeds
    finish = lambda name: sweep(
        A.DSGD(lr=0.1), PROBLEM, RING, over={"lr": GRID}, chunk=2, seeds=seeds, rounds=40, every=20,
        metrics=(consensus,), store=path / name,
    )  # fmt: skip
    assert finish("store").equals(finish("undisturbed"))
    assert contents(path / "store/data.zarr") == contents(path / "undisturbed/data.zarr")


@pytest.mark.slow
def test_a_sweep_that_is_killed_three_times_ends_as_if_undisturbed(tmp_path):
    kill_and_resume(tmp_path, kills=3, seeds=50)


@pytest.mark.slow
def test_a_sweep_that_is_killed_twenty_times_ends_as_if_undisturbed(tmp_path):
    kill_and_resume(tmp_path, kills=20, seeds=400)


def kill_among_two(path, kills, seeds):
    """Two processes on one store, of which one after another is killed at a random moment and replaced."""
    rng = random.Random(kills)
    command = [sys.executable, "-c", CHILD.replace("SEEDS", str(seeds)), str(path / "store"), str(path / "cache")]
    marks = lambda: len(list((path / "store/done").glob("*.json"))) if (path / "store/done").exists() else 0
    children = [subprocess.Popen(command) for _ in range(2)]
    for k in range(kills):
        target = max(marks() + 1, 3 * seeds * (k + 1) // (kills + 2))
        while marks() < target and all(child.poll() is None for child in children):
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.02))
        which = rng.randrange(2)
        assert children[which].poll() is None, "it had ended before it was killed: give it more seeds"
        children[which].send_signal(signal.SIGKILL)
        children[which].wait()
        children[which] = subprocess.Popen(command)
    assert [child.wait() for child in children] == [0, 0]
    ran = (path / "store.log").read_text().splitlines()
    assert len(ran) == len(set(ran))  # each unit was stored once
    assert len(ran) >= 3 * seeds - kills  # a kill may come between a unit and its line here
    assert not list((path / "store/claims").iterdir())
    assert not list((path / "store").rglob("*.tmp"))
    whole = sweep(
        A.DSGD(lr=0.1), PROBLEM, RING, over={"lr": GRID}, chunk=2, seeds=seeds, rounds=40, every=20,
        metrics=(consensus,), store=path / "undisturbed",
    )  # fmt: skip
    assert load(path / "store").equals(whole)
    assert contents(path / "store/data.zarr") == contents(path / "undisturbed/data.zarr")


def test_two_processes_of_which_some_are_killed_share_a_store_and_end_as_if_undisturbed(tmp_path):
    kill_among_two(tmp_path, kills=2, seeds=40)


@pytest.mark.slow
def test_two_processes_of_which_twenty_are_killed_share_a_store_and_end_as_if_undisturbed(tmp_path):
    kill_among_two(tmp_path, kills=20, seeds=600)


LONG = """
import sys, jax
jax.config.update("jax_enable_x64", True)
from jaxdec import algorithms, networks, problems, run, sweep
from jaxdec.metrics import consensus
from jaxdec.sweeps import partial
partial.PATIENCE = 0.0
path, which = sys.argv[1:]
given = algorithms.DSGD(lr=0.1), problems.quadratic(6, 3, noise=0.2), networks.ring(6)
asked = {"rounds": 2_000_000, "every": 1000, "metrics": (consensus,)}
if which == "run":
    run(*given, checkpoint=path, checkpoint_every=2000, **asked)
else:
    sweep(*given, over={"lr": [0.05, 0.1]}, seeds=1, store=path, **asked)
"""


@pytest.mark.parametrize("which", ["run", "sweep"])
@pytest.mark.thinned(2)
def test_a_kill_in_the_midst_of_a_long_unit_loses_its_segment_alone(tmp_path, which):
    """What was kept is compared with a shorter run, since the child's rounds would take too long."""
    child = subprocess.Popen([sys.executable, "-c", LONG, str(tmp_path), which])
    where = tmp_path if which == "run" else tmp_path / "partial/0.0.0.0"
    while child.poll() is None and not (where / "done/1.json").exists():
        time.sleep(0.001)
    assert child.poll() is None, "it had ended before it was killed: give it more rounds"
    child.send_signal(signal.SIGKILL)
    child.wait()
    about = json.loads((where / "run.json").read_text())["run"]
    kept = segments.Segments(where, about).last()
    assert kept.t >= (4000 if which == "run" else 400_000)
    given, arguments = (A.DSGD(lr=0.1), PROBLEM, RING), {"every": 1000, "metrics": (consensus,)}
    if which == "run":
        arguments |= {"rounds": kept.t + 2000}
        found = run(*given, checkpoint=tmp_path, **arguments)
        np.testing.assert_array_equal(found.metrics["consensus"], run(*given, **arguments).metrics["consensus"])
    else:
        alone = sweep(*given, over={"lr": [0.05, 0.1]}, seeds=1, rounds=kept.t, **arguments)
        np.testing.assert_array_equal(kept.records["consensus"][0], alone.consensus.isel(seed=0))
