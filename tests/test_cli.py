"""The command line as a user meets it."""

import re

import jax
import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

from jaxdec import algorithms, metrics, networks, problems
from jaxdec.cli import app, digits_on_a_ring

runner = CliRunner()


@pytest.fixture(autouse=True)
def _keep_float64():
    yield
    jax.config.update("jax_enable_x64", True)


def test_the_default_sweep_prints_a_table_and_writes_the_dataset_and_a_figure(tmp_path):
    arguments = ["sweep", "--out", str(tmp_path), "--rounds", "20", "--every", "10", "--seeds", "2", "--nodes", "4"]
    result = runner.invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    for name in digits_on_a_ring()["algorithms"]:
        assert name in result.output
    assert "5 compiled programs" in result.output
    assert re.search(r"\d+ of 20", result.output)  # diverged cells are counted
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    with xr.open_zarr(tmp_path / "results.zarr") as stored:
        assert dict(stored.sizes) == {"algorithm": 5, "lr": 10, "seed": 2, "round": 3}
        assert np.isfinite(stored.loss.isel(round=0)).all()
        assert set(stored.coords) >= {"grads", "vectors", "bits"}


def test_list_shows_everything_with_a_line_each():
    output = runner.invoke(app, ["list"], catch_exceptions=False).output
    for name in ("DSGD", "KGT", "MomentumTracking", "ring", "hypercube", "metropolis", "logistic", "softmax", "digits"):
        assert re.search(rf"^{name}\s+\S", output, re.MULTILINE), name
    assert re.search(r"^grad_norm_sq\s+\S", output, re.MULTILINE)


def test_everything_public_says_what_it_is():
    for module in (algorithms, metrics, networks, problems):
        for name in getattr(module, "__all__", [n for n in vars(module) if n.islower() and not n.startswith("_")]):
            thing = getattr(module, name)
            if callable(thing):
                assert (thing.__doc__ or "").strip(), f"{module.__name__}.{name}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rounds", "30", "--every", "7"], "not a multiple of every=7"),
        (["--alpha", "0"], "alpha"),
        (["--nodes", "5000"], "5000"),
        (["--seeds", "0"], "seeds"),
    ],
)
def test_bad_options_are_one_clear_error(tmp_path, arguments, message):
    result = runner.invoke(app, ["sweep", "--out", str(tmp_path), *arguments])
    assert result.exit_code == 2
    assert message in re.sub(r"[\s│]+", " ", result.output)
    assert "Traceback" not in result.output
    assert not list(tmp_path.iterdir())
