"""The command line where a user's texts, paths and terminals are odd, and where something fails."""

import codecs
from importlib.metadata import version

import jax
import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from typer.testing import CliRunner

from jaxdec import algorithms, cli, jobs, plotting
from jaxdec.catalogue import about, listed
from jaxdec.checks.lawful import facts
from jaxdec.storage.places import writable

mpl.use("Agg")

ODD = ("DSGD [/draft]", "K-GT [ours]", "[red]a", "$x$ and $y$", ":smile:", "_a|b `c` <i>", "[[")
SPEC = """
rounds = 4
seeds = 2
over.lr = [0.1, 0.2]
problem = { type = "quadratic", n = 4, d = 2 }
network = { type = "ring", n = 4 }
"""


@pytest.fixture(autouse=True)
def _keep_float64():
    yield
    jax.config.update("jax_enable_x64", True)


def call(*arguments, code=0, columns=None):
    env = {"COLUMNS": columns and str(columns)}
    result = CliRunner().invoke(cli.app, [str(a) for a in arguments], env=env)
    assert result.exit_code == code, (result.output, result.exception)
    return result.output


def spec(folder, *labels, over="[0.1, 0.2]", name="a [red] $x$.toml"):
    path = folder / name
    tables = [f"[algorithms.{label!r}]\ntype = 'DSGD'\nlr = 0.1\n" for label in labels or ("DSGD",)]
    path.write_text(SPEC.replace("[0.1, 0.2]", over) + "\n".join(tables), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """Odd labels in a folder of an odd name, and what was printed."""
    folder = tmp_path_factory.mktemp("odd")
    out = folder / "[/out] $x$"
    return out, call("sweep", spec(folder, *ODD), "--out", out, "--x64")


def test_any_label_and_path_is_swept_shown_drawn_and_exported_as_it_is(swept, tmp_path):
    out, printed = swept
    assert jobs.read(out).algorithm.values.tolist() == list(ODD)
    assert (out / "figure.png").exists()
    assert "a [red] $x$: median of" in printed
    assert f"wrote {out / 'results.zarr'} and {out / 'figure.png'}" in printed  # on one line, whatever its length
    for text in (printed, call("show", out)):
        assert all(f"│ {label} " in text for label in ODD)
    assert f"wrote {tmp_path / '[x] $y$.svg'}" in call("plot", out, "--out", tmp_path / "[x] $y$.svg")
    call("export", out, "--csv", tmp_path / "[a].csv", "--latex", tmp_path / "[a].tex")
    assert all(f"\n{label}," in (tmp_path / "[a].csv").read_text() for label in ODD)
    assert r"{[}red]a & " in (tmp_path / "[a].tex").read_text()


names = st.text(
    st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp"), exclude_characters="/"), min_size=1, max_size=20
)


@settings(max_examples=15, deadline=None)
@given(names.filter(lambda name: name.strip(". ") and name[0] not in "-~" and "$" not in name))
@example("[red]")
@example("$x$ {y} %s :smile:")
@example("a ~ b")
def test_any_path_is_read_written_and_printed_as_it_is(tmp_path_factory, name):
    folder = writable(tmp_path_factory.mktemp("path") / name, folder=True)
    jobs.save(xr.Dataset({"loss": ("round", [1.0, 0.5])}, {"round": [0, 1]}), folder / "results.zarr")
    assert call("show", folder).startswith(f"{folder}: median of 1 seed after")
    assert call("export", folder, "--csv", folder / name / name) == f"wrote {folder / name / name}\n"
    assert (folder / name / name).stat().st_size > 20


@pytest.mark.parametrize("columns", [80, 120, 200, None])
def test_a_table_fits_the_terminal_and_cuts_no_number(swept, columns):
    shown = call("show", swept[0], columns=columns)
    table = [line for line in shown.splitlines() if line[:1] in ("┏", "┃", "┡", "│", "└")]
    assert max(map(cell_len, table)) <= (columns or 1000)
    assert "…" not in shown
    results = jobs.read(swept[0])
    last = results.loss.isel(algorithm=0, lr=1, round=-1).median().item()
    assert f"{last:.4f}" in shown
    assert sum(line.startswith("┏") for line in table) == (1 if columns != 80 else 2)


def test_where_every_cell_diverged_there_are_a_table_and_a_figure(tmp_path):
    shown = call("sweep", spec(tmp_path, over="[1e30, 1e35]"), "--out", tmp_path)
    assert "4 of 4" in shown
    assert (tmp_path / "figure.png").exists()


@pytest.mark.parametrize("error", [ValueError("[/mathtext]"), RuntimeError("no backend"), UserWarning("no glyph")])
def test_a_figure_that_fails_is_a_message(tmp_path, monkeypatch, error):
    def fails(*_, **__):
        raise error

    monkeypatch.setattr(plotting, "overview", fails)
    shown = call("sweep", spec(tmp_path), "--out", tmp_path)
    assert f"figure.png was not drawn: {type(error).__name__}: {error}" in shown
    assert "│ DSGD " in shown
    assert jobs.read(tmp_path).sizes["seed"] == 2


def test_results_are_written_before_anything_is_shown(tmp_path, monkeypatch):
    def fails(*_, **__):
        raise RuntimeError("no terminal")

    monkeypatch.setattr(cli, "table", fails)
    call("sweep", spec(tmp_path), "--out", tmp_path, code=1)
    assert jobs.read(tmp_path).sizes["seed"] == 2


def test_results_that_cannot_be_written_are_shown_and_leave_those_of_before(tmp_path, monkeypatch):
    before = xr.Dataset({"loss": ("round", [1.0, 0.5])}, {"round": [0, 1]})
    assert jobs.save(before, tmp_path / "results.zarr") is None

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(xr.Dataset, "to_zarr", full)
    shown = call("sweep", spec(tmp_path), "--out", tmp_path, code=1)
    assert "results.zarr was not written, and these results are not kept: [Errno 28]" in shown
    assert "│ DSGD " in shown
    xr.testing.assert_identical(jobs.read(tmp_path), before)


@pytest.mark.parametrize("command", ["tune", "sweep"])
def test_where_nothing_can_be_written_is_known_before_anything_is_run(tmp_path, monkeypatch, command):
    def never(*_, **__):
        raise AssertionError("it was run")

    monkeypatch.setattr(cli, "tune", never)
    monkeypatch.setattr(cli, "run_sweep", never)
    (tmp_path / "file").write_text("")
    option = {"tune": "--csv", "sweep": "--out"}[command]
    assert "nothing can be" in call(command, spec(tmp_path), option, tmp_path / "file" / "x", code=2)


def test_the_folder_of_a_file_is_made(swept, tmp_path):
    call("export", swept[0], "--csv", tmp_path / "new" / "a.csv", "--latex", tmp_path / "newer" / "a.tex")
    call("tune", spec(tmp_path), "--budget", 2, "--metric", "distance", "--csv", tmp_path / "newest" / "b.csv")
    assert (tmp_path / "newest" / "b.csv").stat().st_size > 100
    assert "there is no metric" in call("export", swept[0], "--csv", tmp_path / "no" / "a", "--metric", "x", code=2)
    assert not (tmp_path / "no").exists()


def test_paths_may_use_the_home_and_variables_and_a_file_may_begin_with_a_bom(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RUNS", str(tmp_path / "runs"))
    path = spec(tmp_path, name="a.toml")
    path.write_bytes(codecs.BOM_UTF8 + b"store = '~/${NAME}'\n" + path.read_bytes())
    assert "there is no ${NAME} in the" in call("sweep", "~/a.toml", code=2)
    monkeypatch.setenv("NAME", "stored")
    call("sweep", "~/a.toml", "--out", "$RUNS/figures")
    assert (tmp_path / "stored" / "manifest.json").exists()
    assert (tmp_path / "runs" / "figures" / "figure.png").exists()
    assert "│ DSGD " in call("show", "~/stored")
    assert "there is no $NOWHERE" in call("show", "$NOWHERE/stored", code=2)
    path.write_bytes(path.read_text("utf-8-sig").encode("utf-16"))
    assert "save it as UTF-8" in call("sweep", path, code=2, columns=300)


# What there is.


def test_the_list_has_every_alias_and_no_helper():
    shown = {line.split()[0] for line in call("list").splitlines() if line.strip()}
    assert set(algorithms.__all__) <= shown
    assert {"AugDGM", "ExactDiffusion", "Markov", "from_lists", "explicit", "MLP", "metropolis"} <= shown
    helpers = {"label_counts", "describe", "statistics", "stackable", "spectrum", "properties", "Dataset", "Problem"}
    assert not helpers & shown
    assert "\nExactDiffusion " in call("list")
    lines = call("list", columns=80).splitlines()
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("name", [entry.name for entry in listed()["Algorithms"]])
def test_all_of_an_algorithm_is_told(name):
    shown = call("info", name)
    doc = algorithms.__doc__ and getattr(algorithms, name).__doc__
    assert f"jaxdec.algorithms.{name}(lr" in shown or f"jaxdec.algorithms.{name}(" in shown
    for part in ("Reference:", *(["Symbols:", "Cost per round:"] if "Cost per round:" in doc else [])):
        assert part in shown
    if isinstance(getattr(algorithms, name), type):
        assert f"Needs of the network: {', '.join(sorted(facts(getattr(algorithms, name)).requires))}." in shown
    assert ">>>" not in shown


def test_a_name_is_found_qualified_in_any_case_and_by_what_else_it_is_called():
    assert "jaxdec.networks.ring(n)" in call("info", "ring")
    assert "jaxdec.graphs.ring(n)" in call("info", "ring")
    assert "jaxdec.networks" not in call("info", "graphs.ring")
    assert 'K-GT, "gradient sum' in call("info", "kgt")
    assert about("FedAvg")[0].startswith("jaxdec.algorithms.LocalSGD")
    assert "did you mean 'KGT'" in call("info", "KGTT", code=2)
    assert "the same as D2" in call("info", "ExactDiffusion")


def test_the_version_is_the_installed_one():
    assert call("--version") == f"jaxdec {version('jaxdec')}\n"
    assert np.all([word.isdigit() for word in version("jaxdec").split(".")[:2]])
