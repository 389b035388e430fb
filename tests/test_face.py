"""What a user meets first: names that load when used, short texts for objects, and a run that knows what was run."""

import importlib
import json
import pkgutil
import subprocess
import sys
import types
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
import optax
import pytest
import xarray as xr

import jaxdec
from jaxdec import Result, algorithms, compressors, networks, plotting, problems, results, run
from jaxdec.loop import catalogue
from jaxdec.results import export, labelled, summarize

mpl.use("Agg")
import matplotlib.pyplot as plt

ROOT = Path(jaxdec.__file__).parent
NAMES = [m.name for m in pkgutil.walk_packages([str(ROOT)], "jaxdec.") if "._" not in m.name]
PACKAGES = ["jaxdec", *(m.name for m in pkgutil.walk_packages([str(ROOT)], "jaxdec.") if m.ispkg)]
METHOD, PROBLEM, RING = algorithms.DSGD(lr=0.1), problems.quadratic(6, 3, noise=0.1), networks.ring(6)


@pytest.fixture(scope="module")
def result():
    return run(METHOD, PROBLEM, RING, rounds=20, every=5, seed=3)


# Names.


def test_importing_jaxdec_imports_nothing_heavy_and_running_no_more_than_it_needs():
    heavy = "{m for m in ('jax', 'numpy', 'xarray', 'matplotlib', 'optax', 'flax', 'networkx') if m in sys.modules}"
    code = f"""
import sys, jaxdec
assert not {heavy}, {heavy}
assert dir(jaxdec) == sorted(jaxdec.__all__)
jaxdec.run, jaxdec.problems.quadratic, jaxdec.algorithms.DSGD, jaxdec.networks.ring
jaxdec.algorithms.FedOpt, jaxdec.problems.softmax
later = {{'matplotlib', 'optax', 'flax', 'sklearn', 'networkx', 'scipy.optimize', 'scipy.spatial'}} & sys.modules.keys()
assert not later, later
from jaxdec import *
assert run is jaxdec.run
"""
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": str(ROOT.parent), "PATH": ""})


@pytest.mark.parametrize("name", PACKAGES)
def test_the_names_of_a_package_are_those_it_closes_with_and_all_can_be_had(name):
    package = importlib.import_module(name)
    assert dir(package) == sorted(package.__all__)
    assert not [n for n in package.__all__ if n.startswith("_")]
    assert all(getattr(package, n) is not None for n in package.__all__)


def test_the_names_of_networks_are_the_list_of_networks():
    made = [getattr(networks, name) for name in dir(networks)]
    assert not [thing for thing in made if isinstance(thing, types.ModuleType)]
    assert {"ring", "server", "lossy"} <= set(dir(networks))


@pytest.mark.parametrize("name", NAMES)
def test_a_public_module_is_closed_and_no_public_name_hides_it(name):
    above, _, last = name.rpartition(".")
    module = importlib.import_module(name)
    for exported in importlib.import_module(above).__all__:  # whatever is loaded in between
        getattr(importlib.import_module(above), exported)
    assert getattr(importlib.import_module(above), last) is module
    assert not [n for n in module.__all__ if n.startswith("_") or not hasattr(module, n)]


def test_the_catalogue_holds_every_class_of_algorithms():
    assert algorithms.FedOpt in set(catalogue())
    assert len(list(catalogue())) == sum(isinstance(getattr(algorithms, n), type) for n in algorithms.__all__)


def test_types_are_shipped_with_a_stub_for_each_lazy_package():
    assert (ROOT / "py.typed").exists()
    lazy = [p for p in ROOT.rglob("__init__.py") if "attach_stub" in p.read_text()]
    assert len(lazy) > 3
    assert all(p.with_suffix(".pyi").exists() for p in lazy)


# Texts.


def test_an_object_is_shown_by_what_is_not_the_default_and_arrays_by_dtype_and_shape():
    assert repr(METHOD) == "DSGD(lr=0.1)"
    assert repr(algorithms.DSGD(lr=np.float32(0.1), form="cta")) == "DSGD(lr=0.1, form='cta')"
    assert repr(algorithms.DSGD(lr=jnp.ones(3))) == "DSGD(lr=f64[3])"
    assert repr(algorithms.DSGD(lr=optax.constant_schedule(0.1))) == "DSGD(lr=constant_schedule.<lambda>)"
    nested = algorithms.ChocoSGD(0.1, 0.5, compressors.Scaled(compressors.RandK((1, 2))))
    assert repr(nested) == "ChocoSGD(lr=0.1, consensus_lr=0.5, compressor=Scaled(compressor=RandK(k=(1, 2))))"
    assert repr(networks.star(50)).startswith("Static(W=NeighbourTable(indices=i32[50,")
    shown = []
    jax.jit(lambda method: shown.append(repr(method)))(METHOD)
    assert shown == ["DSGD(lr=f64[])"]


def test_a_result_is_shown_in_short(result):
    assert repr(result).startswith("Result(\n  state=State(x=f64[6,3]")
    page = result._repr_html_()
    for text in ("DSGD", "Quadratic", "loss at the end", "vectors per node", "xarray"):
        assert text in page


# Results.


def test_a_run_knows_what_was_run_by_what_and_for_how_long(result):
    about = result.attrs
    assert (about["algorithm"], about["problem"], about["network"]) == ("DSGD", "Quadratic", "Static")
    assert (about["seed"], about["rounds"], about["every"], about["diverged"]) == (3, 20, 5, 0)
    assert about["compile_seconds"] > 0 <= about["run_seconds"]  # what is small may run within the call
    asked = json.loads(about["specification"])
    assert asked["algorithm"] == {"class": "jaxdec.algorithms.dsgd.DSGD", "lr": 0.1, "form": "atc"}
    assert asked["metrics"]["loss"] == "jaxdec.metrics.loss"
    assert json.loads(about["versions"])["jax"] == jax.__version__
    assert result.to_xarray().attrs == about
    assert run(algorithms.DSGD(lr=100.0), PROBLEM, RING, rounds=20, every=5).attrs["diverged"] == 1


def test_a_compiled_program_run_again_takes_no_compiling():
    new = {"x": lambda problem, state: state.x[0, 0]}  # so that no other test has compiled it
    first, again = (
        run(METHOD, PROBLEM, RING, rounds=20, every=5, seed=seed, metrics=new).attrs["compile_seconds"]
        for seed in (3, 4)
    )
    assert again < first / 2


def test_what_is_saved_is_what_is_loaded(result, tmp_path):
    result.save(tmp_path / "run.npz")
    again = Result.load(tmp_path / "run.npz")
    xr.testing.assert_identical(again.to_xarray().drop_attrs(), result.to_xarray().drop_attrs())
    assert again.attrs == {"commit": again.attrs["commit"]} | result.attrs
    np.testing.assert_array_equal(again.state["x"], result.state.x)
    again.save(tmp_path / "copy.npz")
    np.testing.assert_array_equal(Result.load(tmp_path / "copy.npz").state["x"], result.state.x)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["copy.npz", "run.npz"]


def test_states_of_any_dtype_are_saved_by_their_paths(tmp_path):
    state = {"keys": jax.random.split(jax.random.key(0)), "half": (jnp.ones(3, jnp.bfloat16), ())}
    Result(state, {}, jaxdec.types.Cost(*np.zeros((4, 1))), np.arange(1)).save(tmp_path / "run")
    found = Result.load(tmp_path / "run")
    np.testing.assert_array_equal(found.state["keys"], jax.random.key_data(state["keys"]))
    np.testing.assert_array_equal(found.state["half.0"], np.ones(3, np.float32))
    assert found.metrics == {}


class Evil:
    def __reduce__(self):
        return (pytest.fail, ("a file was executed",))


def test_what_was_not_saved_is_refused_and_nothing_is_executed(tmp_path):
    np.savez(tmp_path / "evil.npz", about=np.array([Evil()], object), rounds=np.arange(1))
    np.savez(tmp_path / "other.npz", about=np.array(json.dumps({"format": "another"})))
    (tmp_path / "text.npz").write_text("loss")
    (tmp_path / "empty.npz").write_text("")
    for name in ("evil", "other", "text", "empty"):
        with pytest.raises(ValueError, match=r"npz is not a run that Result.save of this version wrote"):
            Result.load(tmp_path / f"{name}.npz")
    with pytest.raises(FileNotFoundError):
        Result.load(tmp_path / "nothing.npz")


def test_a_run_is_drawn_and_tabulated_as_a_sweep_is(result, tmp_path):
    np.testing.assert_array_equal(result.plot().lines[0].get_ydata(), result.metrics["loss"])
    ax = plotting.curves(result, "consensus", x="bits", log_x=True)
    assert ax.lines[0].get_label() == "DSGD"
    assert len(plotting.overview(result).axes) == 2
    assert len(plotting.panels(result).axes) == 1
    with pytest.raises(ValueError, match="'lr' was not swept in these results; swept was nothing"):
        plotting.sensitivity(result, "loss")
    row = summarize(result).iloc[0]
    assert (row.loss, row.runs, row.diverged) == (float(result.metrics["loss"][-1]), 1, 0)
    assert results.best(result).sizes == labelled(result).sizes == {"seed": 1, "round": 5}
    assert labelled(result).seed == [3]
    assert export.table(result, "a run").row_count == 1
    frame = export.tidy(result)
    assert (len(frame), set(frame.algorithm), set(frame.seed)) == (5, {"DSGD"}, {3})
    export.to_csv(result, tmp_path / "run.csv")
    assert export.to_latex(result).count(r"\\") == 2
    assert not results.diverged(result).any()
    link = results.Link(latency=1.0, bandwidth=1.0)
    assert plotting.curves(results.add_time(result, link), x="seconds").get_xlabel() == "simulated time in seconds"
    plt.close("all")
    with pytest.raises(TypeError, match="expected what run or sweep returned, or a dataset of it; got list"):
        labelled([result])


def test_a_metric_of_every_node_has_the_dimension_node_and_does_not_disturb_tables(result):
    metrics = {**dict.fromkeys(result.metrics, result.metrics["loss"]), "each": np.ones((5, 6))}
    each = Result(result.state, metrics, result.cost, result.rounds)
    assert each.to_xarray()["each"].dims == ("round", "node")
    assert summarize(each).loss.item() == float(result.metrics["loss"][-1])
    assert len(export.tidy(each)) == 5 * 6
