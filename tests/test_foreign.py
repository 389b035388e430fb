"""Results from elsewhere: what the command line opens runs nothing."""

import json
import pickle

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

from jaxdec.cli import app
from jaxdec.storage.codecs import check_codecs


class Payload:
    """What runs something when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.fixture
def results(tmp_path):
    labels = np.array(["a", "bcd"], dtype=object)
    dataset = xr.Dataset({"loss": (("seed", "round"), np.ones((2, 2)))}, {"seed": [0, 1], "round": [0, 1]})
    dataset.assign_coords(label=("seed", labels)).to_zarr(tmp_path / "results.zarr", zarr_format=2)
    return tmp_path


def call(*arguments):
    return CliRunner().invoke(app, [*map(str, arguments)])


def poison(results):
    """An array of objects behind a filter that unpickles, in the metadata of the array and in those put together."""
    folder = results / "results.zarr/label"
    meta = {"chunks": [1], "compressor": None, "dtype": "|O", "fill_value": None, "filters": [{"id": "pickle"}],
            "order": "C", "shape": [2], "zarr_format": 2}  # fmt: skip
    (folder / ".zarray").write_text(json.dumps(meta))
    together = results / "results.zarr/.zmetadata"
    found = json.loads(together.read_text())
    found["metadata"]["label/.zarray"] = meta
    together.write_text(json.dumps(found))
    (folder / "0").write_bytes(pickle.dumps(Payload(results / "was_run")))


@pytest.mark.parametrize("command", [("show",), ("plot",), ("export", "--csv", "out.csv")])
def test_a_filter_that_unpickles_is_named_and_not_opened(results, command, monkeypatch):
    monkeypatch.chdir(results)
    assert call("show", results).exit_code == 0
    poison(results)
    found = call(command[0], results, *command[1:])
    assert found.exit_code == 2
    assert "pickle" in found.output
    assert not (results / "was_run").exists()


def test_codecs_are_found_wherever_metadata_nest_them(tmp_path):
    inner = {"codecs": [{"name": "sharding_indexed", "configuration": {"codecs": [{"name": "evil"}]}}]}
    for name, found in {
        "zarr.json": {"consolidated_metadata": {"metadata": {"attributes": inner}}},
        ".zarray": {"compressor": {"id": "evil"}, "filters": None},
        ".zmetadata": {"metadata": {"a/.zarray": {"filters": [{"id": "delta"}, {"id": "evil"}]}}},
    }.items():
        (tmp_path / name.strip(".") / "linked").mkdir(parents=True)
        (tmp_path / name.strip(".") / "linked" / name).write_text(json.dumps(found))
        store = tmp_path / f"store of {name}"
        store.mkdir()
        (store / "array").symlink_to(tmp_path / name.strip(".") / "linked")
        (store / "array" / "back").symlink_to(store)  # a circle
        with pytest.raises(ValueError, match=r"names the codec evil, which may run what is in the file"):
            check_codecs(store)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.filterwarnings("ignore")  # of Zarr, that its version 3 does not say how texts are stored
def test_what_xarray_writes_is_opened(tmp_path, version):
    xr.Dataset({"loss": ("round", [1.0, 0.5])}, {"round": [0, 1], "name": "DSGD"}).to_zarr(
        tmp_path / "r", zarr_format=version
    )
    check_codecs(tmp_path / "r")
