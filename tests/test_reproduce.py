"""Reproducing papers: one's own, and what is written, resumed and refused."""

import dataclasses
import json
import signal
import subprocess
import sys
import time

import jax
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

from jaxdec import algorithms, cli, compressors, data, networks, plotting, problems
from jaxdec.papers.exhibits import Claim, Exhibit, Paper, beside
from jaxdec.papers.reproduce import computed, missing, paper, reproduce

pytestmark = pytest.mark.sampled(2)

mpl.use("Agg")

MINE = """
from jaxdec import algorithms, networks, plotting, problems
from jaxdec.papers.exhibits import Claim, Exhibit, Paper

def sweeps(seeds=3, rounds=40):
    common = dict(problems=problems.quadratic(8, 3, noise=0.1), networks=networks.ring(8), rounds=rounds, seeds=seeds)
    return {"ring": common | dict(algorithms={"K-GT": algorithms.KGT(lr=0.1, local_steps=5)})}

def figure(results):
    return plotting.panels(results, "distance")

def worst(results):
    return float(results.distance.isel(round=-1).max())

def claim(most, must=True):
    return Claim("K-GT comes near", worst, most=most, must=must, source="derived", where="noise", why="by eye")

near, never = claim(1.0), claim(1e-9, must=False)
PAPER = Paper("mine", "Mine (2030), On rings", (
    Exhibit("ring", "K-GT on a ring", sweeps, figure, (near, never), precision="float64", fast={"seeds": 1}),
))
"""


@pytest.fixture(autouse=True)
def _keep_float64():
    yield
    jax.config.update("jax_enable_x64", True)
    plt.close("all")


def call(*arguments, code=0):
    found = CliRunner().invoke(cli.app, ["reproduce", *map(str, arguments)], env={"COLUMNS": "200"})
    assert found.exit_code == code, found.output
    return found.output


def quadratic(**changes):
    """The arguments of a small sweep."""
    common = {"problems": problems.quadratic(4, 2), "networks": networks.ring(4), "rounds": 4, "seeds": 2}
    return common | {"algorithms": {"DSGD": algorithms.DSGD(lr=0.1)}} | changes


def claim(measure=lambda results: 1.0, **bounds):
    bounds = bounds or {"least": 1.0}
    return Claim("something", measure, source="derived", where="here", why="it is so", **bounds)


def exhibit(sweeps=lambda: {"one": quadratic()}, claims=(), figure=lambda r: plotting.panels(r, "loss"), **more):
    about = {"precision": "float64", "fast": {}} | more
    return Exhibit("small", "A small one", sweeps, figure, claims, **about)


def test_the_arguments_of_a_budget_are_those_of_the_functions_that_make_the_exhibit():
    made = lambda n, **more: {n: quadratic(seeds=more["seeds"])}
    both = {"sweeps": lambda n, seeds, tuned: made(n, seeds=seeds), "tuned": lambda n, steps=3: {n: {"budget": steps}}}
    one = exhibit(default={"n": "a", "seeds": 5}, fast={"seeds": 1}, full={"n": "b", "steps": 9}, **both)
    assert one.searches("default") == {"a": {"budget": 3}}
    assert one.searches("full") == {"b": {"budget": 9}}
    assert [one.planned(budget, {})[n]["seeds"] for budget, n in (("fast", "a"), ("default", "a"), ("full", "b"))] == [
        1,
        5,
        5,
    ]
    for wrong in ({"default": {"n": "a"}}, {"fast": {"round": 2}}, {"full": {"tuned": {}}}):
        with pytest.raises(ValueError, match=r"'small' is made by functions of n, seeds, .*(seeds|round|tuned) has no"):
            exhibit(**{"default": {"n": "a", "seeds": 5}, **both, **wrong})


def test_figure_claims_and_data_are_of_what_the_exhibit_makes_of_its_results(tmp_path):
    drawn = []
    last = exhibit(
        claims=(claim(lambda results: results.sizes["round"], most=1),),
        figure=lambda results: drawn.append(results.sizes["round"]) or plotting.panels(results, "loss"),
        view=lambda results: results.isel(round=[-1]),
    )
    (outcome,) = reproduce(Paper("p", "P", (last,)), out=tmp_path, progress=False)
    assert outcome.verdicts[0].holds
    assert {*drawn} == {1}
    assert len((tmp_path / "p" / "small.csv").read_text().splitlines()) == 1 + 2  # of two seeds


def test_a_paper_of_ones_own_is_run_drawn_judged_and_written_down(tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    said = call(tmp_path / "mine.py", "--out", tmp_path)
    assert "does not hold" in said
    assert "K-GT comes near" in said
    folder = tmp_path / "mine"
    for ending in ("png", "pdf", "csv", "md"):
        assert (folder / f"ring.{ending}").stat().st_size > 0
    caption = (folder / "ring.md").read_text()
    assert "Seeds: 0 to 2." in caption
    assert "float64" in caption
    entries = json.loads((folder / "claims.json").read_text())
    assert [(e["holds"], e["must"], e["budget"]) for e in entries] == [
        (True, True, "default"),
        (False, False, "default"),
    ]
    call(tmp_path / "mine.py", "--fast", "--out", tmp_path)  # keeps what the other budget found
    entries = json.loads((folder / "claims.json").read_text())
    assert sorted({e["budget"] for e in entries}) == ["default", "fast"]
    assert (folder / "claims.md").read_text().count("| ring |") == 4


def test_the_exit_status_is_1_if_a_claim_that_must_hold_does_not(tmp_path):
    (tmp_path / "mine.py").write_text(MINE.replace("must=False", "must=True"))
    assert "does not hold" in call(tmp_path / "mine.py", "--fast", "--out", tmp_path, code=1)


def test_what_is_computed_is_not_computed_again(tmp_path):
    first, _ = computed(exhibit(), "default", tmp_path)
    again, _ = computed(exhibit(), "default", tmp_path)
    xr.testing.assert_equal(first, again)
    assert first.attrs["run_seconds"] > 0
    assert again.attrs["run_seconds"] == 0


@pytest.mark.slow
def test_a_paper_that_was_killed_has_the_results_of_one_that_was_not(tmp_path):
    (tmp_path / "mine.py").write_text(
        MINE.replace("rounds=40", "rounds=60000").replace("seeds=seeds", "seeds=seeds, every=1000")
    )
    run = [sys.executable, "-m", "jaxdec.cli", "reproduce", str(tmp_path / "mine.py"), "--out"]
    process = subprocess.Popen([*run, str(tmp_path / "cut")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    store = tmp_path / "cut" / ".stores" / "mine" / "ring" / "default" / "sweep" / "ring"
    while process.poll() is None and not (store / "manifest.json").exists():
        time.sleep(0.02)
    time.sleep(1.0)
    process.send_signal(signal.SIGKILL)
    process.wait()
    for name in ("cut", "whole"):
        subprocess.run([*run, str(tmp_path / name)], check=True, stdout=subprocess.DEVNULL)
    cut, whole = ((tmp_path / name / "mine" / "ring.csv").read_text() for name in ("cut", "whole"))
    assert cut == whole


def test_sweeps_are_laid_side_by_side_along_methods_or_along_what_they_are_named_after():
    of = lambda name, values: xr.Dataset(
        {"loss": (("algorithm", "round"), [values])}, {"algorithm": [name], "round": np.arange(len(values))}
    )
    methods = beside({"a": of("x", [1.0, 2.0]), "b": of("y", [3.0])}, "algorithm")
    assert methods.algorithm.values.tolist() == ["x", "y"]
    np.testing.assert_array_equal(methods.loss, [[1.0, 2.0], [3.0, np.nan]])
    steps = beside({5: of("x", [1.0]), 20: of("x", [2.0])}, "local_steps")
    assert steps.local_steps.values.tolist() == [5, 20]
    assert steps.loss.sel(local_steps=20).values.item() == 2.0


def test_a_coordinate_that_some_sweeps_alone_have_is_one_beside_the_others():
    of = lambda name, values: xr.Dataset(
        {"loss": (("algorithm", "round"), [values])}, {"algorithm": [name], "round": np.arange(len(values))}
    )
    events = of("y", [3.0]).assign_coords(seconds=("round", [0.5]))
    found = beside({"a": of("x", [1.0, 2.0]), "b": events}, "algorithm")
    assert "seconds" in found.coords
    assert found.seconds.sel(algorithm="y").values[0] == 0.5
    assert found.seconds.isnull().sum() == found.seconds.size - 1


def test_seeds_that_were_tuned_on_are_not_reported():
    search = {"one": quadratic(seeds=[7, 1], metric="loss", over={"lr": [0.1, 0.2, 0.4]}, budget=8)}
    search["one"] |= {"problem": search["one"].pop("problems"), "network": search["one"].pop("networks")}
    given = exhibit(lambda tuned: {"one": quadratic(algorithms=tuned["one"].algorithms)}, tuned=lambda: search)
    with pytest.raises(ValueError, match="reports seeds that it tuned on, 1: give tune seeds of its own"):
        computed(given, "default")
    search["one"]["seeds"] = [7]
    results, found = computed(given, "default")
    assert results.seed.values.tolist() == [0, 1]
    assert found["one"].cells.seed.values.tolist() == [7]


def test_test_data_that_were_tuned_on_are_not_reported():
    task = problems.softmax(data.digits(), data.iid(data.digits(), 4))
    search = {"one": quadratic(seeds=[7], metric="test_loss", metrics=["test"], over={"lr": [0.1, 0.2]}, budget=8)}
    search["one"] |= {"problem": task, "network": search["one"].pop("networks")}
    del search["one"]["problems"]
    sweeps = lambda tuned: {"one": quadratic(problems=task, metrics=["test"])}
    with pytest.raises(ValueError, match="tunes on the test data that it reports"):
        computed(exhibit(sweeps, tuned=lambda: search), "default")


def test_an_exhibit_whose_data_is_not_there_is_not_run_and_the_call_has_failed(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXDEC_DATA", str(tmp_path))
    monkeypatch.setenv("JAXDEC_CACHE", str(tmp_path))
    needy = exhibit(needs=("libsvm/nothing",), stand_in="quadratics", claims=(claim(),))
    (outcome,) = reproduce(Paper("p", "P (2030)", (needy,)), out=tmp_path, progress=False)
    assert (outcome.lacking, outcome.failed, outcome.verdicts) == (("libsvm/nothing",), True, ())
    (outcome,) = reproduce(Paper("p", "P (2030)", (needy,)), budget="fast", out=tmp_path, progress=False)
    assert not outcome.failed
    assert "Data: quadratics." in (tmp_path / "p" / "small.md").read_text()


def test_the_full_budget_may_need_other_data_and_an_exhibit_may_have_no_other_budget(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXDEC_DATA", str(tmp_path))
    monkeypatch.setenv("JAXDEC_CACHE", str(tmp_path))
    both = exhibit(needs_in_full=("libsvm/nothing",), claims=(claim(),))
    large = dataclasses.replace(both, name="large", budgets=("full",), needs=("libsvm/nothing",))
    mine = Paper("p", "P (2030)", (both, large))
    (outcome,) = reproduce(mine, out=tmp_path, progress=False)
    assert (outcome.exhibit, outcome.failed) == (both, False)
    outcomes = reproduce(mine, budget="full", out=tmp_path, progress=False)
    assert [o.lacking for o in outcomes] == [("libsvm/nothing",)] * 2
    with pytest.raises(ValueError, match="the budget of large is one of 'full'"):
        reproduce(mine, ["large"], out=tmp_path, progress=False)


def test_what_is_needed_in_full_alone_is_not_asked_for_before(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXDEC_DATA", str(tmp_path))
    monkeypatch.setenv("JAXDEC_CACHE", str(tmp_path))
    needy = exhibit(needs_in_full=("cifar10",), claims=(claim(),))
    assert [missing(needy, budget) for budget in ("fast", "default", "full")] == [(), (), ("cifar10",)]


def test_warnings_that_are_meant_are_silent_and_others_are_not():
    Q = compressors.Quantization(levels=1)
    frozen = algorithms.MCM(lr=0.1, compressor=Q, down_compressor=Q, down_alpha=0.0)
    sweeps = lambda: {"one": quadratic(algorithms={"frozen": frozen}, networks=networks.server(4))}
    computed(exhibit(sweeps, warned=("MCM.down_alpha",)), "default")
    with pytest.warns(UserWarning, match="MCM.down_alpha = 0"):
        computed(exhibit(sweeps, warned=("DORE.feedback",)), "default")


def test_a_figure_that_cannot_be_drawn_costs_neither_the_data_nor_the_claims(tmp_path):
    def figure(results):
        raise ValueError("no")

    (outcome,) = reproduce(
        Paper("p", "P (2030)", (exhibit(figure=figure, claims=(claim(),)),)), out=tmp_path, progress=False
    )
    assert outcome.failed
    assert "small.png was not drawn: ValueError: no" in outcome.failures[0]
    assert (tmp_path / "p" / "small.csv").exists()
    assert json.loads((tmp_path / "p" / "claims.json").read_text())[0]["holds"]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_written_and_judged(value, tmp_path):
    judged = claim(lambda results: value, least=0.0, most=1e300)
    (outcome,) = reproduce(Paper("p", "P (2030)", (exhibit(claims=(judged,)),)), out=tmp_path, progress=False)
    assert not outcome.verdicts[0].holds
    assert json.loads((tmp_path / "p" / "claims.json").read_text())[0]["measured"] == str(value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("nothing",), "a paper is one of kgt"),
        (("kgt", "nothing"), "an exhibit of kgt is one of 'floors'"),
        (("kgt", "--fast", "--full"), "give --fast or --full, not both"),
        (("missing.py",), "there is no file missing.py"),
        (("jaxdec.theory",), "has no PAPER"),
        (("kgt", "--data", "/nowhere"), "there is none at /nowhere"),
    ],
)
def test_what_cannot_be_reproduced_is_refused_before_anything_runs(given, message, tmp_path):
    said = call(*given, "--out", tmp_path, code=2)
    assert message in " ".join(said.replace("│", " ").split())
    assert not list(tmp_path.rglob("*.json"))


def test_claims_say_how_they_are_decided():
    with pytest.raises(ValueError, match="neither a least nor a most"):
        Claim("x", float, source="derived", where="", why="")
    with pytest.raises(ValueError, match="source of the claim 'x' is one of"):
        Claim("x", float, least=0, source="guessed", where="", why="")
    with pytest.raises(ValueError, match="say in stand_in"):
        exhibit(needs=("mnist",))
    with pytest.raises(ValueError, match="two exhibits called small"):
        Paper("p", "P (2030)", (exhibit(), exhibit()))


def test_all_papers_are_listed():
    said = call()
    for name in ("floors", "saving", "logistic", "mnist"):
        assert name in said
    assert paper("kgt").name == "kgt"


@pytest.mark.parametrize("x64", [False, True])
def test_an_exhibit_fixes_its_own_precision(x64):
    with jax.enable_x64(x64):
        for precision in ("float32", "float64"):
            results, _ = computed(exhibit(precision=precision), "default")
            assert {str(v.dtype) for v in results.data_vars.values()} == {precision}
