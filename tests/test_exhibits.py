"""Every exhibit of every paper with the fast budget, on embedded data: its claims hold, its figure is drawn."""

import io

import jax
import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

from jaxdec.papers.reproduce import PAPERS, computed, paper

mpl.use("Agg")

EXHIBITS = [(name, one.name) for name in PAPERS for one in paper(name).exhibits if "fast" in one.budgets]


@pytest.fixture(autouse=True)
def _keep_float64():
    yield
    jax.config.update("jax_enable_x64", True)
    plt.close("all")


def judged(name, exhibit, budget):
    (one,) = paper(name).chosen([exhibit])
    with jax.enable_x64(False):  # it fixes its own
        results, _ = computed(one, budget, progress=False)
    found = [claim.judged(results) for claim in one.claims if budget in claim.budgets]
    wrong = [(v.claim.name, v.measured, v.claim.bounds) for v in found if v.claim.must and not v.holds]
    assert found, "an exhibit claims something"
    assert not wrong, wrong
    figure = one.figure(results)
    figure.savefig(io.BytesIO(), dpi=30)
    assert all(ax.has_data() for ax in figure.axes)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "exhibit"), EXHIBITS)
def test_all_claims_hold_in_a_first_look(name, exhibit):
    judged(name, exhibit, "fast")


def test_a_paper_is_run_by_its_own_module_and_all_are_listed():
    assert len({name for name, _ in EXHIBITS}) == len(PAPERS)
