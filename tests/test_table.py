"""The table of the methods: what classes say of themselves, and what can be asked of it."""

import pytest
from cases import CASES, OTHERS, quadratic

from jaxdec import algorithms, catalogue, networks, testing
from jaxdec.checks import facts

ROWS = {row.name: row for row in algorithms.table()}


def test_every_method_has_a_row_and_no_cell_is_missing_that_its_docstring_has():
    assert set(ROWS) == {name for name in algorithms.__all__ if "requires" in dir(getattr(algorithms, name))}
    elsewhere = {"DORE", "PowerOfChoice"}  # as that of another method
    assert not [name for name, row in ROWS.items() if not (row.grads and row.vectors) and name not in elsewhere]
    assert not [name for name, row in ROWS.items() if not (row.arxiv or row.paper or "code of" in row.kind.__doc__)]


def counted(case) -> tuple[float, float]:
    """Gradients and vectors of a round, as they are reported, which the battery compares with what is done."""
    reported = testing.trajectory(case.algorithm, quadratic(0.5), case.network, rounds=1).cost
    return tuple(float(total[1] - total[0]) for total in (reported.grads, reported.vectors))


FEW = [
    case for case in CASES
    if type(case.algorithm).__name__ in ("DSGD", "KGT", "NIDS", "AccDNGD", "DFedSAM", "GTAdam", "WangElia", "DLM")
]  # fmt: skip


@pytest.mark.parametrize("case", FEW, ids=lambda case: case.name)
@pytest.mark.thinned(4)
def test_the_numbers_of_a_row_are_those_that_a_round_costs(case):
    row = ROWS[type(case.algorithm).__name__]
    K = vars(case.algorithm).get("local_steps", 1)
    grads = {"1": 1, "K": K, "2 K": 2 * K}[row.grads]
    assert counted(case) == (grads, float(row.vectors))


def test_what_a_method_stands_is_what_it_may_be_run_on():
    for name, row in ROWS.items():
        needs = facts(row.kind)
        if "reliable" in needs.requires:
            assert not row.loss, name
            assert not row.sleep, name
        if row.family == "graph" and not needs.requires & {"fixed", "reliable"}:
            assert row.loss, name
            assert row.sleep, name
        assert (row.loss == "unknown") == (needs.stands_loss and "fixed" not in needs.requires), name
    assert ROWS["EXTRA"].loss == ROWS["EXTRA"].sleep == "not promised"
    assert ROWS["KGT"].loss == ROWS["KGT"].sleep == ROWS["SCAFFOLD"].sleep == "yes"
    assert ROWS["D2"].loss == ROWS["BEER"].loss == ""


def test_what_is_found_is_what_was_asked_for():
    ring, names = networks.ring(8), lambda **asked: {row.name for row in algorithms.find(**asked)}
    assert names() == set(ROWS)
    assert names(network=ring) == {name for name, row in ROWS.items() if row.needs <= ring.provides | {"fixed arcs"}}
    assert names(needs="server", compression=True, sleep=True) >= {"Artemis", "DIANA", "EF21"}
    assert names(composite=True) == {"PGEXTRA", "ProxNIDS", "ProxGT"}
    assert names(traits=("local steps", "momentum"), family="graph") >= {"DFedAvgM"}
    assert names(paper="2301.01313") == {"KGT", "PeriodicalGT"}
    assert names(loss=True) & names(loss=False) == set()
    assert "D2" in names(loss=False)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"needs": "symetric"}, "each of needs"),
        ({"family": "ring"}, "family is one of"),
        ({"traits": "fast"}, "each of"),
    ],
)
def test_what_there_is_not_is_refused(asked, says):
    with pytest.raises(ValueError, match=says):
        algorithms.find(**asked)


def test_the_table_is_printed_and_a_section_that_there_is_not_is_named():
    cells = [dict(zip(catalogue.COLUMNS, row, strict=True)) for row in catalogue.methods()]
    assert {row["method"] for row in cells} == set(ROWS)
    assert next(row for row in cells if row["method"] == "SCAFFOLD")["paper"].endswith("(2020) 1910.06378")
    with pytest.raises(ValueError, match=r"no section 'algorithm'.*'Algorithms'"):
        catalogue.section("algorithm", list(catalogue.listed()))


def test_every_row_is_of_a_case_of_the_battery():
    kinds = {type(case.algorithm) for case in CASES + OTHERS}
    assert {row.kind for row in ROWS.values()} == kinds
