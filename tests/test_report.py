"""Laws of the report: what is in the page is what is in the results, and the page needs nothing else."""

import re
import shutil
import subprocess

import jax
import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

from jaxdec import cli, data, networks, problems
from jaxdec.results import best, interactive, report

ROUNDS, LRS = [0, 10, 20], [0.1, 1.0, 10.0]


@pytest.fixture(autouse=True)
def _keep_float64():
    yield
    jax.config.update("jax_enable_x64", True)


def made(algorithms=("K-GT", "<b>R&D</b>"), seeds=3, places=("ring", "path")):
    """Results whose last step size diverges for the second algorithm."""
    rng = np.random.default_rng(0)
    sizes = {"algorithm": len(algorithms), "network": len(places), "lr": 3, "seed": seeds, "round": 3}
    fall = np.array([1.0, 0.1, 0.01]) * rng.uniform(0.5, 1, (*list(sizes.values())[:-1], 1))
    if len(algorithms) > 1:
        fall[1, :, 2, :, 1:] = np.nan
    coords = {"algorithm": list(algorithms), "network": list(places), "lr": LRS, "seed": range(seeds), "round": ROUNDS}
    spent = {"vectors": (("algorithm", "round"), np.outer(np.arange(1, len(algorithms) + 1), ROUNDS))}
    dims = tuple(sizes)
    return xr.Dataset(
        {"loss": (dims, fall), "test_accuracy": (dims, 1 - fall / 2)}, coords | spent, {"versions": '{"jax": "1.2.3"}'}
    )


def buttons(figure):
    return {button.label: button.args for menu in figure.layout.updatemenus for button in menu.buttons}


def test_a_line_is_the_median_of_the_best_cell_and_its_band_is_of_the_same_runs():
    results = made()
    chosen = best(results, "loss")
    figure = interactive.curves(results)
    lines = [trace for trace in figure.data if trace.name]
    assert [trace.name for trace in lines] == 2 * ["K-GT", "&lt;b&gt;R&amp;D&lt;/b&gt;"]  # no markup of plotly's
    assert [trace.visible for trace in lines] == [True, True, False, False]
    cells = [(network, name) for network in ("ring", "path") for name in results.algorithm.values]
    for trace, (network, name) in zip(lines, cells, strict=True):
        runs = chosen.loss.sel(network=network, algorithm=name)
        np.testing.assert_array_equal(trace.y, runs.median("seed"))
    low, high = figure.data[0].y, figure.data[1].y
    np.testing.assert_allclose(low, chosen.loss.isel(network=0, algorithm=0).quantile(0.1, "seed"), rtol=1e-15)
    np.testing.assert_allclose(high, chosen.loss.isel(network=0, algorithm=0).quantile(0.9, "seed"), rtol=1e-15)


def test_a_menu_changes_all_that_depends_on_it_and_nothing_else():
    results = made()
    figure = interactive.curves(results)
    chosen = buttons(figure)
    changed, axis = chosen["test accuracy"]
    accuracy = best(results, "loss").test_accuracy.isel(network=1, algorithm=0).median("seed")
    np.testing.assert_array_equal(changed["y"][8], accuracy)
    assert set(changed) == {"y"}
    assert axis == {"yaxis.title.text": "test accuracy", "yaxis.type": "linear", "yaxis.dtick": None}
    changed, axis = chosen["d-vectors sent to each neighbour"]
    assert list(changed["x"][5]) == [0, 20, 40]
    assert set(changed) == {"x"}
    assert list(chosen["path"][0]["visible"]) == [False] * 6 + [True] * 6
    assert figure.layout.yaxis.type == "log"


def test_a_step_size_that_diverges_has_no_point():
    figure = interactive.sensitivity(made(), "lr")
    assert [value is None for value in figure.data[5].y] == [False, False, True]
    assert figure.layout.xaxis.type == "log"


def test_names_stand_in_the_page_as_they_are_and_nothing_is_fetched(tmp_path):
    path = report(made(), tmp_path / "all.html", title="<i>mine</i>", network=networks.ring(5))
    page = path.read_text(encoding="utf-8")
    body = page.rpartition("</head>")[2]
    assert "<i>mine</i>" not in page
    assert "<td>&lt;b&gt;R&amp;D&lt;/b&gt;</td>" in body
    assert not re.findall(r"<(?:script|link|img|iframe)[^>]*(?:src|href)\s*=", page)
    for heading in ("Best values", "Curves", "What swept values decide", "Paired differences", "What diverged"):
        assert f"<h2>{heading}</h2>" in body
    assert body.count("3 of 3") == 2
    assert "1.2.3" in body
    assert body.count("<svg") == 1
    assert "Who holds what" not in body


def test_results_of_one_algorithm_one_seed_or_nothing_swept_have_their_page(tmp_path):
    for one in (made(("K-GT",)), made(seeds=1), made(places=("ring",)).isel(lr=0, network=0), made().isel(lr=[0])):
        assert report(one, tmp_path / "one.html").stat().st_size > 1e6


def test_all_that_diverged_has_its_page(tmp_path):
    lost = made()
    lost = lost.assign(loss=lost.loss.where(lost["round"] == 0, np.inf))
    assert "18 of" not in (page := report(lost, tmp_path / "lost.html").read_text(encoding="utf-8"))
    assert page.count("3 of 3") == 12


def test_who_holds_what_is_shown_of_problems_with_classes(tmp_path):
    digits = data.digits()
    problem = problems.softmax(digits, data.dirichlet(digits, n=5, alpha=0.3, seed=1))
    page = report(made(), tmp_path / "held.html", problem={"uneven": problem}).read_text(encoding="utf-8")
    assert "<figcaption>uneven</figcaption>" in page
    assert "samples a node" in page or page.count("<svg") == 1


def test_a_page_that_is_none_or_a_metric_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"ends in \.html; got .*page\.pdf"):
        report(made(), tmp_path / "page.pdf")
    with pytest.raises(ValueError, match="there is no metric 'los'"):
        report(made(), tmp_path / "page.html", metric="los")
    assert not list(tmp_path.iterdir())


def test_the_command_writes_the_page_of_a_store_with_its_networks(tmp_path):
    file, store, page = tmp_path / "s.toml", tmp_path / "store", tmp_path / "page.html"
    file.write_text(
        "rounds = 2\nseeds = 2\n[algorithms.a]\ntype = 'DSGD'\nlr = 0.1\n[problem]\ntype = 'quadratic'\nn = 4\nd = 2\n"
        "[network]\ntype = 'ring'\nn = 4\n"
    )
    for call in (["sweep", file, "--store", store], ["report", store, "--out", page, "--spec", file]):
        found = CliRunner().invoke(cli.app, list(map(str, call)), env={"COLUMNS": "200"})
        assert found.exit_code == 0, found.output
    text = page.read_text(encoding="utf-8")
    assert "<title>store</title>" in text
    assert "<h2>Networks</h2>" in text


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
def test_a_browser_draws_the_figures_without_a_connection(tmp_path):
    path = report(made(), tmp_path / "all.html")
    quiet = ["--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
    call = ["chromium", "--headless", "--no-sandbox", *quiet, f"--user-data-dir={tmp_path}/profile"]
    found = subprocess.run(
        [*call, "--virtual-time-budget=20000", "--dump-dom", path.as_uri()], capture_output=True, text=True, timeout=200
    )
    assert found.stdout.count('class="plot-container') >= 2
    assert found.stdout.count('class="scatterlayer') >= 2
