"""What Artemis's exhibit rests on: the ways to take part, and the floor that follows from the gradients."""

import jax
import numpy as np
import pytest
import xarray as xr

from jaxdec import algorithms as A
from jaxdec import sweep
from jaxdec.papers import artemis

(EXHIBIT,) = artemis.PAPER.exhibits


def test_the_ways_to_take_part_differ_in_the_servers_memory_alone():
    found = artemis.strategies(0.1, 0.2)
    for name, memories in (("DIANA", "authors"), ("Artemis", "authors")):
        first, second = found["PP1"][name], found["PP2"][name]
        assert (first.memories, second.memories) == ("n", memories)
        assert type(first) is type(second)
        assert (first.lr, first.compressor) == (second.lr, second.compressor)
    assert all(found["PP1"][name] == found["PP2"][name] for name in ("SGD", "QSGD", "BiQSGD"))
    assert isinstance(found["PP2"][artemis.REMEMBERS], A.DIANA)


def results(single, rounds=range(0, 901, 15)):
    """Constant floors in PP1, SGD's where it follows to be; with a memory in PP2 what `single` says of a round."""
    floor = artemis.floor()
    floors = {"SGD": floor, "QSGD": 4 * floor, "BiQSGD": 15 * floor, "DIANA": floor, "Artemis": 4 * floor}
    t = np.array(rounds)
    first = [np.full(t.shape, floors.get(name, np.nan)) for name in artemis.NAMES]
    with_memory = lambda name: single(t) if name in artemis.WITH_MEMORY else np.full(t.shape, floors.get(name, np.nan))
    table = np.array([first, [with_memory(name) for name in artemis.NAMES]])[:, :, None]
    coords = {"strategy": ["PP1", "PP2"], "algorithm": list(artemis.NAMES), "seed": [0], "round": t}
    return xr.Dataset({"suboptimality": (tuple(coords), table)}, coords)


@pytest.mark.parametrize(("single", "wrong"), [(lambda t: 10.0 ** (-t / 30), 0), (lambda t: 1e-3 / (1 + t), 2)])
def test_a_linear_rate_bears_out_the_claims_and_a_sublinear_one_does_not(single, wrong):
    with jax.enable_x64(True):
        found = [claim.judged(results(single)) for claim in EXHIBIT.claims]
    assert sum(not v.holds for v in found) == wrong


@pytest.mark.slow
def test_sgd_with_absent_clients_rests_where_the_floor_is():
    with jax.enable_x64(True):
        asked = artemis.participation(given=artemis.SQUARES, names=("SGD",), rounds=900, every=15, seeds=20)["PP1"]
        excess = sweep(**asked, progress=False)["suboptimality"].squeeze()
        rest = excess.sel(round=excess["round"] > 450).mean("round").values
        assert abs(rest.mean() - artemis.floor()) < 3 * rest.std() / np.sqrt(len(rest))
