"""Figures from results made by hand: what is drawn is what the results say."""

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr

from jaxdec import algorithms as A
from jaxdec import data, networks, plotting, problems, run
from jaxdec.results import add_passes, best, median, summarize
from jaxdec.results.export import table

mpl.use("Agg")
import matplotlib.pyplot as plt

pytestmark = pytest.mark.sampled(12)

ROUNDS = np.arange(0, 401, 20)


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def results(algorithms=("DSGD", "K-GT"), lrs=(0.1, 1.0, 10.0), seeds=4, problems=(), networks=()):
    """Losses that fall as exp(-lr t / 100) to a floor, lr = 10 diverging; costs in proportion to rounds."""
    rng = np.random.default_rng(0)
    dims = {"algorithm": list(algorithms), "problem": list(problems), "network": list(networks), "lr": list(lrs)}
    dims = {k: v for k, v in dims.items() if v} | {"seed": list(range(seeds)), "round": ROUNDS}
    shape = tuple(map(len, dims.values()))
    array = lambda name: xr.DataArray(np.asarray(dims[name], float), dims=name)
    lr = array("lr") if "lr" in dims else xr.DataArray(1.0)
    rank = xr.DataArray(np.arange(len(dims["algorithm"])), dims="algorithm")
    with np.errstate(over="ignore"):
        loss = np.exp(-lr * array("round") / 100) + 10.0 ** (-3 - rank) + xr.zeros_like(array("seed"))
        loss = loss.where(lr < 10, np.exp(array("round") ** 2))
    noise = xr.DataArray(np.exp(0.2 * rng.normal(size=shape)), dims=list(dims))
    loss = (loss * noise).transpose(*dims)
    accuracy = 0.9 - 0.5 * loss.clip(max=1)
    spent = {"grads": 16.0 * array("round"), "vectors": (1 + rank) * array("round"), "bits": 320.0 * array("round")}
    variables = {"loss": loss, "grad_norm_sq": loss**2, "consensus": loss / 3, "test_accuracy": accuracy}
    return xr.Dataset(variables).assign_coords({**dims, **spent})


@pytest.mark.parametrize("x", ["round", "grads", "vectors", "bits"])
def test_a_curve_is_the_median_against_what_was_asked(x):
    chosen = best(results())
    ax = plotting.curves(chosen, "loss", x=x)
    assert [line.get_label() for line in ax.lines] == ["DSGD, lr 1", "K-GT, lr 1"]
    assert (ax.get_yscale(), ax.get_xlabel()) == ("log", plotting.LABELS[x])
    for line, name in zip(ax.lines, ("DSGD", "K-GT"), strict=True):
        one = chosen.sel(algorithm=name)
        np.testing.assert_allclose(line.get_xdata(), one[x])
        np.testing.assert_allclose(line.get_ydata(), one.loss.median("seed"))
    assert len(ax.collections) == 2  # bands


def test_the_band_holds_the_middle_eighty_percent_or_the_confidence_interval():
    chosen = best(results(seeds=12)).sel(algorithm=["DSGD"])
    bands = {}
    for band in ("quantiles", "confidence", "none"):
        ax = plotting.curves(chosen, "loss", band=band)
        bands[band] = [path.vertices for c in ax.collections for path in c.get_paths()]
    assert not bands["none"]
    ends = np.quantile(chosen.loss.squeeze("algorithm").transpose("seed", "round"), [0.1, 0.9], axis=0)
    for k in (0, -1):
        at = bands["quantiles"][0][bands["quantiles"][0][:, 0] == ROUNDS[k]][:, 1]
        np.testing.assert_allclose([at.min(), at.max()], ends[:, k])
    width = lambda v: np.ptp(v[0][v[0][:, 0] == ROUNDS[-1]][:, 1])
    assert width(bands["confidence"]) < width(bands["quantiles"])


def test_a_line_ends_with_a_cross_where_its_median_run_diverges():
    ax = plotting.curves(results().sel(lr=10.0), "loss")
    line, cross = ax.lines[:2]
    assert 1 < len(line.get_xdata()) < len(ROUNDS)
    assert (cross.get_marker(), cross.get_xdata()[0]) == ("x", line.get_xdata()[-1])
    assert np.isfinite(ax.get_ylim()).all()


def test_accuracies_and_negative_values_are_on_linear_axes():
    chosen = best(results())
    assert plotting.curves(chosen, "test_accuracy").get_yscale() == "linear"
    assert plotting.curves(chosen.assign(loss=chosen.loss - 0.5), "loss").get_yscale() == "linear"
    zero = plotting.curves(chosen.assign(loss=chosen.loss.where(chosen["round"] > 0, 0.0)), "loss", log_x=True)
    assert (zero.get_xscale(), zero.get_yscale()) == ("log", "log")
    np.testing.assert_array_equal(zero.lines[0].get_xdata(), ROUNDS[1:])


def test_sensitivity_leaves_out_diverged_values_and_takes_the_best_of_the_others():
    ax = plotting.sensitivity(results(), "loss")
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), [0.1, 1.0])
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    two = xr.concat([results() * 2, results()], "local_steps").assign_coords(local_steps=[1, 5])
    ax = plotting.sensitivity(two, "loss")
    expected = results().loss.isel(round=-1).median("seed")
    np.testing.assert_allclose(ax.lines[0].get_ydata(), expected.sel(algorithm="DSGD", lr=[0.1, 1.0]))
    accuracy = plotting.sensitivity(two.isel(local_steps=0), "test_accuracy")
    assert accuracy.get_yscale() == "linear"


def test_a_figure_that_is_made_here_has_a_legend_and_one_that_is_given_has_it_where_it_is_asked_for():
    chosen = best(results())
    assert len(plotting.curves(chosen, "loss").get_legend().get_texts()) == 2
    assert len(plotting.sensitivity(results(), "loss").get_legend().get_texts()) == 2
    _, ax = plt.subplots()
    assert plotting.curves(chosen, "loss", ax=ax).get_legend() is None
    assert plotting.curves(chosen, "loss", ax=ax, legend=True).get_legend() is not None
    assert plotting.curves(chosen, "loss", legend=False).get_legend() is None


def told(figure):
    legend = figure.legends[0]
    return [text.get_text() for text in legend.get_texts()], legend.get_title().get_text()


def test_chosen_values_are_named_with_what_chose_them_and_a_star_at_the_edge():
    at_edge = results(lrs=(0.1, 1.0))
    labels = ["DSGD, lr 1*", "K-GT, lr 1*"]
    assert told(plotting.panels(at_edge, "loss")) == (labels, "best by loss; *: at the edge of the grid")
    assert told(plotting.overview(at_edge))[0] == labels
    own = at_edge.drop_vars("lr").assign_coords(lr=(("algorithm", "lr"), [[0.1, 1.0], [2.0, 20.0]]))
    own = own.assign(loss=own.loss.where(own["algorithm"] == "DSGD", own.loss.roll(lr=1)))
    assert told(plotting.panels(own))[0] == ["DSGD, lr 1*", "K-GT, lr 2*"]
    assert told(plotting.panels(results(lrs=()), "loss")) == (["DSGD", "K-GT"], "")
    assert told(plotting.panels(results(lrs=(1.0,)), "loss")) == (["DSGD", "K-GT"], "")
    places = results(networks=["ring", "torus"])
    apart = places.assign(loss=places.loss.where(places.network == "ring", places.loss.roll(lr=-1)))
    assert told(plotting.panels(apart))[0] == ["DSGD, lr 1 | lr 0.1*", "K-GT, lr 1 | lr 0.1*"]


def test_nothing_is_chosen_on_the_test_set_unless_it_is_asked_for_and_said():
    there = results(lrs=(0.1, 0.5, 1.0))
    misled = there.assign(test_accuracy=there.test_accuracy.where(there.lr != 0.5, 1.0))
    assert told(plotting.panels(misled, "test_accuracy"))[0] == ["DSGD, lr 1*", "K-GT, lr 1*"]
    asked = told(plotting.panels(misled, "test_accuracy", by="test_accuracy"))
    assert asked == (["DSGD, lr 0.5", "K-GT, lr 0.5"], "best by test accuracy, on the test set")
    two = xr.concat([misled, misled * 0.9], "momentum").assign_coords(momentum=[0.0, 0.9])  # of less loss and accuracy
    ends = lambda by: plotting.sensitivity(two, "test_accuracy", by=by).lines[0].get_ydata()
    np.testing.assert_allclose(ends(None)[1], 0.9)
    np.testing.assert_allclose(ends("test_accuracy")[1], 1.0)
    said = lambda metric: "Chosen on the test set" in table(misled, "", metric).caption
    assert (said(None), said("test_accuracy")) == (False, True)


def test_the_ends_of_the_vertical_axes_are_those_that_are_asked_for():
    places = results(networks=["ring", "torus"])
    assert [ax.get_ylim() for ax in plotting.panels(places, "loss", ylim=(1e-3, 2.0)).axes] == [(1e-3, 2.0)] * 2
    with pytest.raises(ValueError, match="0 < low < high, since the axis is logarithmic; got 0 and 1"):
        plotting.panels(places, "loss", ylim=(0, 1))
    with pytest.raises(ValueError, match="low < high; got 1 and 0"):
        plotting.panels(places, "test_accuracy", ylim=(1, 0))


def test_lines_beyond_the_seventh_differ_by_their_dashes():
    ax = plotting.curves(best(results([f"A{k}" for k in range(9)])), "loss")
    looks = [(line.get_color(), line.get_linestyle()) for line in ax.lines]
    assert len(set(looks)) == 9


def test_panels_have_a_row_per_problem_and_a_column_per_network_and_one_legend(tmp_path):
    dataset = results(problems=["even", "uneven"], networks=["ring", "torus", "complete"])
    figure = plotting.panels(dataset, "loss", x="vectors", title="a title")
    assert [ax.get_title() for ax in figure.axes][:2] == ["even, ring", "even, torus"]
    assert len(figure.axes) == 6
    assert len(figure.legends) == 1
    figure.savefig(tmp_path / "panels.png")
    assert (tmp_path / "panels.png").stat().st_size > 20_000


def test_the_overview_shows_what_there_is():
    assert len(plotting.overview(results(), title="t").axes) == 3
    assert len(plotting.overview(results(lrs=())).axes) == 2
    only = results()[["loss"]].rename(loss="excess")
    assert plotting.overview(only).axes[0].get_ylabel() == "excess"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"metric": "los"}, "no metric 'los'; there are loss, grad_norm_sq"),
        ({"x": "seconds"}, "x is one of round, grads, vectors, bits; got 'seconds'; results.add_time"),
        ({"band": "sd"}, "band is one of quantiles, confidence, none; got 'sd'"),
        ({"results": results()}, "choose among lr, see results.best"),
    ],
)
def test_what_cannot_be_drawn_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        plotting.curves(**({"results": best(results()), "metric": "loss"} | arguments))


def test_passes_are_gradients_over_the_samples_that_a_node_has():
    of_one = add_passes(best(results()), 32)
    np.testing.assert_array_equal(of_one["passes"], best(results())["grads"] / 32)
    ax = plotting.curves(of_one, "loss", x="passes")
    assert (ax.get_xlabel(), ax.lines[0].get_xdata()[-1]) == ("passes over the data", ROUNDS[-1] * 16 / 32)
    several = results(problems=("a", "b"))
    passes = add_passes(several, xr.DataArray([32, 64], {"problem": ["a", "b"]}))["passes"]
    np.testing.assert_array_equal(passes.sel(problem="a"), 2 * passes.sel(problem="b"))
    with pytest.raises(ValueError, match="a positive number; got 0"):
        add_passes(several, 0)


def test_a_coordinate_of_ones_own_over_the_rounds_can_be_drawn_against():
    mine = best(results()).assign_coords(mine=("round", 3.0 * ROUNDS))
    ax = plotting.curves(mine, "loss", x="mine")
    assert (ax.get_xlabel(), ax.lines[0].get_xdata()[-1]) == ("mine", 3 * ROUNDS[-1])


def test_a_panel_in_which_every_run_diverged_says_so(tmp_path):
    lost = results(lrs=(10.0, 20.0))
    said = lambda ax: [text.get_text() for text in ax.texts]
    ends = lost.where(lost["round"] < 100)  # finite for a while
    assert said(plotting.sensitivity(ends, "loss")) == ["no finite value to draw:\nthe median run diverged at each"]
    assert said(plotting.curves(ends.isel(lr=0), "loss")) == []
    for nothing in (lost.where(lost["round"] < 0), lost.where(lost["round"] < 0, np.inf)):
        for ax in (*plotting.overview(nothing).axes[:2], *plotting.panels(nothing, "loss").axes):
            assert said(ax) == ["no finite value to draw:\nthe median runs diverged"]
            ax.figure.savefig(tmp_path / "a.png")
    start = lost.where(lost["round"] < 20).isel(lr=0)  # a cross at round 0 alone says less
    assert said(plotting.curves(start, "loss")) == ["no finite value to draw:\nthe median runs diverged"]
    assert said(plotting.curves(results().isel(lr=0, round=[0]), "loss", log_x=True)) == [
        "nothing to draw on these axes"
    ]


@pytest.mark.parametrize("n", [2, 3, 8, 16])
def test_the_title_of_a_partition_is_not_cut(n):
    digits = data.digits()
    ax = plotting.partition(data.iid(digits, n), digits)
    ax.figure.draw_without_rendering()
    title, whole = ax.title.get_window_extent(), ax.figure.bbox
    assert (title.x0 >= whole.x0, title.x1 <= whole.x1, title.y1 <= whole.y1) == (True, True, True)


def test_runs_are_drawn_side_by_side_by_their_labels():
    problem, ring = problems.quadratic(4, 2), networks.ring(4)
    go = lambda lr, **more: run(A.DSGD(lr=lr), problem, ring, **({"rounds": 4, "every": 2} | more))
    runs = {"slow": go(0.1), "fast, $K$": go(0.2)}
    ax = plotting.curves(runs, "distance")
    assert [line.get_label() for line in ax.lines] == ["slow", r"fast, \$K\$"]
    np.testing.assert_allclose(ax.lines[1].get_ydata(), runs["fast, $K$"].metrics["distance"])
    assert summarize(runs).algorithm.tolist() == ["slow", "fast, $K$"]
    assert median(runs).distance.sizes == {"algorithm": 2, "round": 3}
    with pytest.raises(ValueError, match="slow and b are recorded at different rounds"):
        plotting.curves({"slow": go(0.1), "b": go(0.1, rounds=6)})
    with pytest.raises(ValueError, match="slow, b have no seed in common"):
        plotting.curves({"slow": go(0.1), "b": go(0.1, seed=1)})


def test_a_label_that_is_wider_than_the_figure_is_folded_and_not_cut(tmp_path):
    label = "a label of many $options$ " * 12
    figure = plotting.overview(results(["DSGD", label]))
    figure.draw_without_rendering()
    text = figure.legends[0].get_texts()[1]
    assert text.get_text().replace("\n", "").replace(r"\$", "$") == f"{label}, lr 1"
    legend = figure.legends[0].get_window_extent()
    assert (legend.x0 >= 0, legend.x1 <= figure.bbox.width) == (True, True)
