"""The table of docs/failing-networks.md: that it is whole, and that what it says is so."""

import importlib.util
from pathlib import Path

import pytest

from jaxdec import loop
from jaxdec.checks import facts, sent

spec = importlib.util.spec_from_file_location("failing", Path(__file__).parents[1] / "benchmarks" / "failing.py")
failing = importlib.util.module_from_spec(spec)
spec.loader.exec_module(failing)

KEPT = failing.kept()
KINDS = {graph: failing.failing(network) for graph, network in failing.GRAPHS.items()}
# DESTRESS mixes its estimates between two passes over the data as if W stayed: it often has no step where it does not.
NOT_PROMISED = [name for name in failing.EXACT if facts(failing.METHODS[name]).wants or name == "DESTRESS"]
TRACKERS = [
    (graph, name)
    for graph, cells in KEPT.items()
    for name in failing.EXACT
    if name not in NOT_PROMISED and "ADMM" not in name and not any("refused" in cell for cell in cells[name].values())
]


def test_every_graph_method_has_a_row():
    """Of the catalogue all but those of a server; and each row has a cell for every network."""
    of_graphs = {kind for kind in loop.catalogue() if "requires" in dir(kind) and "server" not in facts(kind).requires}
    rows = {type(method) for method in failing.METHODS.values()}
    missing = sorted(kind.__name__ for kind in of_graphs - rows)
    assert not missing, f"add a row to benchmarks/failing.py for {', '.join(missing)}"
    assert set(KEPT) == set(failing.GRAPHS)
    for graph, cells in KEPT.items():
        assert set(cells) == set(failing.METHODS)
        assert all(list(row) == ["reliable", *KINDS[graph]] for row in cells.values())


def test_every_tracker_has_steps_at_which_it_reaches_the_minimizer_on_all_networks_that_fail():
    """Three of the grid and more: what is promised is promised for every step that is small enough."""
    others = {"CGT", "SimpleGT"}  # the first keeps copies, of the second nothing is promised
    trackers = {name for name in failing.EXACT if "Tracking" in name or "GT" in name} - others
    assert {name for _, name in TRACKERS} >= trackers
    for graph, name in TRACKERS:
        for kind, cell in KEPT[graph][name].items():
            assert cell != "none", (graph, name, kind)
            assert "to" not in cell, (graph, name, kind)
            assert float(cell) >= failing.STEPS[2], (graph, name, kind)


def test_relaxed_admm_is_exact_at_every_penalty_but_those_at_which_it_is_slow():
    for graph in KEPT:
        row = KEPT[graph]["RelaxedADMM, lr = 1 / penalty"]
        largest = f"{failing.STEPS[-1]:.3g}"
        assert all(cell.split(" to ")[-1] == largest for cell in row.values())
        assert all(float(cell.split(" to ")[0]) <= failing.STEPS[1] for cell in row.values() if " to " in cell)


def _common(graph: str, name: str) -> float:
    """The largest step that the table gives on all networks."""
    return min(float(cell) for cell in KEPT[graph][name].values())


@pytest.mark.parametrize(("graph", "name"), TRACKERS, ids=[f"{graph}, {name}" for graph, name in TRACKERS])
@pytest.mark.slow
def test_trackers_reach_the_minimizer_at_three_steps_on_six_networks(graph, name):
    largest = min(failing.STEPS, key=lambda step: abs(step - _common(graph, name)))
    steps = [largest / 4, largest / 2, largest]
    wrapped = failing.wrapping(failing.METHODS[name])
    found = {kind: failing.measured(name, wrapped(network), steps=steps) for kind, network in KINDS[graph].items()}
    assert found == dict.fromkeys(KINDS[graph], f"{largest:.3g}")


CELLS = [
    ("ring", "GradientTracking, semi-atc", "both"),
    ("ring", "KGT", "unequal sleep"),
    ("path", "EXTRA", "loss"),
    ("ring", "DSGD, atc", "bursts"),
    ("path", "PushSumGossip", "Markov sleep"),
    ("path", "SWIFT", "sleep"),
    ("ring", "D2 (ExactDiffusion)", "loss"),
    ("ring", "NIDS", "both"),
    ("path", "StochasticGradientPush", "loss"),
    ("ring", "ChocoSGD", "sleep"),
]


@pytest.mark.parametrize(("graph", "name", "kind"), CELLS)
@pytest.mark.filterwarnings("ignore:.*convergence is not promised")
@pytest.mark.thinned(3)
def test_cells_of_the_table_are_found_again(graph, name, kind):
    method, network = failing.METHODS[name], KINDS[graph][kind]
    cell = failing.refusal(method, network) or failing.measured(name, network)
    assert cell == KEPT[graph][name][kind]


def test_what_is_refused_is_refused_by_the_law_that_is_named():
    for graph, cells in KEPT.items():
        for name, row in cells.items():
            for kind, cell in row.items():
                network = failing.GRAPHS[graph] if kind == "reliable" else KINDS[graph][kind]
                method = failing.METHODS[name]
                needs = facts(method)
                copies = needs.replicas and kind != "reliable"
                assert cell.startswith("refused: keeps copies") == copies, (name, kind)
                given = failing.wrapping(method)(network)
                lacks = needs.requires - (sent(given) if needs.stands_loss else given.provides)
                assert cell.startswith("refused") == bool(lacks), (name, kind)
                assert copies or all(law in cell for law in lacks), (name, kind)
