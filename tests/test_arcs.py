"""The arc view says what `W @` does, of every operator and of what a mask leaves of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdec import graphs, networks
from jaxdec.networks import operators
from jaxdec.networks.arcs import RULES

pytestmark = pytest.mark.sampled(12)

CLOSE = {"rtol": 0, "atol": 1e-12}

GRAPHS = {
    "ring": graphs.ring(9),
    "ring of two": graphs.ring(2),
    "star, all slots but one in a list": graphs.star(40),
    "complete": graphs.complete(5),
    "thin torus": graphs.torus(2, 5),
    "hypercube": graphs.hypercube(8),
    "directed ring": graphs.directed_ring(8),
    "directed exponential": graphs.directed_exponential(12),
    "Erdős-Rényi": graphs.erdos_renyi(15, 0.4, seed=1),
    "small world, with hubs": graphs.small_world(30, 4, 0.5, seed=1),
    "digraph": graphs.random_digraph(9, 0.2, seed=2),
}
FORMS = ("identity", "average", "circulant", "table", "dense")


def weights(graph):
    return graphs.metropolis(graph) if graph.undirected else graphs.column_stochastic(graph)


def built(graph):
    """An operator of every form that a graph has."""
    for form in (*FORMS, "by arcs"):
        try:
            W = operators.operator(weights(graph), form="table" if form == "by arcs" else form, group=graph.group)
        except ValueError:
            assert form in ("identity", "average", "circulant")
            continue
        yield W.by_arcs() if form == "by arcs" else W


def view(W, x):
    """What an operator says of itself, by its matrix, its products and its arcs."""
    arcs = W.arcs
    return {
        "matrix": W.dense(),
        "product": W @ x,
        "own": W.own,
        "arcs": (arcs.sender, arcs.reverse, arcs.exists, arcs.arrived, arcs.weight),
        "heard": arcs.hear(x),
        "degrees": W.degrees(),
    }


@jax.jit
def views(W, x, alive):
    """Of an operator; and for each of some masks of what is left by every rule, and by two masks."""
    arcs, nodes = W.arcs, jnp.arange(W.n)[:, None]
    on_arcs = lambda M: M[nodes, arcs.sender]
    z = 10 * jnp.arange(arcs.weight.size).reshape(*arcs.weight.shape, 1) + jnp.arange(2.0)[None, None]
    left = {
        rule: jax.vmap(lambda M, rule=rule: view(W.masked(on_arcs(M), rule), x))(alive)
        for rule in RULES
        if rule != "self"
    }
    more = {
        "vectors": (W @ x[:, 0], W.own * x[:, 0] + arcs.sum(arcs.weight * arcs.hear(x[:, 0]))),
        "slots": [arcs.hear(x, s) for s in range(min(3, arcs.weight.shape[1]))],
        "back": (z, arcs.back(z), arcs.back(arcs.back(z))),
        "numbers": W.both(jnp.arange(*W.links)),
        "twice": W.masked(on_arcs(alive[0])).masked(on_arcs(alive[1])).dense(),
        "self": W.masked(on_arcs(alive[0]), "self").dense(),
        "lazy": W.masked(on_arcs(alive[0])).lazy() @ x,
    }
    return view(W, x), more, left


def obeys(found, W, x, exists, arrived):
    """The arc view is that of the matrix W, on the given arcs, of which some arrived; all (n, n)."""
    n = len(W)
    np.testing.assert_allclose(found["matrix"], W, **CLOSE)
    np.testing.assert_allclose(found["product"], W @ x, **CLOSE)
    sender, reverse, there, came, weight = map(np.asarray, found["arcs"])
    by_arcs = found["own"][:, None] * x + np.sum(weight[..., None] * found["heard"], axis=1)
    np.testing.assert_allclose(by_arcs, W @ x, **CLOSE)
    for mask, expected in ((there, exists), (came, arrived)):
        i, s = np.nonzero(mask)
        matrix = np.zeros((n, n), int)
        np.add.at(matrix, (i, sender[i, s]), 1)
        np.testing.assert_array_equal(matrix, expected)
    np.testing.assert_array_equal(found["degrees"], arrived.sum(axis=1))
    assert not np.any(weight[~came])
    i, s = np.nonzero(there)
    np.testing.assert_array_equal(found["heard"][i, s], x[sender[i, s]])
    np.testing.assert_allclose(weight[i, s], W[i, sender[i, s]], **CLOSE)
    mutual = exists[sender[i, s], i]
    np.testing.assert_array_equal(reverse[i, s] >= 0, mutual)
    i, s = i[mutual], s[mutual]
    np.testing.assert_array_equal(sender[sender[i, s], reverse[i, s]], i)
    np.testing.assert_array_equal(reverse[~there], -1)


def left_of(W, alive, rule):
    """W without the arcs that are not alive, from the definition of the rules."""
    W, off = W.copy(), ~np.eye(len(W), dtype=bool)
    lost = np.where(off & ~alive, W, 0)
    W -= lost
    if rule in ("link", "self"):
        W += np.diag(lost.sum(axis=1))
    elif rule == "sender":
        W += np.diag(lost.sum(axis=0))
    elif rule == "renormalize":
        W /= W.sum(axis=1, keepdims=True)
    return W


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.thinned(4)
def test_products_by_arcs_are_those_of_the_operator_before_and_after_every_mask(name):
    graph = GRAPHS[name]
    W, n = weights(graph).toarray(), graph.n
    rng = np.random.default_rng(0)
    x, alive = rng.standard_normal((n, 3)), rng.uniform(size=(2, n, n)) < 0.6
    exists = (W != 0) & ~np.eye(n, dtype=bool)
    count = 0
    for operator in built(graph):
        count += 1
        plain, more, left = jax.tree.map(np.asarray, views(operator, x, alive))
        obeys(plain, W, x, exists, exists)
        np.testing.assert_allclose(more["vectors"], (W @ x)[:, 0] * np.ones((2, 1)), **CLOSE)
        for s, heard in enumerate(more["slots"]):
            np.testing.assert_array_equal(heard, plain["heard"][:, s])
        (z, back, again), (sender, reverse, there, *_) = more["back"], plain["arcs"]
        mutual = reverse >= 0
        np.testing.assert_array_equal(back[mutual], z[sender[mutual], reverse[mutual]])
        np.testing.assert_array_equal(again, np.where(mutual[..., None], z, 0))
        links_have_numbers_of_their_own(more["numbers"], sender, there)
        for rule, of_masks in left.items():
            for k, M in enumerate(alive):
                found = jax.tree.map(lambda a, k=k: a[k], of_masks)
                obeys(found, left_of(W, M, rule), x, exists, exists & M)
        np.testing.assert_allclose(more["twice"], left_of(W, alive[0] & alive[1], "link"), **CLOSE)
        np.testing.assert_allclose(more["self"], left_of(W, alive[0], "self"), **CLOSE)
        np.testing.assert_allclose(more["lazy"], (x + left_of(W, alive[0], "link") @ x) / 2, **CLOSE)
    assert count >= 3


def links_have_numbers_of_their_own(numbers, sender, exists):
    i, s = np.nonzero(exists)
    pairs = np.sort(np.stack([i, sender[i, s]]), axis=0)
    both = np.unique(np.vstack([pairs, numbers[i, s]]), axis=1)
    assert both.shape[1] == len(np.unique(pairs, axis=1).T) == len(np.unique(numbers[i, s]))


def test_on_a_network_that_changes_a_link_is_a_pair_of_the_union():
    for network in (networks.random_matchings(7, pool=5), networks.random_erdos_renyi(40, 0.04, pool=5)):
        pool = network.pool.by_arcs()
        who = pool.arcs.who
        n, union = network.n, np.zeros((network.n, network.n), bool)
        number = np.full((n, n), -1)
        for k in range(network.size):
            member = jax.tree.map(lambda a, k=k: a[k], pool)
            np.testing.assert_allclose(member.dense(), network.member(k).dense(), **CLOSE)
            i, s = np.nonzero(np.asarray(member.arcs.exists))
            j, link = np.asarray(member.arcs.sender)[i, s], np.asarray(who.link)[k][i, s]
            assert np.all((number[i, j] == -1) | (number[i, j] == link))
            number[i, j] = link
            union[i, j] = True
        np.testing.assert_array_equal(number, number.T)
        assert who.count == union.sum() // 2 == len(np.unique(number[union]))


def test_what_is_left_of_a_float32_w_still_sums_to_one_exactly():
    with jax.enable_x64(False):
        for graph in (graphs.ring(12), graphs.star(13), graphs.complete(7), graphs.small_world(30, 4, 0.5, seed=1)):
            W = operators.operator(weights(graph), group=graph.group)
            coins = jax.random.bernoulli(jax.random.key(0), 0.5, W.links)
            left = np.asarray(W.masked(W.both(coins)).dense(), float)
            np.testing.assert_array_equal(left, left.T)
            np.testing.assert_array_equal(left.sum(axis=0), 1.0)


def test_the_identity_has_no_arcs_and_loses_none():
    W, x = operators.operator(np.eye(4)), np.ones((4, 2), np.float32)
    assert W.arcs.weight.shape == (4, 0)
    assert W.masked(np.ones((4, 0), bool)) is W
    np.testing.assert_array_equal(W.own[:, None] * x + W.arcs.sum(W.arcs.hear(x)), x)
    np.testing.assert_array_equal(jax.jit(lambda W: W.degrees())(W), 0)


def test_degrees_are_known_inside_a_program():
    for name, graph in GRAPHS.items():
        for operator in built(graph):
            np.testing.assert_array_equal(jax.jit(lambda W: W.degrees())(operator), graph.degrees, err_msg=name)


def test_arcs_of_a_hub_that_would_not_fit_are_refused_and_products_are_not():
    network = networks.star(20_000)
    np.testing.assert_allclose(network.W @ jnp.ones((20_000, 1)), 1.0, **CLOSE)
    for ask in (lambda: network.W.arcs, lambda: networks.lossy(network, 0.1), lambda: networks.complete(20_000).W.arcs):
        with pytest.raises(ValueError, match=r"20000 x \d+ slots.*GiB.*without hubs"):
            ask()


def test_a_rule_that_there_is_none_is_refused():
    W = networks.ring(5).W
    with pytest.raises(ValueError, match=r"rule is one of 'link', 'sender'.*got 'lose'"):
        W.masked(W.arcs.exists, "lose")
