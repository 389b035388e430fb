"""Stores and checkpoints that are damaged: never other numbers, an error that names the file, and one command."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stores import PROBLEM, RING, contents, go, one_seed_in_a_unit
from typer.testing import CliRunner

__all__ = ["one_seed_in_a_unit"]  # a fixture of all tests here

from jaxdec import algorithms as A
from jaxdec import run
from jaxdec.cli import app
from jaxdec.metrics import loss
from jaxdec.sweeps import load, repair

pytestmark = pytest.mark.sampled(3)

PAIR = {"DSGD": A.DSGD(lr=0.1), "other": A.DSGD(lr=0.1, form="cta")}


def small(path=None, **change):
    arguments = {"over": {"lr": [0.05, 0.1]}, "seeds": 2, "rounds": 4, "every": 2, "metrics": (loss,)}
    return go(path, PAIR, **(arguments | change))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A small store of two programs and two stretches, and its numbers."""
    path = tmp_path_factory.mktemp("damage") / "whole"
    small(path, rounds=2)
    return path, small(path)


@pytest.fixture
def copied(whole, tmp_path):
    shutil.copytree(whole[0], tmp_path / "store")
    return tmp_path / "store", whole[1]


def edit(path, change, seal=False):
    """Change JSON; sealed again as if by one who knows how."""
    found = json.loads(path.read_text())
    change(found)
    if seal:
        rest = {k: v for k, v in found.items() if k != "sha256"}
        found["sha256"] = hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()
    path.write_text(json.dumps(found))


def flip(path):
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])


CHUNK, MARK, META = "data.zarr/0/0/loss/c/0/0/0", "done/0.0.0.0.json", "data.zarr/0/0/loss/zarr.json"


def labels_swapped(found):
    a = found["coordinates"][0][1]
    a["values"] = a["values"][::-1]


def cells_swapped(found):
    for group in found["groups"]:
        group["cells"] = group["cells"][::-1]


def names_swapped(found):
    first, second, *_ = found["groups"][0]["cells"]
    first["name"], second["name"] = second["name"], first["name"]


EDITS = {
    "a chunk is truncated": (CHUNK, lambda f: f.write_bytes(f.read_bytes()[:-3]), r"loss/c/0/0/0 is truncated: "),
    "a chunk is flipped": (CHUNK, flip, "loss/c/0/0/0 is damaged: its digest is not"),
    "a chunk is gone": (CHUNK, Path.unlink, "loss/c/0/0/0 is missing"),
    "a mark is cut": (MARK, lambda f: f.write_bytes(f.read_bytes()[:20]), "0.0.0.0.json cannot be read"),
    "a mark loses files": (MARK, lambda f: edit(f, lambda m: m["files"].popitem()), "0.0.0.0.json is damaged"),
    "a mark loses arrays": (MARK, lambda f: edit(f, lambda m: m["arrays"].clear()), "0.0.0.0.json is damaged"),
    "a mark has other seeds": (MARK, lambda f: edit(f, lambda m: m["seeds"].append(7)), "0.0.0.0.json is damaged"),
    "a mark is a list": (MARK, lambda f: f.write_text("[]"), "0.0.0.0.json cannot be read"),
    "dtype is changed": (META, lambda f: edit(f, lambda m: m.update(data_type="int64")), "zarr.json is damaged"),
    "chunks are changed": (META, lambda f: f.write_text(f.read_text().replace("3", "1")), "zarr.json is damaged"),
    "zarr.json is gone": (META, Path.unlink, "zarr.json is missing"),
    "labels are swapped": ("manifest.json", lambda f: edit(f, labels_swapped), "manifest.json is damaged"),
    "cells are swapped": ("manifest.json", lambda f: edit(f, cells_swapped), "manifest.json is damaged"),
    "cells are swapped and sealed": ("manifest.json", lambda f: edit(f, cells_swapped, True), "manifest.json is dam"),
    "names are swapped": ("manifest.json", lambda f: edit(f, names_swapped), "manifest.json is damaged"),
    "seeds are renamed": ("manifest.json", lambda f: edit(f, lambda m: m["seeds"].reverse()), "manifest.json is d"),
    "the manifest is cut": ("manifest.json", lambda f: f.write_bytes(f.read_bytes()[:99]), "manifest.json cannot be"),
    "the manifest is gone": ("manifest.json", Path.unlink, "manifest.json is missing"),
    "the format is flipped": (
        "manifest.json",
        lambda f: f.write_text(f.read_text().replace("version 3", "version 7")),
        "manifest.json is damaged",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", EDITS)
@pytest.mark.thinned(3)
def test_what_is_damaged_is_named_with_the_command_that_repairs_it_and_then_all_is_as_it_was(copied, what):
    path, numbers = copied
    name, damage, message = EDITS[what]
    damage(path / name)
    before = contents(path)
    for attempt in (load, small):
        with pytest.raises(ValueError, match=message) as caught:
            attempt(path)
        assert f"; `jaxdec repair {path}` removes what is damaged" in str(caught.value)
        assert str(path / name) in str(caught.value)
    assert contents(path) == before  # nothing more is harmed
    assert repair(path)
    assert small(path).equals(numbers)
    assert load(path).equals(numbers)
    assert repair(path) == []


def test_the_command_line_says_one_sentence_and_repairs(copied):
    path, numbers = copied
    flip(path / CHUNK)
    call = lambda *arguments: CliRunner(env={"COLUMNS": "400"}).invoke(app, [*map(str, arguments)])
    found = call("show", path)
    assert (found.exit_code, type(found.exception)) == (2, SystemExit)
    assert f"`jaxdec repair {path}`" in found.output
    assert (path / MARK).name in call("repair", path).output
    assert "is whole: nothing was changed" in call("repair", path).output
    assert call("show", path).exit_code == 0
    assert small(path).equals(numbers)
    assert call("repair", path.parent).exit_code == 2


@pytest.mark.parametrize("names", [("manifest.json", "manifest.copy.json"), ("manifest.copy.json",)])
def test_a_damaged_manifest_is_repaired_from_its_copy_and_all_is_run_again_where_both_are(copied, names):
    path, numbers = copied
    for name in names:
        flip(path / name)
    said = repair(path)
    assert len(said) == 1
    assert ("removed all" in said[0]) == (len(names) == 2)
    assert small(path).equals(numbers)


def test_a_tool_that_sorts_the_keys_of_json_changes_no_number(copied):
    path, numbers = copied
    for file in [*path.rglob("*.json")]:
        file.write_text(json.dumps(json.loads(file.read_text()), sort_keys=True, indent=2))
    assert load(path).equals(numbers)
    assert small(path).equals(numbers)
    assert small(path, over={"lr": [0.1, 0.05]}).sel(lr=[0.05, 0.1]).equals(numbers)


def test_a_mark_made_by_hand_names_no_file_outside_of_the_store(copied):
    path, numbers = copied
    (path.parent / "secret").write_bytes(b"12")
    edit(path / MARK, lambda m: m["files"].update({"../secret": [2, "0"]}), seal=True)
    with pytest.raises(ValueError, match=r"0.0.0.0.json names a file outside of .*store: ../secret"):
        small(path)
    assert load(path).equals(numbers)  # which reads no file but those of the sweep's arrays


def test_no_dtype_but_numbers_is_read_whatever_a_mark_says(copied):
    path, _ = copied
    edit(path / MARK, lambda m: m["arrays"].update(loss=["object", m["arrays"]["loss"][1]]), seal=True)
    with pytest.raises(ValueError, match=r"0.0.0.0.json says that loss is of dtype 'object'"):
        load(path)


def test_a_store_of_another_version_is_neither_read_nor_repaired(copied):
    path, _ = copied
    edit(path / "manifest.json", lambda m: m.update(format="jaxdec sweep, version 7"), seal=True)
    before = contents(path)
    for attempt in (load, small, repair):
        with pytest.raises(ValueError, match="is of format 'jaxdec sweep, version 7'; this version of jaxdec reads"):
            attempt(path)
    assert contents(path) == before
    with pytest.raises(ValueError, match="holds neither a stored sweep nor the checkpoints of a run"):
        repair(path / "states")


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_whatever_is_flipped_truncated_or_deleted_gives_the_same_numbers_or_a_name(whole, tmp_path, data):
    kept, numbers = whole
    path = tmp_path / "store"
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(kept, path)
    file = data.draw(st.sampled_from(sorted(f for f in path.rglob("*") if f.is_file())), label="file")
    how = data.draw(st.sampled_from(["flip", "truncate", "delete"]), label="how")
    content = file.read_bytes()
    if how == "delete":
        file.unlink()
    else:
        k = data.draw(st.integers(0, max(len(content) - 1, 0)), label="byte")
        bit = data.draw(st.integers(0, 7), label="bit")
        flipped = content[:k] + bytes([content[k] ^ (1 << bit)]) + content[k + 1 :] if content else b"x"
        file.write_bytes(content[:k] if how == "truncate" else flipped)
    said = ""
    try:
        found = load(path)
    except ValueError as error:
        said = str(error)
    else:
        there = found.loss.drop_vars("done", errors="ignore")
        assert (there.isnull() | (there == numbers.loss)).all()
        assert found.attrs["runs_done"] == 8 or "done" in str(file)  # a mark that is gone is of a chunk not yet run
    assert not said or (str(file) in said and f"jaxdec repair {path}" in said)
    if repair(path) or load(path).attrs["runs_done"] < 8:
        assert small(path).equals(numbers)
    assert load(path).equals(numbers)


def test_the_segments_of_a_run_are_refused_where_they_are_damaged_and_are_repaired(tmp_path):
    given = A.DSGD(lr=0.1), PROBLEM, RING
    path = tmp_path / "a folder"
    go_on = lambda rounds: run(*given, rounds=rounds, metrics=(loss,), checkpoint=path, checkpoint_every=4)
    go_on(8)
    assert sorted(f.name for f in (path / "states").iterdir()) == ["1"]  # that of the last segment alone
    alone = run(*given, rounds=12, metrics=(loss,))
    for file in ("segments/0", "done/0.json", "run.json", "states/1"):
        (path / file).write_bytes((path / file).read_bytes()[:-1] + b"x")
        with pytest.raises(ValueError, match=rf"{file} (is damaged|cannot be).*; `jaxdec repair '.*a folder'` rem"):
            go_on(8)
        assert repair(path)
        np.testing.assert_array_equal(go_on(8).metrics["loss"], alone.metrics["loss"][:9])
    np.testing.assert_array_equal(go_on(12).metrics["loss"], alone.metrics["loss"])
    np.testing.assert_array_equal(go_on(12).state.x, alone.state.x)  # nothing is left to run
    (tmp_path / "more").mkdir()
    (tmp_path / "more/thesis.tex").write_text("precious")
    with pytest.raises(ValueError, match="not empty and holds no checkpoints"):
        run(*given, rounds=12, checkpoint=tmp_path / "more")
