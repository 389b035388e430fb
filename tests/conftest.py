"""Everything is tested in float64 on the CPU, with shapes checked at run time and no rank promoted unasked."""

import gc
import os
from collections import Counter
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # of scikit-learn: with a worker per core, more wait for each other
# Compiling takes most of the time, and LLVM most of that: leave its optimizations out. XLA's own stay in.
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_backend_optimization_level=0"
if version("jaxlib").startswith("0.10."):  # later ones do not know this flag, and compile as fast without it
    os.environ["XLA_FLAGS"] += " --xla_cpu_use_fusion_emitters=false"

import jax
import pytest
from jaxtyping import install_import_hook

gc.set_threshold(200_000, 20, 100)  # tracing makes many small objects, and collecting them took a twentieth of the time
jax.config.update("jax_enable_x64", True)
install_import_hook("jaxdec", "shapes.checked")


EXAMPLES = 8  # of the methods, one in so many is quick


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """One in k is quick: of a `thinned(k)` test's cases, of a `sampled(k)` file's tests, of the examples of methods."""
    met = Counter()
    for item in items:
        if item.nodeid.startswith("jaxdec/algorithms/"):
            if met["examples"] % EXAMPLES:
                item.add_marker(pytest.mark.slow)
            met["examples"] += 1
        if (sampled := item.get_closest_marker("sampled")) is not None:
            file = item.nodeid.partition("::")[0]
            if met[file] % sampled.args[0]:
                item.add_marker(pytest.mark.slow)
            met[file] += 1
        if (thinned := item.get_closest_marker("thinned")) is not None:
            test = item.nodeid.partition("[")[0]
            if met[test] % thinned.args[0]:
                item.add_marker(pytest.mark.slow)
            met[test] += 1


_MAPS = Path("/proc/self/maps")  # of Linux, which allows a process 65530 of them; LLVM crashes without


_TESTS = iter(range(10**9))


@pytest.fixture(autouse=True)
def _programs_are_dropped_before_there_are_too_many():
    """Every compiled program takes some of the memory maps that a process may have."""
    with jax.numpy_rank_promotion("raise"):  # in the tests; the examples in docstrings are written as users write
        yield
    if next(_TESTS) % 10 == 9 and _MAPS.exists() and len(_MAPS.read_bytes().splitlines()) > 20_000:
        jax.clear_caches()
