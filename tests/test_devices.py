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
from jaxdec import networks, problems, run, sweep
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


NODES_OVER_DEVICES = """
# PROCESS
import re
import sys
import jax
import numpy as np
jax.config.update("jax_enable_x64", True)
from jaxdec import algorithms, data, graphs, networks, placement, problems, run
from jaxdec.loop import ready, simulate
from jaxdec.metrics import DEFAULT, named

n = 16
cancer = data.breast_cancer()
minibatches = problems.logistic(cancer, data.dirichlet(cancer, n=n, alpha=1.0), batch_size=4, l2=1e-3)
noisy = problems.quadratic(n, 3, zeta=1.0, noise=0.2)
regular = networks.static(graphs.metropolis(graphs.random_regular(n, 4)))
CASES = (
    (algorithms.GradientTracking(lr=0.05), noisy, networks.ring(n)),
    (algorithms.MomentumTracking(lr=0.01), minibatches, regular),
    (algorithms.KGT(lr=0.02, local_steps=3), minibatches, networks.lossy(networks.ring(n), 0.2)),
    (algorithms.StochasticGradientPush(lr=0.05), noisy, networks.directed_exponential(n)),
    (algorithms.SCAFFOLD(lr=0.05, local_steps=2), minibatches, networks.server(n, participation=0.5)),
    (algorithms.D2(lr=0.05), noisy, networks.complete(n)),
)
for algorithm, problem, network in CASES[int(sys.argv[1]):int(sys.argv[2])]:
    go = lambda **how: run(algorithm, problem, network, rounds=12, every=4, **how)
    alone, spread = go(), go(devices=jax.devices())
    for a, b in zip(jax.tree.leaves(spread.state), jax.tree.leaves(alone.state), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-13)
    for name in alone.metrics:
        np.testing.assert_allclose(spread.metrics[name], alone.metrics[name], rtol=1e-11, atol=1e-13)
    where = {device.id for device in spread.state.x.sharding.device_set}
    assert len(where) == 4, where

# What is sent from device to device, by the compiled program.


def sent(network):
    parts = ready(algorithms.GradientTracking(lr=0.05), noisy, network, np.zeros((n, 3)), rounds=4)
    parts = placement.over_nodes(parts, n, placement.nodes(4, n))
    compiled = jax.jit(simulate, static_argnames=("rounds", "every", "metrics")).lower(
        *parts, jax.random.key(0), None, rounds=4, every=4, metrics=named(DEFAULT)
    ).compile()
    kinds = "(all-gather|all-to-all|collective-permute|all-reduce)"
    return set(re.findall(rf"= f64\\[(\\d+),3\\]\\S* {kinds}\\(", compiled.as_text()))

assert {kind for _, kind in sent(networks.ring(n))} == {"collective-permute"}
assert max(int(rows) for rows, _ in sent(networks.ring(n))) < n // 4
assert sent(regular) == {(str(n), "all-gather")}
"""


def test_nodes_over_devices_give_the_results_of_one_device():
    succeed(child(NODES_OVER_DEVICES, 0, 2, devices=4))


@pytest.mark.slow
def test_nodes_over_devices_give_the_results_of_one_device_of_every_kind_of_network():
    succeed(child(NODES_OVER_DEVICES, 2, 6, devices=4))


def test_a_run_over_devices_that_cannot_share_its_nodes_is_refused():
    arguments = A.DSGD(lr=0.1), problems.quadratic(6, 3), networks.ring(6)
    with pytest.raises(ValueError, match=r"devices=5, but there are 1"):
        run(*arguments, rounds=2, devices=5)
    with pytest.raises(ValueError, match=r"devices is a number of devices"):
        run(*arguments, rounds=2, devices="all")
