"""Claims: of several processes one alone has each, and those of the dead are taken over."""

import errno
import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from stores import COMPRESSED, contents, go, one_seed_in_a_unit, units_run

__all__ = ["one_seed_in_a_unit"]  # a fixture of all tests here

from jaxdec.storage import claims, entries
from jaxdec.storage.claims import Claims
from jaxdec.storage.places import located
from jaxdec.storage.processes import ended, this
from jaxdec.sweeps import load
from jaxdec.sweeps.store import Store

DEAD = (
    "import sys; from jaxdec.storage.claims import Claims; Claims(__import__('pathlib').Path(sys.argv[1])).take('unit')"
)


def died(path, program=DEAD):
    """What a process leaves that claimed something and ended without a word."""
    subprocess.run([sys.executable, "-c", program + "; import os; os._exit(9)", str(path)], check=False)


def elsewhere(path, name="unit"):
    """A claim of a process on another machine."""
    path.mkdir(parents=True, exist_ok=True)
    file = path / f"{name}.0"
    file.write_text(json.dumps({"process": "feedfeedfeed-1-1", "host": "other", "id": "0"}))
    return file


def test_of_many_that_ask_at_once_one_alone_has_a_claim(tmp_path):
    for name in map(str, range(20)):
        asking = [Claims(tmp_path) for _ in range(8)]
        start = threading.Barrier(8)
        with ThreadPoolExecutor(8) as pool:
            got = list(pool.map(lambda c, name=name, start=start: start.wait() >= 0 and c.take(name), asking))
        assert sum(got) == 1
        assert [c.mine(name) for c in asking] == got
        asking[got.index(True)].free(name)
        assert not list(tmp_path.iterdir())
        assert asking[0].take(name)
        asking[0].free(name)


def test_a_claim_of_a_dead_process_is_taken_over_at_once_by_one_alone(tmp_path):
    died(tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    asking = [Claims(tmp_path) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda c: c.take("unit"), asking))
    assert sum(got) == 1
    assert len(list(tmp_path.iterdir())) == 1
    assert ended(f"{this().rpartition('-')[0]}-1") != ended(this())  # one of its number that began earlier


def test_what_the_dead_had_claimed_is_given_up_by_the_next_session_though_it_was_done(tmp_path):
    go(tmp_path)
    died(tmp_path / "claims")
    kept = elsewhere(tmp_path / "claims", "0.0.0.0")
    go(tmp_path)
    assert list((tmp_path / "claims").iterdir()) == [kept]


def test_a_claim_from_elsewhere_holds_while_it_is_touched_and_no_longer(tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "STALE", 0.2)
    file, ours = elsewhere(tmp_path), Claims(tmp_path)
    for k in range(4):
        os.utime(file, (k, k))  # its clock may be wrong
        assert not ours.take("unit")
        time.sleep(0.1)
    time.sleep(0.3)
    assert ours.take("unit")
    assert ours.mine("unit")


def test_a_claim_is_touched_while_it_is_held_and_not_afterwards(tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "BEAT", 0.01)
    ours = Claims(tmp_path)
    assert ours.take("unit")
    file = next(tmp_path.iterdir())
    os.utime(file, (0, 0))
    time.sleep(0.3)
    assert file.stat().st_mtime > 0
    ours.free_all()
    assert not list(tmp_path.iterdir())


def test_who_slept_and_lost_a_claim_knows_it_and_leaves_that_of_the_other_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "BEAT", 1e9)
    monkeypatch.setattr(claims, "STALE", 0.0)
    slept, other = Claims(tmp_path), Claims(tmp_path)
    assert slept.take("unit")
    assert other.take("unit")
    assert (slept.mine("unit"), other.mine("unit")) == (False, True)
    slept.free("unit")
    assert other.mine("unit")


def test_opening_a_store_leaves_alone_what_another_process_is_writing(tmp_path):
    go(tmp_path)
    writing = tmp_path / f".chunk.{this()}.0.tmp"
    elsewhere_ = tmp_path / ".chunk.feedfeedfeed-1-1.0.tmp"
    old = tmp_path / ".chunk.feedfeedfeed-1-2.0.tmp"
    dead = tmp_path / f".chunk.{this().rpartition('-')[0]}-1.0.tmp"
    for file in (writing, elsewhere_, old, dead):
        file.write_bytes(b"half")
    os.utime(old, (0, 0))
    go(tmp_path)
    assert [file.exists() for file in (writing, elsewhere_, old, dead)] == [True, True, False, False]


def test_a_complete_store_is_swept_again_and_read_without_a_file_being_written(tmp_path, monkeypatch):
    path = tmp_path / "store"
    numbers = go(path)
    before, folders = contents(path), {p: p.stat().st_mtime_ns for p in [path, *path.rglob("*")] if p.is_dir()}
    refused = lambda *_: pytest.fail("was written")
    monkeypatch.setattr(entries, "write", refused)
    monkeypatch.setattr(Claims, "take", refused)
    assert go(path).equals(numbers)
    assert go(path, chunk=1, memory="1GB").equals(numbers)
    assert load(path).equals(numbers)
    assert contents(path) == before
    assert {p: p.stat().st_mtime_ns for p in folders} == folders


def test_a_store_that_lets_itself_not_be_written_says_so_where_there_is_something_to_write(tmp_path, monkeypatch):
    go(tmp_path)
    opening = open

    def refused(file, mode="r", **kind):
        if "x" in mode or "w" in mode:
            raise OSError(errno.EROFS, "Read-only file system", str(file))
        return opening(file, mode, **kind)

    monkeypatch.setattr("builtins.open", refused)
    with pytest.raises(OSError, match=r"Read-only file system: .* was not written. What is stored is unharmed"):
        go(tmp_path, seeds=3)


def test_paths_of_stores_may_name_the_home_and_variables(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SCRATCH", str(tmp_path / "scratch"))
    numbers = go("~/store")
    assert go("$SCRATCH/store").equals(load("~/store"))
    assert (tmp_path / "scratch/store/manifest.json").exists()
    assert load("${SCRATCH}/store").equals(numbers)
    with pytest.raises(ValueError, match=r"\$SCRATHC/store: there is no \$SCRATHC in the environment"):
        go("$SCRATHC/store")
    (tmp_path / "a$b").mkdir()
    assert located(tmp_path / "a$b") == tmp_path / "a$b"


def test_units_that_others_have_claimed_are_waited_for_and_taken_over_when_they_are_stale(tmp_path, monkeypatch):
    numbers = go(tmp_path / "whole")
    monkeypatch.setattr("jaxdec.sweeps.session.PAUSE", 0.05)
    monkeypatch.setattr(claims, "STALE", 1.0)
    path = tmp_path / "store"
    elsewhere(path / "claims", "0.0.1.0")
    file = elsewhere(path / "claims", "0.0.2.1")
    blocks = units_run(monkeypatch)
    began = time.monotonic()
    touching = threading.Event()

    def touch():
        while not touching.wait(0.1) and time.monotonic() - began < 2.0:
            os.utime(file)

    threading.Thread(target=touch, daemon=True).start()
    assert go(path).equals(numbers)
    touching.set()
    assert time.monotonic() - began > 2.5  # the one that was touched for two seconds
    ran = [(list(cells), list(seeds)) for cells, seeds in blocks]
    assert len(ran) == len({str(r) for r in ran}) == 6
    assert ran[-1] == ([4], [1])
    assert not list((path / "claims").iterdir())


def test_extensions_of_one_store_by_two_hands_at_once_give_each_seed_its_own_numbers(tmp_path):
    """Two sessions open a store before either extends it; the second sees what the first has done."""
    go(tmp_path, COMPRESSED)
    whole = go(None, COMPRESSED, seeds=[0, 1, 2, 3, 4])
    opened = []
    real = Store.extend

    def late(self, asked):  # another process extends the store when this one has just opened it
        if not opened:
            opened.append(1)
            go(tmp_path, COMPRESSED, seeds=[0, 1, 4])
        return real(self, asked)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "extend", late)
        found = go(tmp_path, COMPRESSED, seeds=[0, 1, 2, 3, 4])
    assert load(tmp_path).seed.values.tolist() == [0, 1, 4, 2, 3]
    assert found.equals(whole)
    opened.clear()

    def other(self, asked):
        if not opened:
            opened.append(1)
            go(tmp_path, COMPRESSED, seeds=[0, 1, 2, 3, 4, 6])
        return real(self, asked)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "extend", other)
        with pytest.raises(ValueError, match="holds more than this sweep asks for: seed 6"):
            go(tmp_path, COMPRESSED, seeds=[0, 1, 2, 3, 4, 5])
    np.testing.assert_array_equal(load(tmp_path).sel(seed=[0, 1, 2, 3, 4]).loss, whole.loss)


def test_a_session_under_way_ends_with_its_own_numbers_when_another_one_extends_the_store(tmp_path):
    whole = go(None, COMPRESSED, chunk=2)
    began = []
    real = Store.begin

    def meanwhile(self, unit):
        began.append(unit)
        if len(began) == 3:
            go(tmp_path, COMPRESSED, seeds=[0, 1, 5], rounds=9)
        return real(self, unit)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "begin", meanwhile)
        assert go(tmp_path, COMPRESSED).equals(whole)
    assert go(tmp_path, COMPRESSED, seeds=[0, 1, 5], rounds=9).equals(go(None, COMPRESSED, seeds=[0, 1, 5], rounds=9))
