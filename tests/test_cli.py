"""The command line as a user meets it."""

import re
import shutil
import tomllib

import jax
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from typer.testing import CliRunner

from jaxdec import algorithms, metrics, networks, problems, run
from jaxdec.cli import app, digits_on_a_ring, read

runner = CliRunner(env={"COLUMNS": None})

SPEC = """
rounds = 20
every = 10
seeds = 2

[algorithms.DSGD]
lr = 0.1

[problems.near]
type = "quadratic"
n = 4
d = 2
zeta = 0.1
noise = 0.1

[problems.far]
type = "quadratic"
n = 4
d = 2
zeta = 10.0
noise = 0.1

[networks.ring]
type = "ring"
n = 4

[over]
lr = [0.1, 0.2, 0.4, 80.0]
"""


@pytest.fixture(autouse=True)
def _keep_float64():
    yield
    jax.config.update("jax_enable_x64", True)


def call(*arguments, code=0):
    result = runner.invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result.output


def words(output):
    return re.sub(r"[\s│]+", " ", output)


@pytest.fixture(scope="module")
def default(tmp_path_factory):
    """A small version of the default sweep, and what it printed."""
    out = tmp_path_factory.mktemp("default")
    output = call("sweep", "--out", out, "--rounds", 20, "--every", 10, "--seeds", 2, "--nodes", 4)
    return out, output


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A sweep of a file with a store, and what it printed."""
    folder = tmp_path_factory.mktemp("stored")
    (folder / "two.toml").write_text(SPEC)
    return folder / "store", call("sweep", folder / "two.toml", "--store", folder / "store", "--x64")


def test_the_default_sweep_prints_a_table_and_writes_the_dataset_and_a_figure(default):
    out, output = default
    for name in digits_on_a_ring()["algorithms"]:
        assert name in output
    for column in ("best lr", "10–90 %", "test accuracy", "consensus", "gradients", "vectors"):
        assert column in output
    assert "5 compiled programs" in output
    assert "100 runs of 4 nodes" in output
    assert re.search(r"\d+ of 20", output)  # diverged cells are counted
    assert (out / "figure.png").read_bytes().startswith(b"\x89PNG")
    with xr.open_zarr(out / "results.zarr") as results:
        assert dict(results.sizes) == {"algorithm": 5, "lr": 10, "seed": 2, "round": 3}
        assert np.isfinite(results.loss.isel(round=0)).all()
        assert set(results.coords) >= {"grads", "vectors", "bits"}


def test_a_file_is_swept_into_a_store_that_goes_on_where_it_stopped(stored):
    store, output = stored
    assert "two: median of 2 seeds after 20 rounds" in output
    assert "16 runs of 4 nodes" in output
    assert len(re.findall(r"\b4 of 8\b|\b2 of 8\b", output)) == 2  # each problem has its row, and its diverged runs
    assert (store / "figure.png").exists()
    before = read(store)
    assert dict(before.sizes) == {"algorithm": 1, "problem": 2, "network": 1, "lr": 4, "seed": 2, "round": 3}
    again = call("sweep", store.parent / "two.toml", "--store", store, "--x64", "--seeds", 3)
    assert "3 seeds" in again
    assert "running what was missing" in words(again)
    after = read(store)
    xr.testing.assert_equal(after.isel(seed=slice(2)).drop_vars("done", errors="ignore")["loss"], before["loss"])
    refused = call("sweep", store.parent / "two.toml", "--store", store, code=2)  # float32
    assert "another sweep" in words(refused)


def test_a_sweep_that_was_cut_short_is_shown_with_what_is_there(stored, tmp_path):
    shutil.copytree(stored[0], tmp_path / "store")
    marker = min((tmp_path / "store" / "done").iterdir())
    marker.unlink()
    shown = call("show", tmp_path / "store")
    assert re.search(r"\d+ of \d+ runs are done", shown)
    assert "–" in shown


def test_stored_results_are_shown_as_a_table(default, stored):
    out, printed = default
    rows = lambda output: [line for line in output.splitlines() if line.startswith("│")]
    assert rows(call("show", out)) == rows(printed)
    by_accuracy = call("show", out, "--metric", "test_accuracy")
    assert re.search(r"best lr ┃ test accuracy ┃ +10–90 %", by_accuracy)
    shown = call("show", stored[0])
    for text in ("near", "far", "ring", "best lr", "loss", "distance"):
        assert text in shown
    assert "there is no metric 'los'" in words(call("show", out, "--metric", "los", code=2))


@pytest.mark.parametrize("x", ["rounds", "grads", "vectors", "bits", "seconds"])
def test_stored_results_are_drawn_against_any_axis(default, tmp_path, x):
    link = ["--bandwidth", 1e6, "--latency", 0.01, "--degree", 2] if x == "seconds" else []
    call("plot", default[0], "--x", x, "--y", "grad_norm_sq", "--out", tmp_path / "a.png", *link)
    assert (tmp_path / "a.png").stat().st_size > 10_000


def test_titles_limits_and_what_chooses_are_asked_for_and_runs_are_shown_as_sweeps_are(default, tmp_path):
    out, drawn = tmp_path / "a.svg", ["plot", default[0], "--y", "test_accuracy", "--out", tmp_path / "a.svg"]
    call(*drawn, "--title", "mine", "--ylim", 0.2, 0.9, "--by", "test_accuracy")
    assert {"<!-- mine -->", "<!-- best by test accuracy, on the test set -->"} <= comments(out)
    call(*drawn)
    assert any(comment.startswith("<!-- best by loss") for comment in comments(out))
    assert "there is no metric 'los'" in words(call(*drawn, "--by", "los", code=2))
    assert "ylim is low < high; got 1 and 0" in words(call(*drawn, "--ylim", 1, 0, code=2))
    problem, ring = problems.quadratic(4, 2), networks.ring(4)
    run(algorithms.DSGD(lr=0.1), problem, ring, rounds=4, every=2).save(tmp_path / "run.npz")
    assert "DSGD" in call("show", tmp_path / "run.npz")
    call("plot", tmp_path / "run.npz", "--y", "distance", "--out", out)
    assert "<!-- DSGD -->" in comments(out)


def comments(svg):
    """What Matplotlib says of each text."""
    return set(re.findall(r"<!-- .* -->", svg.read_text(encoding="utf-8")))


def test_seconds_need_a_link_and_a_degree_for_each_network(stored, tmp_path):
    store, out = stored[0], tmp_path / "a.svg"
    options = ["--x", "seconds", "--out", out, "--bandwidth", 1e6]
    assert "give --bandwidth" in words(call("plot", store, "--x", "seconds", code=2))
    assert "once for each of ring" in words(call("plot", store, *options, "--degree", "torus=4", code=2))
    call("plot", store, *options, "--degree", "ring=2", "--band", "confidence", "--log-x")
    assert out.read_text(encoding="utf-8").startswith("<?xml")


def test_stored_results_are_exported_as_tidy_rows_and_as_a_table_for_latex(default, stored, tmp_path):
    call("export", default[0], "--csv", tmp_path / "a.csv", "--latex", tmp_path / "a.tex")
    rows = pd.read_csv(tmp_path / "a.csv")
    results = read(default[0])
    assert len(rows) == results.loss.size
    assert list(rows)[:4] == ["algorithm", "lr", "seed", "round"]
    some = rows.sample(20, random_state=0)
    for _, row in some.iterrows():
        cell = results.sel(algorithm=row.algorithm, lr=row.lr, seed=row.seed, round=row["round"])
        np.testing.assert_allclose([row.loss, row.grads, row.bits], [cell.loss, cell.grads, cell.bits], rtol=1e-6)
    latex = (tmp_path / "a.tex").read_text()
    assert latex.count(r"\\") == 6  # a header and five algorithms
    assert latex.count(r"\textbf") >= 1
    call("export", stored[0], "--latex", tmp_path / "b.tex")
    assert (tmp_path / "b.tex").read_text().count("DSGD & ") == 2
    assert "nothing to write; give --csv" in words(call("export", default[0], code=2))


def test_tuning_prints_a_table_to_be_pasted_and_the_algorithms(tmp_path):
    spec = tmp_path / "one.toml"
    spec.write_text(SPEC[: SPEC.index("[problems.far]")] + SPEC[SPEC.index("[networks") :])
    assert set(tomllib.loads(spec.read_text())["problems"]) == {"near"}
    output = call("tune", spec, "--metric", "distance", "--budget", 12, "--csv", tmp_path / "cells.csv", "--x64")
    assert "distance after 20 rounds" in output
    assert "| algorithm | lr | score |" in output
    assert re.search(r"DSGD: DSGD\(lr=\d", output)
    assert len(pd.read_csv(tmp_path / "cells.csv")) % (2 * 3) == 0
    spec.write_text(SPEC)
    assert "one problem and one network; the file has 2" in words(call("tune", spec, code=2))


def test_list_shows_everything_with_a_line_each():
    output = call("list")
    names = (
        "DSGD KGT MomentumTracking ring hypercube metropolis logistic softmax digits server one_peer_exponential TopK"
    )
    for name in (*names.split(), "grad_norm_sq", "node_test"):
        assert re.search(rf"^{name}\s+\S", output, re.MULTILINE), name
    assert not re.search(r"^(named|measure)\s", output, re.MULTILINE)


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
        (["no.toml"], "No such file or directory: 'no.toml'"),
        (["benchmarks/digits.toml", "--nodes", "4"], "--nodes is of the default sweep, not of a file"),
    ],
)
def test_bad_options_are_one_clear_error(tmp_path, arguments, message):
    output = call("sweep", "--out", tmp_path, *arguments, code=2)
    assert message in words(output)
    assert not list(tmp_path.iterdir())


def test_a_file_can_name_its_store_and_the_figure_can_go_elsewhere(stored, tmp_path):
    spec = tmp_path / "two.toml"
    spec.write_text(f"store = '{stored[0]}'\n" + SPEC)
    output = call("sweep", spec, "--out", tmp_path / "figures", "--seeds", 3, "--x64")
    assert "running what was missing" in words(output)
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["figure.png"]


def test_an_error_of_the_sweep_itself_names_the_file(tmp_path):
    spec = tmp_path / "wrong.toml"
    spec.write_text(SPEC.replace("lr = [0.1, 0.2, 0.4, 80.0]", "le = [0.1]"))
    output = words(call("sweep", spec, "--store", tmp_path / "store", code=2)).replace(" ", "")
    assert "wrong.toml:DSGDhasnofield'le'" in output
    assert not (tmp_path / "store").exists()


def test_a_folder_without_results_is_refused(tmp_path):
    assert "holds no results; give the --store of a sweep" in words(call("show", tmp_path, code=2))
