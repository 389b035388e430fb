"""The conformance battery: every law that every algorithm obeys, over the table in cases.py."""

import inspect

import pytest
from cases import CASES, OTHERS, SAMPLES, Case

from jaxdec import algorithms, testing

# Those who renew pay for an exact gradient; the battery sees the gradients of all, and counts once the two that are at
# one point in a round's first step. Of those who rest it sees gradients that nothing uses. `test_proxskip` and
# `test_variance_servers` have the cost of each client.
COUNTED_THERE = (algorithms.VRProxSkip, algorithms.LSVRG, algorithms.GradSkip)
ELSEWHERE = {(kind, "reported cost is the counted cost") for kind in COUNTED_THERE}


def laws_of(case: Case) -> list[testing.Law]:
    known = {"exact": case.exact or (None if case.reference is None else False), "zero_sum": case.zero_sum}
    found = testing.laws(case.algorithm, case.problem, case.network, reference=case.reference, **known)
    return [law for law in found if (type(case.algorithm), law.name) not in ELSEWHERE]


# Programs of their own: in every run of the tests for one method in 64, of the others in the slow ones. So are all
# laws of methods that draw samples. Of the other laws every method has one in 36 in every run.
COSTLY = (
    "a run is its steps one after the other",
    "a cell of a sweep is its single run",
    "a seed repeats itself, another differs",
    "lowers for every platform",
    "relabelling nodes permutes the trajectory",
    "a node alone runs",
    "absent nodes keep their rows",
)


def row(k: int, j: int, case: Case, law: testing.Law):
    slow = k % 64 if law.name in COSTLY or case.problem is SAMPLES else (k + j) % 36
    return pytest.param(law, id=f"{case.name}: {law}", marks=[pytest.mark.slow] if slow else [])


LAWS = [row(k, j, case, law) for k, case in enumerate(CASES + OTHERS) for j, law in enumerate(laws_of(case))]


def test_every_exported_algorithm_has_a_row():
    exported = {
        v for _, v in inspect.getmembers(algorithms, inspect.isclass) if hasattr(v, "requires")
    }  # not its parts
    assert {type(case.algorithm) for case in CASES + OTHERS} == exported


@pytest.mark.parametrize("law", LAWS)
def test_every_method_obeys_its_laws(law):
    law()
