"""Everything is tested in float64 on the CPU, with shapes checked at run time and no rank promoted unasked."""

import os
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

jax.config.update("jax_enable_x64", True)
install_import_hook("jaxdec", "shapes.checked")


_MAPS = Path("/proc/self/maps")  # of Linux, which allows a process 65530 of them; LLVM crashes without


@pytest.fixture(autouse=True)
def _programs_are_dropped_before_there_are_too_many():
    """Every compiled program takes some of the memory maps that a process may have."""
    with jax.numpy_rank_promotion("raise"):  # in the tests; the examples in docstrings are written as users write
        yield
    if _MAPS.exists() and len(_MAPS.read_bytes().splitlines()) > 20_000:
        jax.clear_caches()
