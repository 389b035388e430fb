"""The limits of the machine, and how near to them mixing comes. `python -m benchmarks limits`, a minute.

1. The rates of a matrix product and of copying, in float32: what no program exceeds.
2. `W @ x` in each form for up to a million nodes, beside a copy of x in the same loop.
3. `W @ x` keeps the mean to the rounding of float32, on an accelerator too, whose fast products would not.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse as sp
from jax import lax

from benchmarks.timing import Table, typical
from jaxdec import networks

D = 16
ON_CPU = jax.default_backend() == "cpu"


def rates() -> Table:
    n = 2048 if ON_CPU else 8192
    a = jax.random.normal(jax.random.key(0), (n, n), jnp.float32)
    rows = []
    for name, precision in (("as JAX chooses", "default"), ("of float32", "highest")):
        product = jax.jit(partial(jnp.matmul, precision=precision))
        seconds = typical(lambda p=product: p(a, a))
        exact = np.asarray(a[:4], np.float64) @ np.asarray(a, np.float64)
        off = float(np.abs(np.asarray(product(a, a)[:4]) - exact).max() / np.abs(exact).max())
        rows.append(
            (f"matrix product, precision {name}, n={n}", f"{2 * n**3 / seconds / 1e12:.3g} Tflop/s", f"{off:.1e}")
        )
    x = jnp.ones(2**26 if ON_CPU else 2**28, jnp.float32)
    copy = jax.jit(lambda x: 1.5 * x)
    rows.append(("copy, read and written", f"{2 * x.nbytes / typical(lambda: copy(x)) / 1e9:.4g} GB/s", ""))
    return Table("The limits, float32", ("", "rate", "error"), rows)


def cycles(n: int) -> sp.csr_array:
    """W of two random cycles through all nodes, every weight 1/5."""
    rng = np.random.default_rng(0)
    W = sp.identity(n, format="csr") / 5
    for _ in range(2):
        way = rng.permutation(n)
        there = sp.csr_array((np.full(n, 0.2), (way, np.roll(way, 1))), (n, n))
        W = W + there + there.T
    return sp.csr_array(W)


def four_neighbours(n: int, form: str | None = None) -> Any:
    W = cycles(n)
    return networks.static(W if form is None else W.toarray(), form=form)


def mixing() -> Table:
    rows, factors = [], jnp.asarray([2.0, 0.5])
    for n in (100, 1000, 10_000, 100_000, 1_000_000):
        rounds = max(4, min(1000, int((1e8 if ON_CPU else 1e10) / (n * D * 40))))
        x = jax.random.normal(jax.random.key(0), (n, D), jnp.float32)
        # A different number each time, or the copies are one.
        copied = jax.jit(lambda x, c, r=rounds: lax.fori_loop(0, r, lambda k, y: y * c[k % 2], x))
        copy = typical(lambda f=copied, x=x: f(x, factors)) / rounds
        found = [f"{copy * 1e6:.1f}"]
        forms = [networks.ring(n), four_neighbours(n), *([four_neighbours(n, "dense")] if n <= 10_000 else [])]
        for network in forms:
            mixed = jax.jit(lambda W, x, r=rounds: lax.fori_loop(0, r, lambda _, y: W @ y, x))
            seconds = typical(lambda f=mixed, W=network.W, x=x: f(W, x)) / rounds
            found.append(f"{seconds * 1e6:.1f} ({seconds / copy:.1f})")
        host, W = np.asarray(x), cycles(n).astype(np.float32)
        in_scipy = f"{typical(lambda W=W, x=host: W @ x) * 1e6:.1f}" if ON_CPU else ""
        rows.append((f"n={n:_}", *found, *[""] * (3 - len(forms)), in_scipy))
    columns = (f"float32, d={D}", "copy, µs", "ring, µs (copies)", "4 neighbours, µs (copies)", "dense", "SciPy's CSR")
    return Table("Mixing", columns, rows)


def kept() -> Table:
    """The mean of W x against that of x, in units of the last place of the largest entry."""
    rows = []
    for name, network in (
        ("ring of 64", networks.ring(64)),
        ("ring of 64, dense", networks.static(networks.ring(64).W.dense(), form="dense")),
        ("4 neighbours, 10 000 nodes", four_neighbours(10_000)),
        ("random graph of 512, dense", networks.static(networks.erdos_renyi(512, 0.1).W.dense(), form="dense")),
    ):
        x = 1e3 + jax.random.normal(jax.random.key(0), (network.n, D), jnp.float32)
        y = np.asarray(jax.jit(lambda x, W=network.W: W @ x)(x), np.float64)
        off = np.abs(y.mean(axis=0) - np.asarray(x, np.float64).mean(axis=0)).max() / np.spacing(np.float32(x.max()))
        rows.append((name, f"{off:.2g}", "≤ 1"))
    return Table("W x keeps the mean, float32", ("", "off by, units in the last place", "aim"), rows)


PARTS = (rates, mixing, kept)
