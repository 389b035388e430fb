"""Everything is tested in float64 on the CPU."""

import os
from importlib.metadata import version

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Compiling takes most of the time, and LLVM most of that: leave its optimizations out. XLA's own stay in.
flags = ["--xla_backend_optimization_level=0"]
if version("jaxlib").startswith("0.10."):  # later ones do not know the flag, and compile as fast without it
    flags += ["--xla_cpu_use_fusion_emitters=false"]
os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), *flags])

import jax

jax.config.update("jax_enable_x64", True)
