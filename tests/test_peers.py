"""The page of decent-bench's methods beside ours: that it is whole, and what it says."""

import json

import numpy as np
import pytest

from benchmarks.peers import __main__ as peers
from benchmarks.peers import ours
from benchmarks.peers.methods import NODES, PEERS
from jaxdec import algorithms

KEPT = json.loads(peers.KEPT.read_text(encoding="utf-8"))
OURS = {peer.name: ours.COUNTERPARTS[peer.name] for peer in PEERS}


def test_every_method_of_the_peer_has_a_row_and_the_page_is_made_of_them():
    families = [peer.family for peer in PEERS]
    assert (families.count("p2p"), families.count("federated")) == (21, 10)
    assert list(KEPT["rows"]) == [peer.name for peer in PEERS] == list(ours.COUNTERPARTS)
    assert peers.PAGE.read_text(encoding="utf-8") == peers.page(KEPT)


@pytest.mark.parametrize("name", OURS)
def test_what_the_page_calls_our_method_is_what_is_run(name):
    row, one = KEPT["rows"][name], OURS[name]
    assert row["here"] == repr(one.method)
    assert type(one.method).__name__ in algorithms.__all__


@pytest.mark.parametrize("name", OURS)
def test_last_iterates_are_equal_to_1e_10_once_the_peer_is_mended(name):
    row = KEPT["rows"][name]
    assert peers.least(row) <= peers.EQUAL
    assert max(row["off"].values()) <= peers.EQUAL or row["mended"]


def test_the_peers_graph_has_our_weights():
    """Metropolis' on its edges, symmetric and doubly stochastic; half of it and of the identity where it is lazy."""
    edges = np.array([(i, (i + 1) % NODES) for i in range(NODES)] + [(0, 4)])
    W, lazy = (np.asarray(ours.network(form, edges).W.dense()) for form in ("graph", "lazy"))
    np.testing.assert_allclose(W[0, [1, 4]], [1 / 4, 1 / 4], rtol=1e-12)
    np.testing.assert_allclose(W[1, 2], 1 / 3, rtol=1e-12)
    np.testing.assert_allclose(lazy, (np.eye(NODES) + W) / 2, rtol=1e-12)
