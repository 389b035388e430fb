"""What the command line asks of JAX before it computes, in processes of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import json
from jaxdec.backend import begin, cores

begin()
import jax
from jaxdec import algorithms, networks, problems, sweep

found = sweep(algorithms.DSGD(lr=0.1), problems.quadratic(4, 3), networks.ring(4), over={"lr": [0.1, 0.2, 0.3]},
              seeds=2, rounds=4, every=2, progress=False)
print(json.dumps({"devices": len(jax.devices()), "cores": cores(), "values": found.consensus.values.tolist()}))
"""


def asked(cache: Path, **variables: str) -> dict:
    """What a process of its own says."""
    inherited = {k: v for k, v in os.environ.items() if k not in ("XLA_FLAGS", "JAX_COMPILATION_CACHE_DIR")}
    environment = inherited | {"JAXDEC_CACHE": str(cache)} | variables
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environment, check=False
    )
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout.splitlines()[-1])


def test_each_core_is_a_device_and_what_one_process_compiled_the_next_one_has(tmp_path):
    first = asked(tmp_path)
    assert first["devices"] == min(first["cores"], 16)
    kept = sorted(file.name for file in tmp_path.rglob("programs/*/*-cache"))
    assert kept
    again = asked(tmp_path)
    assert sorted(file.name for file in tmp_path.rglob("programs/*/*-cache")) == kept
    assert again == first


def test_what_a_user_has_set_stays(tmp_path):
    own = tmp_path / "own"
    found = asked(
        tmp_path,
        XLA_FLAGS="--xla_force_host_platform_device_count=3",
        JAX_COMPILATION_CACHE_DIR=str(own),
        JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS="0",
    )
    assert found["devices"] == 3
    assert list(own.iterdir())
    assert not (tmp_path / "programs").exists()
