"""Sweeps described by TOML files: the same objects as in Python, and errors that say where and what."""

import inspect
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxdec import algorithms as A
from jaxdec import cli, compressors, data, graphs, metrics, networks, problems
from jaxdec.catalogue import MODULES, public
from jaxdec.spec import from_toml
from jaxdec.sweeps import axes

ROOT = Path(__file__).parents[1]
QUADRATIC = """
rounds = 10
[algorithms.DSGD]
lr = 0.1
[problem]
type = "quadratic"
n = 4
d = 2
[network]
type = "ring"
n = 4
"""


@pytest.fixture
def read(tmp_path):
    def read(text, **changes):
        path = tmp_path / "a sweep.toml"
        path.write_text(text)
        return from_toml(path, **changes)

    return read


def assert_same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(x, y)


def test_the_example_file_is_the_embedded_default_sweep():
    arguments = from_toml(ROOT / "benchmarks" / "digits.toml")
    defaults = {k: p.default for k, p in inspect.signature(cli.digits_on_a_ring).parameters.items()}
    expected = cli.digits_on_a_ring(**defaults) | cli.HORIZON
    assert arguments.keys() == expected.keys()
    for name, value in expected.items():
        assert_same(arguments[name], value)


def test_a_table_is_the_call_it_names(read):
    found = read("""
        rounds = 4
        seeds = [3, 5]
        metrics = ["consensus", "node_test"]
        x0 = [1.0, 2.0]
        [[algorithms]]
        type = "ChocoSGD"
        lr = 0.1
        consensus_lr = 0.5
        compressor = { type = "Scaled", compressor = { type = "RandK", k = [1, 2] } }
        [[algorithms]]
        type = "SAVIC"
        lr = 0.1
        local_steps = 2
        scaling = { type = "Adam", beta = 0.5 }
        [[algorithms]]
        type = "FedOpt"
        local_steps = 2
        server_optimizer = { type = "optax.adam", learning_rate = 0.1 }
        client_optimizer = { type = "optax.sgd", learning_rate = 0.2 }
        [problems.split]
        type = "logistic"
        data = { type = "binary", dataset = { type = "digits" }, positive = [1, 2] }
        partition = { type = "iid", n = 4 }
        [problems.plain]
        type = "quadratic"
        n = 4
        d = 2
        [networks.given]
        type = "static"
        W = { type = "lazy", W = { type = "metropolis", graph = { type = "path", n = 4 } } }
        [networks.directed]
        type = "push_pull"
        R = { type = "graphs.directed_ring", n = 4 }
    """)
    choco, savic, fedopt = found["algorithms"]
    assert_same(choco, A.ChocoSGD(0.1, 0.5, compressors.Scaled(compressors.RandK((1, 2)))))
    assert (savic.scaling.beta, savic.local_steps) == (0.5, 2)
    assert fedopt.server_optimizer.keywords == {"learning_rate": 0.1}
    fedopt.check()
    binary = data.binary(data.digits(), positive=(1, 2))
    assert_same(found["problems"]["split"], problems.logistic(binary, data.iid(binary, n=4)))
    assert_same(found["problems"]["plain"], problems.quadratic(4, 2))
    assert_same(found["networks"]["given"], networks.static(graphs.lazy(graphs.metropolis(graphs.path(4)))))
    assert_same(found["networks"]["directed"], networks.push_pull(graphs.directed_ring(4)))
    assert (found["seeds"], found["metrics"], found["x0"]) == ([3, 5], (metrics.consensus, metrics.node_test), [1, 2])


def test_swept_values_are_lists_spaces_draws_pairs_objects_and_tables_by_algorithm(read):
    algorithms = "[algorithms.KGT]\nlr = 1\nlocal_steps = 1\n"
    over = read(
        QUADRATIC
        + algorithms
        + """
        [over]
        lr = { DSGD = [0.1, 0.2], KGT = { geomspace = [1e-3, 10, 5] } }
        "local_steps, outer_lr" = [[1, 1.0], [5, 0.5]]
        momentum = { linspace = [0.0, 0.9, 4] }
        beta = { uniform = [0, 1, 50], seed = 1 }
        gamma = { log_uniform = [1e-4, 1, 50], digits = 2 }
        "problem.noise" = [0.0, 0.1]
        compressor.levels = [2, 4]
        KGT.local_steps = [1, 5]
        outer_lr.KGT = [1.0]
        down_compressor = [{ type = "TopK", k = 1 }, { type = "compressors.Identity" }]
    """
    )["over"]
    assert over["lr"] == {"DSGD": [0.1, 0.2], "KGT": [0.001, 0.01, 0.1, 1.0, 10.0]}
    assert over["local_steps", "outer_lr"] == [(1, 1.0), (5, 0.5)]
    assert over["momentum"] == [0.0, 0.3, 0.6, 0.9]
    np.testing.assert_allclose(over["beta"], axes.uniform(0, 1, 50, seed=1), rtol=1e-11)
    np.testing.assert_allclose(over["gamma"], axes.log_uniform(1e-4, 1, 50), rtol=0.05)
    assert all(v == float(f"{v:.2g}") for v in over["gamma"])
    assert (over["compressor.levels"], over["KGT.local_steps"], over["outer_lr"]) == ([2, 4], [1, 5], {"KGT": [1.0]})
    assert over["problem.noise"] == [0.0, 0.1]
    assert [type(c) for c in over["down_compressor"]] == [compressors.TopK, compressors.Identity]
    configurations = read("over = [{ lr = 0.1, form = 'atc' }, { lr = 0.2, form = 'cta' }]" + QUADRATIC)["over"]
    assert configurations == [{"lr": 0.1, "form": "atc"}, {"lr": 0.2, "form": "cta"}]


def test_arguments_replace_what_the_file_says(read):
    assert read(QUADRATIC, rounds=20, seeds=2)["rounds"] == 20
    assert read(QUADRATIC.replace("rounds = 10", ""), rounds=20)["rounds"] == 20


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("rounds = 10", "rounds == 10", r"not a TOML file: .*line 2, column 9"),
        ("rounds = 10", "", "rounds is missing"),
        ("rounds = 10", "rounds = 10\nsedes = 3", "sedes: a sweep has no 'sedes'; did you mean 'seeds'"),
        ("rounds = 10", "rounds = 10\nmetrics = ['los']", "metrics: .* no 'los'; did you mean 'loss'"),
        ("[algorithms.DSGD]", "[algorithms.DSDG]", "algorithms.DSDG.type: .*no 'DSDG'; did you mean 'DSGD'"),
        ("[algorithms.DSGD]", "[algorithms]\ntype = 'DSGD'", r"algorithms: .*one alone is \[algorithm\]"),
        ("lr = 0.1", "le = 0.1", "algorithms.DSGD.le: DSGD has no 'le'; did you mean 'lr'"),
        ("lr = 0.1", "", "algorithms.DSGD: DSGD needs lr; its arguments are lr, form"),
        ("lr = 0.1", "lr = -1", "algorithms.DSGD: DSGD.lr is a step size, which is positive and finite; got -1"),
        ("lr = 0.1", "lr = '0.1'", "algorithms.DSGD: DSGD.lr is a step size.*got 0.1"),
        ("lr = 0.1", "lr = { type = 'cosine' }", "algorithms.DSGD.lr: .*a schedule is a Python object"),
        ("lr = 0.1", "lr = 1\nform = 'act'", "algorithms.DSGD: DSGD.form is one of 'atc', 'cta'; got 'act'"),
        ("[algorithms.DSGD]", "[algorithms.'DSGD, atc']\ntype = 'DSGD'\nmu = 1", r'algorithms."DSGD, atc".mu: DSGD'),
        ("n = 4\nd", "n = '4'\nd", "problem.n: expected a number; got '4'"),
        ('"quadratic"', '"quadratics"', "problem.type: .*problems has no 'quadratics'; did you mean 'quadratic'"),
        ('"quadratic"', '"os.system"', "problem.type: no module 'os'"),
        ('"quadratic"', '"_solve"', "problem.type: .*has no '_solve'"),
        ('type = "quadratic"', "", "problem.type: a table needs a type.*one of .*quadratic"),
        ("[problem]", "[problems.A]\ntype = 'quadratic'\n[problem]", "problem: problem and problems exclude"),
        ('"ring"\nn = 4', '"torus"\nrows = 0\ncolumns = 2', "network: .*0"),
        ("d = 2", "d = 2\nnoise = -1", "problem: noise is a standard deviation"),
        ("[network]", "[[network]]", "network: expected a table"),
        ("[network]", "[other]", "other: a sweep has no 'other'"),
        ("rounds = 10", "rounds = 10\nover = 3", r"over: expected a table"),
        ("rounds = 10", "rounds = 10\nover.lr = 3", r"over.lr: expected a table"),
        ("rounds = 10", "rounds = 10\nover.lr = {geospace = [1, 2, 3], seed = 1}", "over.lr: .*mean 'geomspace'"),
        ("rounds = 10", "rounds = 10\nover.lr = {geomspace = [0, 2, 3]}", "over.lr.geomspace: .*positive; got"),
        ("rounds = 10", "rounds = 10\nover.lr = {linspace = [1, 2]}", r"over.lr.linspace: expected \[low, high"),
        ("rounds = 10", "rounds = 10\nover.compressor = [{type = 'TopKK', k = 1}]", r"compressor\[0\].type: .*'TopK'"),
    ],
)  # fmt: skip
def test_an_error_names_the_file_the_key_and_what_comes_nearest(read, old, new, message):
    assert old in QUADRATIC
    with pytest.raises(ValueError, match=message) as error:
        read(QUADRATIC.replace(old, new))
    assert "a sweep.toml: " in str(error.value)


def test_a_regularizer_is_described(read):
    whole = 'type = "composite"\nregularizer = { type = "L1", weight = 0.1 }\n[problem.problem]\ntype = "quadratic"'
    found = read(QUADRATIC.replace('type = "quadratic"', whole))
    assert found["problems"].regularizer.weight == 0.1


def test_only_what_the_public_modules_offer_can_be_named(read):
    for name, module in MODULES.items():
        for thing in public(module).values():
            assert thing.__module__.startswith("jaxdec."), name
            assert not any(part.startswith("_") for part in thing.__module__.split("."))
    compressor = '[algorithms.ChocoSGD]\nlr = 1\nconsensus_lr = 1\ncompressor = { type = "%s" }\n[unused]\n'
    for name in ("builtins.eval", "numpy.load", "compressors.np", "compressors.jax", "optax.adam_w", "data.files.open"):
        with pytest.raises(ValueError, match=r"compressor.type: "):
            read(QUADRATIC.replace("[algorithms.DSGD]", compressor % name))


def test_what_only_python_can_hold_is_refused_with_advice(read):
    neural = 'type = "neural"\nnetwork = { type = "Dense" }\ndata = { type = "digits" }\n'
    neural += 'partition = { type = "iid", n = 4 }\n[unused]'
    with pytest.raises(ValueError, match=r"problem.network: a Flax module is a Python object"):
        read(QUADRATIC.replace('type = "quadratic"', neural))


OWN = """
from jaxdec import algorithms, module, networks

@module
class Mine(algorithms.DSGD):
    pass

class Plain:
    pass

@module
class Unlawful:
    requires = "symetric"
    init = step = lambda self, problem, x, r: None

def circle(n: int):
    return networks.ring(n)

def largest(problem, state):
    return abs(state.x).max()
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "mypackage").mkdir()
    (tmp_path / "mypackage" / "mymodule.py").write_text(OWN)
    (tmp_path / "mypackage" / "broken.py").write_text("import nothing_of_this_name")
    monkeypatch.chdir(tmp_path)
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "mypackage"]:
        del sys.modules[name]


def test_classes_functions_and_metrics_of_ones_own_are_named_with_their_module(read, own):
    before = list(sys.path)
    text = QUADRATIC.replace("[algorithms.DSGD]", "[algorithms.mine]\ntype = 'mypackage.mymodule.Mine'")
    text = text.replace('"ring"', '"mypackage.mymodule.circle"')
    found = read("metrics = ['loss', 'mypackage.mymodule.largest']\n" + text)
    mine = found["algorithms"]["mine"]
    assert (type(mine).__name__, type(mine).__module__, mine.lr) == ("Mine", "mypackage.mymodule", 0.1)
    assert_same(found["networks"], networks.ring(4))
    assert [m.__name__ for m in found["metrics"]] == ["loss", "largest"]
    assert sys.path == before


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("ring", "mypackage.mymodul.circle", "network.type: no module 'mypackage.mymodul' here, in .*, nor installed"),
        ("ring", "mypackage.mymodule.cirle", "network.type: mypackage.mymodule has no 'cirle'; did you mean 'circle'"),
        ("ring", "mypackage.mymodule.Plain", "network.type: mypackage.mymodule.Plain is not a @module class"),
        ("ring", "mypackage.broken.circle", "network.type: mypackage.broken cannot be imported: No module named 'noth"),
        ("ring", "os.system", "network.type: no module 'os'"),
        ("ring", "numpy.load", "network.type: numpy.load is not a @module class, or a function of a module in the cur"),
        ("quadratic", "mypackage.mymodule.Unlawful", "problem: .*got an algorithm, Unlawful; the order is"),
        ("rounds = 10", "rounds = 10\nmetrics = 'mypackage.mymodule.Plain'", "metrics: mypackage.* is not a function"),
        ("rounds = 10", "rounds = 10\nmetrics = 'os.system'", "metrics: no module 'os'"),
        ("algorithms.DSGD", "algorithms.'mypackage.mymodule.Unlawful'", "Unlawful.*names 'symetric', which is no law"),
    ],
)  # fmt: skip
def test_an_error_in_a_name_of_ones_own_names_the_file_and_the_key(read, own, old, new, message):
    text = QUADRATIC if "Unlawful'" not in new else QUADRATIC.replace("lr = 0.1", "")
    text = text if old != "quadratic" else text.replace("n = 4\nd = 2", "")
    with pytest.raises(ValueError, match=message) as error:
        read(text.replace(old, new))
    assert "a sweep.toml: " in str(error.value)


def test_a_path_may_use_the_home_and_variables_wherever_one_is_taken(read, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SETS", "sets")
    (tmp_path / "sets").mkdir()
    (tmp_path / "sets" / "z").write_text("1 1:5 2:2\n-1 1:1 2:3\n")
    text = """
        rounds = 4
        store = "~/stores/$SETS"
        algorithm = { type = "DSGD", lr = 0.1 }
        network = { type = "ring", n = 2 }
        [problem]
        type = "logistic"
        data = { type = "libsvm", path_or_name = "~/${SETS}/z" }
        partition = { type = "iid", n = 2 }
    """
    found = read(text)
    assert found["store"] == str(tmp_path / "stores" / "sets")
    assert found["problems"].n == 2
    with pytest.raises(ValueError, match=r"problem.data.path_or_name: ~/\$NOWHERE/z: there is no \$NOWHERE"):
        read(text.replace("${SETS}", "$NOWHERE"))
