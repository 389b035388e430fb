"""What the methods of graphs computed is what they compute: see trajectories.py, and test_server_trajectories.py."""

import json

import pytest
from trajectories import FILE, cases, differences, mismatches, server_cases

KEPT, NOW = json.loads(FILE.read_text())["trajectories"], cases()
SERVER = {*server_cases(), *(name for name in KEPT if name.endswith(", half"))}


def test_every_case_is_kept_and_every_kept_one_is_a_case():
    assert set(KEPT) == set(NOW)


@pytest.mark.parametrize("name", sorted(set(KEPT) - SERVER))
@pytest.mark.thinned(12)
def test_a_method_computes_what_it_did(name):
    assert not mismatches([name])


def test_what_differs_is_named():
    kept = {"sha256": "a", "x": [1.0, 2.0], "spent": {"grads": 12.0, "vectors": 24.0}}
    told = lambda same=True, **other: differences("DSGD", kept, kept | other, same)
    assert told() == told(sha256="b", same=False) == []
    assert "bits" in told(sha256="b")[0]
    assert "1e-08 away" in told(x=[1.0, 2.0 + 2e-8], same=False)[0]
    assert "nan away" in told(x=[1.0, float("nan")])[0]
    assert "3 entries, it had 2" in told(x=[1.0, 2.0, 3.0])[0]
    assert told(spent={"grads": 12.0, "vectors": 12.0}) == ["DSGD: vectors spent is 12.0, it was 24.0"]
