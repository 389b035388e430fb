"""What users call things is shown, stored and read back as it is, and no text of theirs is markup."""

import io
import re
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from jaxdec import Result, algorithms, networks, problems, run, sweep
from jaxdec.jobs import read, save
from jaxdec.results import plotting
from jaxdec.results.export import table, to_csv, to_latex
from jaxdec.results.terminal import Column, Grid, say
from jaxdec.results.texts import latex, markdown, plain, verbatim
from jaxdec.storage.places import as_file, from_file, located, writable

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.cbook import is_math_text

pytestmark = pytest.mark.sampled(3)

ODD = (
    "DSGD [/draft]",
    "K-GT [ours]",
    "[red]a",
    "$x$ and $",
    r"\$5$",
    ":smile:",
    "_a",
    "a|b `c` <i>",
    "日本 💥",
    "[[",
    "a\\",
)
QUICK = settings(max_examples=30, deadline=None)
SLOWER = settings(max_examples=8, deadline=None)
labels = st.one_of(
    st.sampled_from(ODD),
    st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=30),
    st.text("[]/$\\_*|`<>&%#{}^~:a b", min_size=1, max_size=20),
)


def results(label, metric="loss"):
    """Of two algorithms, the second of that label, two step sizes and seeds."""
    dims = ("algorithm", "lr", "seed", "round")
    values = np.linspace(1.0, 0.1, 16).reshape(2, 2, 2, 2)
    coords = {"algorithm": ["plain", label], "lr": [0.1, 1.0], "seed": [0, 1], "round": [0, 10]}
    spent = {name: ("round", [0.0, 10.0]) for name in ("grads", "vectors", "bits", "bits_down")}
    return xr.Dataset({metric: (dims, values)}, coords | spent)


def printed(shown, width=2000):
    console = Console(width=width, file=io.StringIO(), record=True, force_terminal=False)
    console.print(shown)
    return console.export_text()


@QUICK
@given(labels, labels)
@example("DSGD [/draft]", "[/x]")
@example("low", "low")  # a column of `summarize`
@example("edge", "diverged")
def test_any_label_and_metric_is_in_the_table_as_it_is(label, metric):
    shown = printed(table(results(label, metric), "title [/of] a file"))
    assert label.rstrip() in shown  # rich ends a cell where its text does
    assert metric.rstrip() in shown
    assert "title [/of] a file" in shown


@QUICK
@given(labels)
@example("")
@example("_child0")
def test_no_figure_takes_a_label_for_mathematics_or_leaves_it_out(label):
    shown = verbatim(label)
    assert not is_math_text(shown)
    assert shown.replace(r"\$", "$").removeprefix("\u200b") == label
    assert shown
    assert shown[0] != "_"


@pytest.mark.parametrize("label", ODD)
@pytest.mark.thinned(3)
def test_figures_have_every_label_in_their_legend_axes_and_ticks(label):
    figure = plotting.panels(results(label, label), title=verbatim(label))
    assert len(figure.legends[0].get_texts()) == 2
    named = results(label).assign_coords(lr=[label, "b"]).rename(lr="of")
    axes = plotting.sensitivity(named, "loss", over="of")
    with mpl.rc_context({"font.family": "DejaVu Sans"}), pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *_, **__: None)  # of glyphs that this font lacks
        for one in (figure, axes.figure):
            one.savefig(io.BytesIO(), format="svg")
    assert label in [text.get_text().replace(r"\$", "$").lstrip("\u200b") for text in axes.get_xticklabels()]
    plt.close("all")


@SLOWER
@given(labels, labels)
@example("a/b", "c/0")
@example("a", "..")
@example("a", ".zgroup")
@example("%2F", "%2F")
def test_any_label_and_metric_is_stored_and_read_back_as_it_is(tmp_path_factory, label, metric):
    folder = tmp_path_factory.mktemp("stored")
    there = results(label, metric)
    assert save(there, folder / "results.zarr") is None
    xr.testing.assert_identical(read(folder), there)


@QUICK
@given(st.text(max_size=20))
def test_the_name_of_a_file_tells_what_it_was_made_of(name):
    assert from_file(as_file(name)) == name
    assert "/" not in as_file(name)
    assert not as_file(name).startswith((".", "__"))


def test_a_saved_run_has_its_metrics_under_their_names(tmp_path):
    names = [*ODD, "a/b", "..", "%2F"]
    result = run(algorithms.DSGD(lr=0.1), problems.quadratic(4, 2), networks.ring(4), rounds=2, every=2,
                 metrics=dict.fromkeys(names, "loss"))  # fmt: skip
    result.save(tmp_path / "a.npz")
    assert sorted(Result.load(tmp_path / "a.npz").metrics) == sorted(names)
    assert all(name.replace("<i>", "&lt;i&gt;") in result._repr_html_() for name in names)


@QUICK
@given(labels)
def test_rows_of_csv_have_every_label_as_it_is(label):
    file = io.StringIO()
    to_csv(results(label), file)
    rows = pd.read_csv(io.StringIO(file.getvalue()), keep_default_na=False, dtype=str)
    assert list(dict.fromkeys(rows.algorithm)) == list(dict.fromkeys(["plain", label]))


UNDONE = {"textbackslash": "\\", "textasciitilde": "~", "textasciicircum": "^", "textless": "<", "textgreater": ">",
          "textbar": "|", "textasciigrave": "`", "textendash": "–"}  # fmt: skip


@QUICK
@given(labels)
@example("[ours]")
@example("*a--b''")
def test_latex_sets_every_label_as_it_is(label):
    found = latex(label)
    assert found[:1] not in ("[", "*")  # which the end of the row before would take for its own
    back = re.sub(r"\\(text\w+)\{\}", lambda m: UNDONE[m[1]], found)
    assert re.sub(r"\\([&%$#_{}])|\{([\[*]?)\}", lambda m: m[1] or m[2] or "", back) == label or "{" in label
    assert len(to_latex(results(label)).splitlines()) == 9  # one says what the star is


@QUICK
@given(labels)
def test_markdown_has_no_mark_that_is_not_escaped(label):
    found = markdown(label)
    assert re.sub(r"\\([\\`*\[\]<>|~$&#_])", r"\1", found) == label
    assert not re.search(r"(?<!\\)[|`*\[\]<>]", re.sub(r"\\\\", "", found))


@pytest.mark.parametrize("width", [40, 80, 120, 200])
def test_no_number_is_cut_at_any_width(width):
    headers = [f"metric number {k}" for k in range(9)]
    columns = [Column(name, [f"{10.0**k:.4f}" for k in range(3)]) for name in headers]
    names = ["K-GT", "Local DSGD of many steps, K=50", "日本"]
    shown = printed(Grid("title", [Column("algorithm", names, False), *columns], 1, "caption"), width)
    lines = shown.splitlines()
    assert max(map(cell_len, lines)) <= width
    assert "…" not in shown
    for number in ("1.0000", "10.0000", "100.0000"):
        assert shown.count(f" {number} ") == 9
    assert (lines[0], lines[-1].strip()) == ("title", "caption")
    assert shown.count("K-GT") == sum(line.startswith("┏") for line in lines)  # in each part again


def test_a_text_for_a_terminal_has_no_control_characters(capsys):
    say("a\x1b[31m [/b] :smile:", "c" * 300)
    assert capsys.readouterr().out == "a\\x1b[31m [/b] :smile:\n" + "c" * 300 + "\n"
    assert plain("\u0007\n") == "\\x07\n"


def test_no_label_is_markup_beside_a_bar(capsys):
    methods = {label: algorithms.DSGD(lr=0.1) for label in ODD[:3]}
    sweep(methods, problems.quadratic(4, 2), networks.ring(4), seeds=1, rounds=1, progress=True)
    assert ODD[0] in capsys.readouterr().err


def test_a_label_with_control_characters_is_refused():
    with pytest.raises(ValueError, match=r"the label of algorithm, 'a\\x00', has control characters"):
        sweep({"a\0": algorithms.DSGD(lr=0.1)}, problems.quadratic(4, 2), networks.ring(4), rounds=1)


# Paths.


def test_variables_and_the_home_are_filled_in_and_all_else_is_as_it_is(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("JAXDEC_TEST", "runs")
    assert located("~/a") == tmp_path / "a"
    assert located("$JAXDEC_TEST/${JAXDEC_TEST}.zarr") == Path("runs/runs.zarr")
    assert located("a [/b]/$x$ ~") == Path("a [/b]/$x$ ~")
    for unset in ("$JAXDEC_NOWHERE/a", "a/${JAXDEC_NOWHERE}", "~jaxdec-nobody/a"):
        with pytest.raises(ValueError, match="in the environment; set it"):
            located(unset)


def test_what_cannot_be_written_is_known_before(tmp_path):
    (tmp_path / "file").write_text("")
    writable(tmp_path / "new" / "folder" / "a.csv")
    assert (tmp_path / "new" / "folder").is_dir()
    assert not list((tmp_path / "new" / "folder").iterdir())
    with pytest.raises(OSError, match="nothing can be written in"):
        writable(tmp_path / "file" / "a.csv")
    with pytest.raises(IsADirectoryError, match="is a folder; give the name of a file"):
        writable(tmp_path)
