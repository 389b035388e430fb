"""What the exhibits on exponential graphs and on stragglers are made of; `test_exhibits.py` judges their claims."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from jaxdec import graphs, networks
from jaxdec.papers import exponential_graphs, stragglers


@pytest.mark.parametrize("n", [8, 9, 12, 16, 25, 48, 64])
def test_the_static_exponential_graph_shrinks_the_distance_to_the_mean_by_its_factor_where_n_is_even(n):
    W = graphs.row_stochastic(graphs.directed_exponential(n)).toarray()
    norm, factor = np.linalg.norm(W - 1 / n, 2), exponential_graphs.factor(n)
    assert norm == pytest.approx(factor, rel=1e-12) if n % 2 == 0 else norm < factor - 0.01


@pytest.mark.parametrize("n", range(2, 66))
def test_one_peer_exponential_graphs_say_that_they_are_exact_for_powers_of_two_alone(n):
    power = n == 2 ** exponential_graphs.depth(n)
    assert networks.one_peer_exponential(n).exact_after == (exponential_graphs.depth(n) if power else None)


def test_a_network_is_near_from_the_round_after_which_it_stays_near():
    curves = {
        "all averaged": [1.0, 1.0, 1.0, 1.0],
        "a": [9.0, 1.0, 2.0, 1.2],
        "b": [1.1, 1.1, 1.1, 1.1],
        "c": [4.0] * 4,
    }
    values = np.array(list(curves.values()))[None, :, None]
    coords = {"algorithm": ["DSGD"], "network": list(curves), "seed": [0], "round": [0, 10, 20, 30]}
    found = exponential_graphs.until(xr.Dataset({"error": (tuple(coords), values)}, coords))
    assert found.sel(network=list("abc")).values.tolist() == [20, 0, 30]


def test_steps_are_chosen_on_seeds_that_are_not_shown():
    seeds, steps = [0, 1, stragglers.TUNING, stragglers.TUNING + 1], [0.1, 0.2, 0.4]
    ends = np.array([[1.0, 1.0, 5.0, 5.0], [3.0, 3.0, 2.0, 2.0], [np.nan, 0.0, np.nan, np.nan]])  # a step, a seed
    values = np.stack([np.full_like(ends, 9.0), ends], axis=-1)[None]
    coords = {"algorithm": ["SGD"], "lr": steps, "seed": seeds, "round": [0, 1]}
    found = stragglers.chosen(xr.Dataset({"suboptimality": (tuple(coords), values)}, coords))
    assert found["seed"].values.tolist() == [0, 1]
    assert found["lr"].item() == 0.2
    assert found["suboptimality"].isel(round=-1).values.ravel().tolist() == [3.0, 3.0]


def test_nodes_that_count_as_often_as_they_compute_rest_away_from_the_minimizer():
    with jax.enable_x64(True):
        task, weights = stragglers.problem(zeta=stragglers.ZETA), stragglers.speeds()
        gradient = lambda x: (weights[:, None] * np.asarray(task.grad(np.tile(x, (task.n, 1)), None))).sum(axis=0)
        x = np.zeros(task.d)
        for _ in range(4000):
            x = x - 0.1 * gradient(x)
        expected = float(task.objective(jnp.asarray(x)) - task.objective(task.minimizer))
    assert stragglers.bias() == pytest.approx(expected, rel=1e-6)
    assert expected > 0.01
