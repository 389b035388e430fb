"""`tune` on quadratics, whose best step sizes are known."""

import numpy as np
import pytest

from jaxdec import algorithms as A
from jaxdec import compressors, metrics, networks, problems
from jaxdec.results.terminal import say
from jaxdec.results.time import Link
from jaxdec.sweeps import execute, search
from jaxdec.sweeps.tuning import tune

pytestmark = pytest.mark.sampled(12)

# Gradient descent on f_i(x) = x'x/2 - b_i'x: xbar contracts by |1 - lr| a round, so that lr = 1 is the best.
ROUND = problems.Quadratic(A=np.ones((4, 3)), b=np.arange(12.0).reshape(4, 3))
COMPLETE = networks.complete(4)
COMMON = {"rounds": 20, "every": 5, "seeds": 2, "metric": "distance", "progress": False}


def test_a_grid_far_off_is_widened_then_refined_and_diverged_cells_are_ignored():
    found = tune(
        {"low": A.DSGD(lr=1.0), "high": A.DSGD(lr=1.0)}, ROUND, COMPLETE, budget=40, **COMMON,
        over={"lr": {"low": [1e-3, 2e-3, 4e-3, 8e-3], "high": [30.0, 60.0, 120.0, 240.0]}},
    )  # fmt: skip
    rows = found.to_dataframe().set_index("algorithm")
    for label, algorithm in found.algorithms.items():
        assert 0.9 < algorithm.lr < 1.1
        assert (rows.edge[label], rows.cells[label] <= 40) == ((), True)
        start = float(np.linalg.norm(np.asarray(ROUND.minimizer)))
        expected = start * abs(1 - algorithm.lr) ** 20
        np.testing.assert_allclose(rows.score[label], expected, rtol=1e-6, atol=1e-12)
        np.testing.assert_allclose(rows.half[label], start * abs(1 - algorithm.lr / 2) ** 20, rtol=1e-6)
    assert rows.diverged["high"] > 4
    cells = found.cells
    assert set(cells.distance.dims) == {"cell", "seed", "round"}
    assert cells.sizes["cell"] == rows.cells.sum()
    one = cells.isel(cell=int(cells.lr.values.argmin()))
    np.testing.assert_allclose(one.distance.isel(round=-1), start * (1 - one.lr) ** 20, rtol=1e-6)


def test_the_first_moves_are_the_grid_continued_geometrically(monkeypatch):
    moves = []
    evaluate = search.Search.evaluate
    monkeypatch.setattr(search.Search, "evaluate", lambda s, arm, v: (moves.append(v["lr"]), evaluate(s, arm, v))[1])
    tune(A.DSGD(lr=1.0), ROUND, COMPLETE, over={"lr": [0.004, 0.001, 0.002, 0.008]}, budget=16, **COMMON)
    grid, wider, wider_yet, near = moves
    assert grid == [0.001, 0.002, 0.004, 0.008]
    np.testing.assert_allclose(wider, [0.016, 0.032, 0.064, 0.128], rtol=1e-12)
    np.testing.assert_allclose(wider_yet, [0.256, 0.512, 1.024, 2.048], rtol=1e-12)
    np.testing.assert_allclose(near, np.array(search.NEAR) * 1.024, rtol=1e-12)


def test_the_fewest_rounds_vectors_or_seconds_to_a_target():
    # From distance r to r/10 takes the least t with |1 - lr|^t <= 1/10, a record every 5 rounds.
    r = float(np.linalg.norm(np.asarray(ROUND.minimizer)))
    common = COMMON | {"target": r / 10, "over": {"lr": [0.05, 0.1, 0.2, 0.4]}, "budget": 8}
    found = tune(A.DSGD(lr=1.0), ROUND, COMPLETE, **common)
    row = found.to_dataframe().iloc[0]
    assert row.score == 5  # 0.4: (1 - 0.4)^5 = 0.078
    assert found.goal == f"rounds until distance ≤ {r / 10:g}"
    by_lr = dict(zip(found.cells.lr.values.tolist(), found.cells.score.values.tolist(), strict=True))
    assert (by_lr[0.05], by_lr[0.2]) == (np.inf, 15)  # 0.95^20 = 0.36; 0.8^10 = 0.107, 0.8^15 = 0.035
    never = tune(A.DSGD(lr=1.0), ROUND, COMPLETE, **(common | {"target": 0.0})).to_dataframe().iloc[0]
    assert (never.score, never.lr, np.isnan(never.low)) == (np.inf, 0.8, True)  # the least distance at the end
    link = Link(latency=1.0, bandwidth=96.0)
    seconds = tune(A.DSGD(lr=1.0), ROUND, COMPLETE, cost="seconds", link=link, **common).to_dataframe().iloc[0]
    np.testing.assert_allclose(seconds.score, 5 * 3 * (1 + 1))  # three neighbours, 96 bits each


def test_choices_are_arms_and_fields_between_are_refined_together():
    found = tune(
        A.GradientTracking(lr=0.1), ROUND, COMPLETE, budget=24, **COMMON,
        over={"form": ["semi-atc", "atc"], "lr": [0.1, 0.3, 0.9, 2.7]},
    )  # fmt: skip
    row = found.to_dataframe().iloc[0]
    assert {row.form, *np.unique(found.cells.form)} == {"semi-atc", "atc"}
    assert found.algorithms["GradientTracking"].form == row.form
    assert len(np.unique(found.cells.lr[found.cells.form.values != row.form])) == 4  # only the better one is refined


def test_fields_that_are_no_step_sizes_are_searched_within_their_grid_alone():
    # With lr = 1 and heavy balls xbar oscillates, so that the least momentum is the best.
    found = tune(
        A.DSGDm(lr=1.0, momentum=0.5), ROUND, COMPLETE, over={"momentum": [0.0, 0.3, 0.6, 0.9]}, budget=100, **COMMON
    )
    row = found.to_dataframe().iloc[0]
    assert (row.momentum, row.edge, row.cells) == (0.0, ("momentum",), 8)  # refined once: 0.06 is near enough
    assert found.cells.momentum.min() == 0.0
    assert np.isnan(row.double)


def test_a_table_can_be_pasted_and_says_where_it_is_open():
    found = tune(A.DSGD(lr=1.0), ROUND, COMPLETE, over={"lr": [0.001, 0.002, 0.004, 0.008]}, budget=4, **COMMON)
    header, rule, row = found.to_markdown().split("\n")
    assert header == "| algorithm | lr | score | half | double | within 1.2x | cells | diverged |"
    assert rule.count("---") == 8
    assert row.startswith("| DSGD | 0.008* |")
    assert "≥ 0.008" in row


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"budget": 2}, "the grid of DSGD has 3 cells, more than budget=2"),
        ({"at": 7}, "at is a recorded round, a multiple of every=5 up to 20; got 7"),
        ({"at": 5, "target": 1.0}, "not both"),
        ({"cost": "bits"}, "cost='bits' is what a target is reached at; give target"),
        ({"cost": "bit", "target": 1.0}, "cost is one of 'rounds'"),
        ({"cost": "seconds", "target": 1.0}, r"give link=results.Link"),
        ({"within": 0.9}, "within is a factor above 1; got 0.9"),
        ({"over": {}}, "over is a mapping of fields to the values to begin with"),
        ({"over": {"le": [1.0]}}, "DSGD has no field 'le'"),
        ({"over": {"problem.noise": [1.0]}}, "'problem.noise' is not one"),
        ({"problem": {"a": ROUND, "b": ROUND}}, "tune takes one problem; got 2"),
        ({"rounds": 21}, "not a multiple"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_runs(monkeypatch, change, message):
    monkeypatch.setattr(search.Search, "evaluate", lambda *_: pytest.fail("was run"))
    arguments = {"algorithms": A.DSGD(lr=1.0), "problem": ROUND, "network": COMPLETE, "over": {"lr": [0.1, 0.2, 0.4]}}
    with pytest.raises(ValueError, match=message):
        tune(**(arguments | COMMON | change))


def test_a_metric_that_is_not_measured_is_refused():
    with pytest.raises(ValueError, match=r"no metric 'distanse'; there are .*distance"):
        tune(A.DSGD(lr=1.0), ROUND, COMPLETE, over={"lr": [0.1, 0.2, 0.3, 0.4]}, **(COMMON | {"metric": "distanse"}))


def test_only_numbers_that_are_step_sizes_or_fractional_are_searched_between():
    choco = A.ChocoSGD(0.1, 0.5, compressors.Quantization(levels=4))
    between = lambda moves: search._between(choco, moves)
    assert between([{"lr": 1}, {"lr": 10}])
    assert between([{"consensus_lr": 0.5}])
    assert not between([{"compressor.levels": 2}, {"compressor.levels": 4}])
    assert not between([{"compressor": compressors.Identity()}])
    assert not between([{"lr": 0.1, "consensus_lr": 0.1}, {"lr": 0.2, "consensus_lr": 0.2}])
    assert search._is_step_size(choco, "lr")
    assert not search._is_step_size(choco, "compressor.levels")


def test_a_search_that_is_stopped_goes_on_from_its_store_to_what_an_undisturbed_one_finds(tmp_path, monkeypatch):
    arguments = {"over": {"lr": [0.01, 0.1, 0.3]}, "budget": 16, **COMMON}
    pair = {"a/b: DSGD": A.DSGD(lr=1.0), "tracking": A.GradientTracking(lr=1.0)}
    whole = tune(pair, ROUND, COMPLETE, **arguments)
    evaluate, moves = search.Search.evaluate, []

    def stopped(self, arm, values):
        moves.append(values)
        if len(moves) == 4:
            raise KeyboardInterrupt
        evaluate(self, arm, values)

    with monkeypatch.context() as patch:
        patch.setattr(search.Search, "evaluate", stopped)
        with pytest.raises(KeyboardInterrupt):
            tune(pair, ROUND, COMPLETE, store=tmp_path, **arguments)
    assert len(list(tmp_path.iterdir())) == 3
    ran = []
    monkeypatch.setattr(execute.Engine, "block", lambda self, *a, f=execute.Engine.block: ran.append(1) or f(self, *a))
    again = tune(pair, ROUND, COMPLETE, store=tmp_path, **arguments)
    count = len(ran)
    assert count > 0
    assert again.to_dataframe().equals(whole.to_dataframe())
    assert again.cells.equals(whole.cells)
    assert tune(pair, ROUND, COMPLETE, store=tmp_path, **arguments).to_dataframe().equals(whole.to_dataframe())
    assert len(ran) == count


def test_the_range_around_a_best_score_below_zero_is_one_of_gaps_or_of_the_descent():
    # One round from x0 = 0, where f = 0 and f* = -F: f - f* = (1 - lr)² F. The best of the grid is lr = 1/2.
    grid = {"over": {"lr": [0.3, 0.4, 0.46, 0.5]}, "budget": 4, "rounds": 1, "every": 1, "seeds": 1, "progress": False}
    loss = tune(A.DSGD(lr=1.0), ROUND, COMPLETE, metric="loss", **grid)
    row = loss.to_dataframe().iloc[0]
    assert row.score < 0
    assert (row.low, row.high) == (0.46, 0.5)  # gaps of 0.292 F and 0.25 F; at 0.4 it is 0.36 F
    assert "within 1.2x of f - f*" in loss.to_markdown().replace("\\", "")
    mine = tune(A.DSGD(lr=1.0), ROUND, COMPLETE, metric="mine", metrics={"mine": metrics.loss}, **grid)
    assert mine.to_dataframe().iloc[0].low == 0.4  # f* is not known: down by 0.64 F of 0.75 F, and at 0.3 by 0.51 F
    assert "within 20% of the descent" in mine.to_markdown()


def test_labels_of_tuned_algorithms_are_no_markup(capsys):
    grid = {"over": {"lr": [0.3, 0.4]}, "budget": 2, "rounds": 1, "every": 1, "seeds": 1, "metric": "distance"}
    found = tune({"DSGD [/draft] | a": A.DSGD(lr=1.0)}, ROUND, COMPLETE, progress=True, **grid)
    say(found)
    shown = capsys.readouterr()
    assert "DSGD [/draft] | a" in shown.out
    assert "DSGD [/draft] | a" in shown.err  # beside the bar
    assert r"DSGD \[/draft\] \| a" in found.to_markdown()
