"""What the methods of a server computed is what they compute: see trajectories.py, and test_trajectories.py.

Two files, so that two workers share the programs of this test.
"""

import pytest
from test_trajectories import SERVER
from trajectories import mismatches


@pytest.mark.parametrize("name", sorted(SERVER))
@pytest.mark.thinned(24)
def test_a_method_of_a_server_computes_what_it_did(name):
    assert not mismatches([name])
