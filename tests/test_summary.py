"""Tables of results made by hand: what is best, what was never run, and what other programs get."""

import io

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from rich.console import Console

from jaxdec.results.export import table, tidy, to_csv, to_latex
from jaxdec.results.summary import best, diverged, ran, summarize


def results(losses, dims, **coordinates):
    """Losses (..., seed) at the last of two rounds, 1.0 at the first."""
    last = np.asarray(losses, float)
    first = np.where(np.isnan(last), np.nan, 1.0)
    values = np.stack([first, last], axis=-1)
    spent = {"grads": ("round", [0.0, 80.0]), "vectors": ("round", [0.0, 5.0])}
    coordinates = {"seed": range(last.shape[-1]), "round": [0, 5], **spent} | coordinates
    return xr.Dataset({"loss": ((*dims, "seed", "round"), values)}, coordinates)


def own_grids():
    """Two algorithms, the first with step sizes 1, 2 and 3, the second with 10 and 20 alone."""
    losses = [[[0.5, 0.4], [0.2, 0.3], [9.0, 9.0]], [[0.8, 0.7], [0.6, 0.1], [np.nan, np.nan]]]
    lrs = (("algorithm", "lr"), [[1.0, 2.0, 3.0], [10.0, 20.0, np.nan]])
    return results(losses, ("algorithm", "lr"), algorithm=["A", "B"], lr=lrs)


def test_each_algorithm_is_judged_on_its_own_grid():
    rows = summarize(own_grids()).set_index("algorithm")
    assert rows.lr.to_dict() == {"A": 2.0, "B": 20.0}
    assert rows.loss.to_dict() == pytest.approx({"A": 0.25, "B": 0.35})
    assert rows.edge.to_dict() == {"A": (), "B": ("lr",)}
    assert (rows.runs.to_dict(), rows.diverged.to_dict()) == ({"A": 6, "B": 4}, {"A": 2, "B": 0})
    frame = tidy(own_grids())
    assert len(frame) == 2 * 10
    assert set(frame[frame.algorithm == "B"].lr) == {10.0, 20.0}
    np.testing.assert_array_equal(best(own_grids()).lr, [2.0, 20.0])


def test_problems_and_networks_are_compared_and_not_chosen():
    losses = np.array([[[0.1], [0.2]], [[0.4], [0.3]]])  # problem, lr
    dataset = results(losses, ("problem", "lr"), problem=["easy", "hard"], lr=[1.0, 2.0])
    rows = summarize(dataset)
    assert rows[["problem", "lr", "loss"]].values.tolist() == [["easy", 1.0, 0.1], ["hard", 2.0, 0.3]]
    assert to_latex(dataset).count(r"\textbf") == 2  # the best of each problem


def test_what_was_never_run_is_a_dash_and_has_not_diverged():
    dataset = results([[0.1, 0.2], [np.nan, np.nan]], ("algorithm",), algorithm=["there", "missing"])
    dataset = dataset.assign_coords(done=(("algorithm", "seed"), [[True, True], [False, False]]))
    assert ran(dataset).values.tolist() == [[True, True], [False, False]]
    assert not diverged(dataset).any()
    rows = summarize(dataset).set_index("algorithm")
    assert (rows.runs["missing"], np.isnan(rows.loss["missing"])) == (0, True)
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(table(dataset, "title"))
    line = next(line for line in console.export_text().splitlines() if "missing" in line)
    assert line.count("–") == 2
    assert list(tidy(dataset).algorithm.unique()) == ["there"]


def test_a_field_that_is_swept_for_another_algorithm_is_a_dash():
    losses = [[[0.5, 0.5], [0.5, 0.5]], [[0.5, 0.5], [0.3, 0.2]]]
    dataset = results(losses, ("algorithm", "B.steps"), algorithm=["A", "B"], **{"B.steps": [1, 4]})
    rows = summarize(dataset).set_index("algorithm")
    assert rows["B.steps"].to_dict() == {"A": "–", "B": 4}
    assert rows.runs.to_dict() == {"A": 2, "B": 4}


def test_more_is_better_of_accuracies():
    dataset = results([[0.9], [0.5]], ("lr",), lr=[1.0, 2.0]).rename(loss="test_accuracy")
    dataset = dataset.assign(test_accuracy=dataset.test_accuracy.where(dataset["round"] > 0, 0.6))
    assert float(best(dataset, "test_accuracy").lr) == 1.0
    assert diverged(dataset, "test_accuracy").values.ravel().tolist() == [False, True]
    assert summarize(dataset).test_accuracy.item() == 0.9
    rows = results([[np.inf], [0.5]], ("lr",), lr=[1.0, 2.0]).rename(loss="test_accuracy")
    assert float(best(rows, "test_accuracy").lr) == 2.0


def test_the_round_to_judge_at_can_be_chosen():
    losses = xr.DataArray([[[1.0, 0.1, 0.5]], [[1.0, 0.3, 0.2]]], dims=("lr", "seed", "round"))
    dataset = xr.Dataset({"loss": losses}, {"lr": [1.0, 2.0], "seed": [0], "round": [0, 5, 10]})
    assert (float(best(dataset).lr), float(best(dataset, at=5).lr)) == (2.0, 1.0)


def test_csv_and_latex_hold_what_the_dataset_holds(tmp_path):
    dataset = results([[1e-7, 3e-7], [np.inf, 0.5]], ("algorithm",), algorithm=["R&D_1 50%", "plain"])
    to_csv(dataset, tmp_path / "a.csv")
    frame = pd.read_csv(tmp_path / "a.csv")
    assert frame.loss.tolist() == [1.0, 1e-7, 1.0, 3e-7, 1.0, np.inf, 1.0, 0.5]
    assert frame.grads.tolist() == [0.0, 80.0] * 4
    latex = to_latex(dataset)
    assert r"R\&D\_1 50\%" in latex
    assert r"\textbf{$2.00\times 10^{-7}$}" in latex
    assert r"$\infty$" in latex
    header, *rows = [line for line in latex.splitlines() if line.endswith(r"\\")]
    assert {line.replace(r"\&", "").count("&") for line in (header, *rows)} == {4}


def test_a_table_for_latex_has_as_many_digits_everywhere_and_what_is_as_good_in_them_is_bold():
    dataset = results([[0.1], [0.100004], [12.0], [0.012]], ("algorithm",), algorithm=["A", "B", "C", "D"])
    rows = [line for line in to_latex(dataset.sel(algorithm=["A", "B", "C"])).splitlines() if line.endswith(r"\\")][1:]
    assert [line.split("&")[1].split()[0] for line in rows] == [r"\textbf{0.100}", r"\textbf{0.100}", "12.0"]
    assert to_latex(dataset).count(r"\textbf") == 1
    assert r"\textbf{0.1000}" in to_latex(dataset.sel(algorithm=["A", "C"]), digits=4)
    accuracy = (
        results([[0.9], [0.95]], ("lr",), lr=[1.0, 2.0]).rename(loss="test_accuracy").expand_dims(algorithm=["A"])
    )
    latex = to_latex(accuracy, "test_accuracy")
    assert latex.startswith("% Chosen on the test set, by test accuracy.\n% *: at the edge of the grid.\n")
    assert "2$^*$ & 0.950" in latex


def test_unknown_metrics_are_refused_with_those_there_are():
    with pytest.raises(ValueError, match="there is no metric 'los'; there are loss"):
        summarize(own_grids(), "los")
