"""Pictures of networks, and how fast those mix on average that change."""

import dataclasses

import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
import pytest

from jaxdec import graphs, networks, sweep, theory
from jaxdec.papers import base_graph
from jaxdec.papers.exhibits import beside

mpl.use("Agg")
import matplotlib.pyplot as plt

pytestmark = pytest.mark.sampled(3)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


# Averages.


def test_what_does_not_change_mixes_on_average_as_it_does():
    for W in (networks.ring(9), graphs.star(6), networks.directed_ring(5), np.full((4, 4), 0.25)):
        found = theory.on_average(W)
        spectrum = theory.mixing(W)
        assert found[1:] == (pytest.approx(spectrum.gap), pytest.approx(spectrum.p), True)


def test_averages_of_a_pool_are_those_of_its_members():
    network = networks.random_matchings(6, pool=20)
    Ws = np.array([network.member(k).dense() for k in range(20)])
    found = theory.on_average(network)
    assert found.mean == pytest.approx(graphs.spectral_gap(Ws.mean(axis=0)), abs=1e-12)
    assert found.p == pytest.approx(1 - np.linalg.norm((Ws @ Ws).mean(axis=0) - 1 / 6, 2), abs=1e-12)
    union = graphs.from_matrix(Ws.sum(axis=0))
    assert found.union == pytest.approx(graphs.spectral_gap(graphs.metropolis(union)), abs=1e-12)
    assert found.exact


@pytest.mark.parametrize("window", [1, 2, 3, 7])
def test_averages_of_a_window_are_those_of_its_rounds(window):
    pool = np.tile(np.eye(4), (3, 1, 1))
    for k in range(3):
        pool[k, k : k + 2, k : k + 2] = 0.5  # the links of a path, one after another
    network = networks.periodic(list(pool))
    Ws = np.array([network.member(k % 3).dense() for k in range(window)])
    found = theory.on_average(network, window=window)
    union = graphs.metropolis(graphs.from_matrix(np.abs(Ws).sum(axis=0))).toarray()
    second = lambda W: 1 - np.sort(np.abs(np.linalg.eigvals(W - 1 / 4)))[-1]
    assert found.union == pytest.approx(second(union), abs=1e-9)
    assert (found.union > 1e-9) == (window >= 3)  # so many rounds connect the path
    assert found.mean == pytest.approx(second(Ws.mean(axis=0)), abs=1e-9)
    product = np.linalg.multi_dot([*Ws[::-1], np.eye(4)])
    assert found.p == pytest.approx(1 - np.linalg.norm(product - 1 / 4, 2) ** (2 / window), abs=1e-9)
    assert found.exact
    drawn = theory.on_average(networks.lossy(networks.ring(6), 0.5), window=window)
    assert not drawn.exact
    assert drawn.union <= theory.mixing(networks.ring(6)).gap + 1e-12


def test_averages_of_matcha_are_its_formulas_and_those_of_its_coins():
    graph = graphs.erdos_renyi(10, 0.4)
    found, plan = theory.on_average(networks.matcha(graph, 0.4)), graphs.matcha(graph, 0.4)
    assert found.p == pytest.approx(1 - plan.rho, abs=1e-10)
    lossless = networks.lossy(networks.matcha(graph, 0.4), 0.0)  # whose law has no formula: drawn
    drawn = theory.on_average(lossless, samples=4000)
    assert not drawn.exact
    assert (drawn.p, drawn.mean, drawn.union) == pytest.approx((found.p, found.mean, found.union), abs=0.03)


def test_loss_and_sleep_shrink_the_mean_gap_as_their_probabilities_say():
    gap = theory.mixing(networks.ring(8)).gap
    for network, kept in (
        (networks.lossy(networks.ring(8), 0.3), 0.7),
        (networks.sleeping(networks.ring(8), 0.3), 0.49),
    ):
        found = theory.on_average(network, samples=4000)
        assert found.mean == pytest.approx(kept * gap, rel=0.08)
        assert found.union == pytest.approx(gap, rel=1e-6)
        assert not found.exact


def test_a_period_that_is_exact_has_p_one_and_one_that_is_not_its_rate():
    assert theory.on_average(networks.base_graph(7)).p == 1
    network = networks.periodic([graphs.ring(8), np.eye(8)])
    p = theory.mixing(networks.ring(8)).p
    assert theory.on_average(network).p == pytest.approx(1 - (1 - p) ** 0.5, abs=1e-12)


def test_what_has_no_doubly_stochastic_w_has_no_p():
    for network in (networks.random_k_out(8, 2, pool=9), networks.lossy(networks.ring(8), 0.3, "renormalize")):
        assert np.isnan(theory.on_average(network, samples=50).p)
    dropped = theory.on_average(networks.lossy(networks.ring(8), 0.3, "drop"), samples=50)
    assert np.isnan([dropped.mean, dropped.p]).all()
    for network in (networks.server(4), networks.push_pull(graphs.ring(4))):
        with pytest.raises(ValueError, match="a network of a graph with one W in each round is expected; this one is"):
            theory.on_average(network)
    with pytest.raises(ValueError, match="at most 2000"):
        theory.on_average(networks.one_peer_exponential(4096))


# Pictures.


@pytest.mark.parametrize(
    ("network", "axes"),
    [
        (networks.ring(8), 4),
        (graphs.star(6), 4),
        (np.eye(1), 4),
        (networks.random_digraph(9, 0.2), 4),
        (networks.static(graphs.star(7), weights="fastest_averaging"), 4),
        (networks.base_graph(6), 8),
        (networks.random_matchings(6, pool=50), 10),
        (networks.matcha(graphs.ring(6), 0.5), 10),
        (networks.sleeping(networks.lossy(networks.ring(6), 0.2), 0.1), 10),
    ],
    ids=lambda part: type(part).__name__,
)
@pytest.mark.thinned(3)
def test_every_network_of_a_graph_has_a_picture(network, axes):
    figure = networks.draw(network)
    assert len(figure.axes) == axes  # the last is the scale of the weights
    figure.canvas.draw()
    *graph, matrix, eigenvalues = [ax for ax in figure.axes if ax.get_label() != "<colorbar>"]
    assert matrix.images[0].get_array().shape == (network.n if hasattr(network, "n") else 1,) * 2
    assert "gap" in eigenvalues.get_title()
    assert all(len(ax.collections) >= 1 for ax in graph)


def test_a_picture_has_the_graph_the_weights_and_the_eigenvalues_of_w():
    network, where = networks.static(graphs.random_geometric(12, 0.5)), graphs.points(12, 0.5)
    graph, matrix, eigenvalues, _ = networks.draw(network, positions=where).axes
    edges, nodes = graph.collections
    assert len(edges.get_segments()) == len(graphs.random_geometric(12, 0.5).senders)
    np.testing.assert_array_equal(nodes.get_offsets(), where)
    np.testing.assert_allclose(matrix.images[0].get_array(), network.W.dense())
    np.testing.assert_allclose(
        np.sort(eigenvalues.lines[1].get_ydata()), np.linalg.eigvalsh(network.W.dense()), atol=1e-12
    )


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match="at most 500"):
        networks.draw(networks.ring(501))
    with pytest.raises(ValueError, match="positions are two finite numbers for each of 5 nodes"):
        networks.draw(networks.ring(5), positions=jnp.zeros((4, 2)))
    with pytest.raises(ValueError, match="a network of a graph"):
        networks.draw(networks.server(4))


# The figure of the paper.


def test_base_graphs_are_exact_when_they_say_and_the_others_of_their_paper_are_not():
    (exhibit,) = base_graph.PAPER.exhibits
    planned = dataclasses.replace(exhibit, fast={"rounds": 10, "seeds": 1}).planned("fast", {})
    results = beside({n: sweep(**one, progress=False) for n, one in planned.items()}, "n")
    for n in (25, 32):
        for name in base_graph.GRAPHS:
            curve = results["error"].sel(n=n, network=name).values.ravel()
            T = base_graph.exact_after(name, n)
            said = name.startswith("Base") or (n == 32 and name == "one-peer exponential")
            assert (T is not None) == said
            assert np.all(curve[T:] < 1e-28) if said else curve[-1] > 1e-12
            if said:
                assert curve[T - 1] > 1e-3
    assert [base_graph.exact_after(f"Base-{k}", 25) for k in (2, 3, 4, 5)] == [9, 6, 5, 2]
    assert all(claim.judged(results).holds for claim in exhibit.claims)
    figure = exhibit.figure(results)
    assert [len(ax.lines) for ax in figure.axes] == [9, 9]
