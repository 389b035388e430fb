"""Sweeps over many devices and processes: the same results as on one device, and a limit on memory that is kept."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from jaxdec import algorithms as A
from jaxdec import networks, problems, sweep
from jaxdec.metrics import consensus, loss
from jaxdec.sweeps import load

SWEEP = """
import sys, warnings
warnings.simplefilter("error")
import jax
jax.config.update("jax_enable_x64", True)
PROCESS
from jaxdec import algorithms, networks, problems, sweep
from jaxdec.metrics import consensus, loss

def go(**change):
    return sweep(algorithms.KGT(lr=0.1, local_steps=2), problems.quadratic(6, 3, noise=0.2), networks.ring(6),
                 over={"lr": [0.02 * k for k in range(1, 11)]}, seeds=2, metrics=(loss, consensus),
                 **({"rounds": 6, "every": 3} | change))

"""


def go(**change):
    arguments = {"over": {"lr": [0.02 * k for k in range(1, 11)]}, "seeds": 2, "metrics": (loss, consensus)}
    method, problem = A.KGT(lr=0.1, local_steps=2), problems.quadratic(6, 3, noise=0.2)
    return sweep(method, problem, networks.ring(6), **(arguments | {"rounds": 6, "every": 3} | change))


def child(program, *arguments, devices=1):
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
    command = [sys.executable, "-c", SWEEP.replace("PROCESS", "") + program if "PROCESS" not in program else program]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen([*command, *map(str, arguments)], env=os.environ | {"XLA_FLAGS": flags}, **pipes)


def succeed(*children):
    for process in children:
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
    return output


def close(found, expected):
    for name in ("loss", "consensus"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-12, atol=0)


@pytest.fixture(scope="module")
def alone():
    return go()


def test_results_do_not_depend_on_the_number_of_devices(tmp_path, alone):
    program = """
go(devices=4).to_zarr(f"{sys.argv[1]}/4", zarr_format=2)
go(chunk=3).to_zarr(f"{sys.argv[1]}/8", zarr_format=2)
go(devices=jax.devices()[5:6]).to_zarr(f"{sys.argv[1]}/1", zarr_format=2)
"""
    succeed(child(program, tmp_path, devices=8))
    for devices in ("1", "4", "8"):
        close(xr.open_zarr(tmp_path / devices), alone)
    # Where a device's share has the shape of a chunk, nothing at all differs: ten cells over four devices, by threes.
    assert xr.open_zarr(tmp_path / "4").load().equals(go(chunk=3).drop_attrs())


@pytest.mark.slow
def test_two_processes_share_a_sweep_and_its_store(tmp_path, alone):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    process = f'jax.distributed.initialize("localhost:{port}", 2, int(sys.argv[2]))'
    program = (
        SWEEP.replace("PROCESS", process)
        + """
go(rounds=3, store=sys.argv[1])
longer = go(store=sys.argv[1])
assert longer.attrs["runs_done"] == 20
try:
    go(store=sys.argv[1], rounds=3)
except ValueError as error:
    assert "holds more than this sweep asks for" in str(error)
else:
    raise SystemExit("a shorter sweep was not refused")
"""
    )
    succeed(*(child("# PROCESS\n" + program, tmp_path / "store", k) for k in (0, 1)))
    close(load(tmp_path / "store"), alone)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peaks of memory are read as Linux tells them")
def test_a_limit_on_memory_far_below_the_whole_sweep_is_kept():
    """The peak of a process that may take 200 MB for what would take 1.6 GB."""
    program = """
import re
from pathlib import Path
import numpy as np

def high_water():  # of this program: ru_maxrss begins with that of the process that started it
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])

def big(cells, **limit):
    problem = problems.quadratic(64, 500, noise=0.1)
    return sweep(algorithms.DSGD(lr=0.1), problem, networks.ring(64), over={"lr": list(np.geomspace(1e-3, 1, cells))},
                 seeds=1, rounds=4, every=4, metrics=(loss,), **limit)

big(2)  # compiling takes memory too, which is not given back
before = high_water()
peak = lambda: high_water() - before
results = big(2000, memory="200MB")
limited = peak()
whole = big(2000, memory="100GB")
free = peak()
print(f"peak with memory='200MB': {limited / 1e3:.0f} MB more, without: {free / 1e3:.0f} MB more")
assert limited < 200e3, limited
assert free > 4 * limited, free
np.testing.assert_allclose(results.loss, whole.loss, rtol=1e-12)
"""
    print(succeed(child(program)))
