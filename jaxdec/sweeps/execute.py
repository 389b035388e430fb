"""Running a group of cells: one program, seeds outside and configurations inside, a block of both at a time."""

import time
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple
from zlib import crc32

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxdec._module import seed_data
from jaxdec.loop import Carry, Trace, outline, simulate
from jaxdec.sweeps.devices import CELL, CELLS, EVERYWHERE, default, gather, place
from jaxdec.sweeps.lastmap import in_front, lastmap, rule_of
from jaxdec.sweeps.layout import Shape
from jaxdec.sweeps.plan import Group

__all__ = ["CPU_FULL", "CPU_SCRATCH", "STORED_SEEDS", "Engine", "Horizon"]

# On a CPU matrix products pack their operands into memory that the analysis does not count: peaks of 1.02 to 2.5 times
# what it says were measured, over quadratics and softmax regression, four forms of W, DSGD and K-GT.
CPU_SCRATCH = 2.5

# On a CPU runs are put side by side until what they carry takes so many bytes. A call costs 4 ms whatever is in it, so
# that 1000 seeds of a cell of 24 numbers took 4.6 s one by one, 1.1 s by sixteens and 0.34 s at once; where a run takes
# 40 KB and more (softmax regression, 650 parameters by 16 nodes) nothing was gained any more.
CPU_FULL = 256_000

# As many seeds are at most in a unit that is stored: what a kill loses, and what several processes share, is a unit.
STORED_SEEDS = 64

# What `jax.vmap` is asked for with cells last: primitives without a rule, such as convolutions, and decompositions.
APART = (None, in_front)

# At least so many cells are computed side by side on the last axis, on a CPU. Where a round takes products of what they
# share with what is their own, 16 take 0.55 to 0.95 of the time that `jax.vmap` takes, 64 take 0.3 to 0.8. Where a
# round is elementwise, the longer one of d and cells is to be last: 64 at d = 10 take 0.4, 32 at d = 32 take 1.25.
SIDE_BY_SIDE = 16

_STACKED = PartitionSpec(None, CELL)  # seeds by cells


class Horizon(NamedTuple):
    """What a program computes of each run."""

    rounds: int  # how many; 0 for the start alone
    every: int
    metrics: Any
    paired: bool
    states: bool  # whether the last state comes back


@partial(jax.jit, static_argnames=("structure", "batched", "shared", "horizon", "mesh", "d"))
def _grid(leaves, folds, keys, since, *, structure, batched, shared, horizon, mesh, d) -> Trace:
    """All seeds by all cells, (S, C, ...). What cells share is not batched: a minibatch is gathered once per seed.

    Where `shared`, cells share what the network remembers too, which is (S, ...). One seed is not mapped over: then a
    `lax.cond` on a round's key stays a branch, and does not become a choice between what both sides compute.

    With `d`, the number of parameters, cells are side by side on the last axis where that pays; without, on the first.
    """
    rounds, every, metrics, paired, states = horizon

    def one(leaves, fold, key, since):
        algorithm, problem, network, x0 = jax.tree.unflatten(structure, leaves)
        key = jax.random.wrap_key_data(key)
        key = key if paired else jax.random.fold_in(key, fold)
        trace = simulate(algorithm, problem, network, x0, key, since, rounds=rounds, every=every, metrics=metrics)
        return trace if states else trace._replace(carry=None)

    def out(memory, others):
        return Trace(Carry(memory, others) if states else None, others, others, others)

    went = None if since is None else (None, Carry(None if shared else 0, 0))
    axes = [0 if b else None for b in batched], 0, None, went
    mapping = jax.vmap if d is None else partial(lastmap, pays=partial(_pays, d))
    inside = mapping(one, in_axes=axes, out_axes=out(None if shared else 0, 0))

    def both(leaves, folds, keys, since):
        if len(keys) == 1:
            since = since and (since[0], jax.tree.map(lambda a: a[0], since[1]))
            return jax.tree.map(lambda a: a[None], inside(leaves, folds, keys[0], since))
        return jax.vmap(inside, in_axes=(None, None, 0, since and (None, 0)))(leaves, folds, keys, since)

    if mesh is not None:
        of_memory = EVERYWHERE if shared else _STACKED
        specs = [CELLS if b else EVERYWHERE for b in batched], CELLS, EVERYWHERE
        went = None if since is None else (EVERYWHERE, Carry(of_memory, _STACKED))
        outs = out(of_memory, _STACKED)
        both = jax.shard_map(both, mesh=mesh, in_specs=(*specs, went), out_specs=outs, check_vma=False)
    return both(leaves, folds, keys, since)


@lru_cache(maxsize=256)
def _analysis(shapes: tuple[Any, ...], arguments: Any, **static: Any) -> Any:
    """What a backend says of the memory of a program, which is compiled for that; JAX keeps it for calls."""
    return _grid.lower(*jax.tree.unflatten(arguments, shapes), **static).compile().memory_analysis()


def _pays(d: int, cells: int, equations: Iterable[tuple[Any, list[bool]]]) -> bool:
    """Whether to have cells on the last axis. Not where `jax.vmap` would be asked for a part."""
    if cells < SIDE_BY_SIDE:
        return False
    met = list(equations)
    products = any(eqn.primitive.name == "dot_general" and not all(mapped) for eqn, mapped in met)
    return (products or 2 * cells >= 3 * d) and all(rule_of(eqn.primitive.name) not in APART for eqn, _ in met)


class Engine:
    """Runs blocks of one group, and keeps account of the time that compiling and running take."""

    def __init__(self, group: Group, seeds: Sequence[int], paired: bool, mesh: Mesh):
        self.group, self.paired, self.mesh = group, paired, mesh
        # Of independent draws each cell has its own, by its name: not by its place, nor by its chunk.
        self.folds = np.asarray([crc32(cell.name.encode()) for cell in group.cells], np.uint32)
        self.seeds = list(seeds)
        self.shared = paired and group.shares_memory
        self.shape = Shape(0, 0)
        self.compiling = self.running = 0.0  # seconds since they were last asked for
        self._shared: list[Any] | None = None

    def _static(self, horizon: Horizon) -> dict[str, Any]:
        mesh = None if default(self.mesh) else self.mesh
        group = self.group
        static = dict(structure=group.structure, batched=group.batched, shared=self.shared, horizon=horizon, mesh=mesh)
        return static | {"d": int(group.cells[0].experiment[1].d) if self._cpu else None}

    @property
    def _cpu(self) -> bool:
        return self.mesh.devices.flat[0].platform == "cpu"

    def _width(self, cells: int) -> int:
        """So many cells, and enough more for the devices to have equal shares."""
        return -(-cells // self.mesh.size) * self.mesh.size

    @property
    def how(self) -> str:
        """In which shape calls are made and where: the last bits of a run depend on it."""
        kind = self.mesh.devices.flat[0].device_kind
        devices = f"{self.mesh.size} x {kind}" if self.mesh.size > 1 else kind
        return f"{self.shape.cells} cells by {self.shape.seeds} seeds on {devices}"

    def seconds(self) -> tuple[float, float]:
        """What compiling and running have taken since the last call."""
        taken, self.compiling, self.running = (self.compiling, self.running), 0.0, 0.0
        return taken

    def bytes(self, shape: Shape, horizon: Horizon, resumed: bool = False) -> int:
        """What a program of this shape takes on each device: its arguments, its results and what it works with."""

        def like(a, *axes, spec=EVERYWHERE):
            where = None if default(self.mesh) else NamedSharding(self.mesh, spec)
            return jax.ShapeDtypeStruct((*axes, *a.shape), a.dtype, sharding=where)

        wide = self._width(shape.cells)
        leaves = [like(c[0], wide, spec=CELLS) if len(c) > 1 else like(c[0]) for c in self.group.columns]
        folds, keys = like(self.folds[0], wide, spec=CELLS), like(seed_data(0), shape.seeds)
        since = None
        if resumed:
            of_cells = lambda a: like(a, shape.seeds, wide, spec=_STACKED)
            since = like(jnp.asarray(0)), self._each(of_cells, lambda a: like(a, shape.seeds), self.carried())
        shapes, arguments = jax.tree.flatten((leaves, folds, keys, since))
        began = time.perf_counter()
        found = _analysis(tuple(shapes), arguments, **self._static(horizon))
        self.compiling += time.perf_counter() - began
        if found is None:  # a backend that does not say
            return 0
        scratch = CPU_SCRATCH if self._cpu else 1.0
        return found.argument_size_in_bytes + found.output_size_in_bytes + int(scratch * found.temp_size_in_bytes)

    def fit(
        self, horizon: Horizon, *, chunk: int | None, limit: int, strict: bool, resumed: bool = False, most: int = 2**31
    ) -> Shape:
        """The largest shape within `limit` bytes a device; with `chunk`, so many cells; of `most` seeds.

        `resumed` says that it is to go on from states, as all but the first segment of a unit do.

        On a CPU no more seeds are put side by side than fill it; an accelerator takes as many as it can.

        Raises:
            ValueError: if `strict` and a single run takes more.
        """
        cells = min(chunk or len(self.group.cells), len(self.group.cells))
        seeds = self._seeds(cells, most) if self._cpu else len(self.seeds)
        if chunk is None or (seeds > 1 and not self._cpu):
            need = lambda cells, seeds: self.bytes(Shape(cells, seeds), horizon, resumed)
            if need(cells, seeds) > limit:
                if seeds > 1:
                    seeds = _most(lambda s: need(cells, s), seeds, limit, 1)
                if seeds == 1 and chunk is None:
                    cells = _most(lambda c: need(c, 1), cells, limit, self.mesh.size)
                if strict and (least := need(cells, seeds)) > limit:
                    raise ValueError(
                        f"{self.group.label} takes {least:.3g} bytes on each device for {cells} "
                        f"{'run' if cells == 1 else 'runs'} at once, and memory allows {limit:.3g}; raise it"
                    )
        chunks = -(-len(self.group.cells) // cells)
        return Shape(cells if chunk else -(-len(self.group.cells) // chunks), seeds)

    def _seeds(self, cells: int, most: int) -> int:
        """How many seeds of some cells fill a CPU."""
        carried = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(self.carried()))
        full = CPU_FULL // max(-(-cells // self.mesh.size) * carried, 1)
        return _even(len(self.seeds), max(1, min(most, full, len(self.seeds))))

    def block(self, cells: Sequence[int], seeds: Sequence[int], horizon: Horizon, since: Any = None) -> Trace:
        """The trace of some cells and seeds, leaves (S, C, ...), in calls of this engine's shape.

        `since` is (t, carry) to go on from, its leaves being (S, C, ...). Memory that cells share is (S, ...) there and
        in the trace.

        A call that runs out of memory is halved, first in cells and then in seeds, and so are those that follow.
        """
        while True:
            try:
                parts = [
                    [
                        self._call(c, s, horizon, self._part(since, cells, seeds, c, s))
                        for c in _split(cells, self.shape.cells)
                    ]
                    for s in _split(seeds, self.shape.seeds)
                ]
            except jax.errors.JaxRuntimeError as error:
                if "RESOURCE_EXHAUSTED" not in str(error) or jax.process_count() > 1:
                    raise
                if self.shape.cells <= self.mesh.size and self.shape.seeds == 1:
                    raise MemoryError(f"a single run of {self.group.label} does not fit into the memory") from error
                self.shape = self._halved()
            else:
                join = lambda axis: lambda *a: a[0] if len(a) == 1 else np.concatenate(a, axis)
                rows = [self._every(join(1), lambda *a: a[0], *row) for row in parts]
                return self._every(join(0), join(0), *rows)

    def _halved(self) -> Shape:
        if self.shape.cells > self.mesh.size:
            return self.shape._replace(cells=-(-self.shape.cells // 2))
        return self.shape._replace(seeds=-(-self.shape.seeds // 2))

    def _call(self, cells: Sequence[int], seeds: Sequence[int], horizon: Horizon, since: Any) -> Trace:
        wide = self._width(self.shape.cells)
        padded = [*cells, *[cells[-1]] * (wide - len(cells))]
        keys = np.stack([seed_data(seed) for seed in [*seeds, *[seeds[-1]] * (self.shape.seeds - len(seeds))]])
        if since is not None:
            t, carry = since
            alone = lambda a: place(_pad(a, 0, self.shape.seeds), self.mesh, EVERYWHERE)
            of_cells = lambda a: place(_pad(_pad(a, 0, self.shape.seeds), 1, wide), self.mesh, _STACKED)
            since = place(np.asarray(t), self.mesh, EVERYWHERE), self._each(of_cells, alone, carry)
        arguments = (
            self._leaves(padded),
            place(self.folds[padded], self.mesh, CELLS),
            place(keys, self.mesh, EVERYWHERE),
        )
        trace = gather(self._launch(*arguments, since, horizon))
        return self._every(lambda a: a[: len(seeds), : len(cells)], lambda a: a[: len(seeds)], trace)

    def _each(self, of_cells: Callable[..., Any], alone: Callable[..., Any], *carries: Carry) -> Carry:
        """Map the leaves of carries that have an axis of cells, and those that have none."""
        memory, state = zip(*carries, strict=True)
        return Carry(jax.tree.map(alone if self.shared else of_cells, *memory), jax.tree.map(of_cells, *state))

    def _every(self, of_cells: Callable[..., Any], alone: Callable[..., Any], *traces: Trace) -> Trace:
        """Likewise of traces, all of whose other leaves have an axis of cells."""
        mapped = jax.tree.map(of_cells, *(trace._replace(carry=None) for trace in traces))
        carries = [trace.carry for trace in traces]
        return mapped if carries[0] is None else mapped._replace(carry=self._each(of_cells, alone, *carries))

    def _part(self, since: Any, cells: Sequence[int], seeds: Sequence[int], c: Sequence[int], s: Sequence[int]) -> Any:
        """The share of a block's carry that belongs to some of its cells and seeds."""
        if since is None:
            return None
        t, carry = since
        i, j = seeds.index(s[0]), cells.index(c[0])
        some = lambda a: a[i : i + len(s)]
        return t, self._each(lambda a: some(a)[:, j : j + len(c)], some, carry)

    def _launch(self, leaves: list[Any], folds: Any, keys: Any, since: Any, horizon: Horizon) -> Trace:
        began = time.perf_counter()
        trace = _grid(leaves, folds, keys, since, **self._static(horizon))
        compiled = time.perf_counter()  # a call returns when it is compiled, and before it has run
        jax.block_until_ready(trace)
        self.compiling += compiled - began
        self.running += time.perf_counter() - compiled
        return trace

    def _leaves(self, cells: Sequence[int]) -> list[Any]:
        if self._shared is None:
            self._shared = [None if len(c) > 1 else place(c[0], self.mesh, EVERYWHERE) for c in self.group.columns]
        return [
            place(np.stack([column[i] for i in cells]), self.mesh, CELLS) if shared is None else shared
            for column, shared in zip(self.group.columns, self._shared, strict=True)
        ]

    def release(self) -> None:
        """Give back the device memory of what all cells share, until the next block."""
        self._shared = None

    def carried(self) -> Carry:
        """What one run carries from round to round: the shapes and dtypes of its leaves."""
        parts: Any = jax.tree.unflatten(self.group.structure, [column[0] for column in self.group.columns])
        return outline(parts, ()).carry

    def carry(self, leaves: Sequence[np.ndarray], size: Shape, where: str) -> Carry:
        """The carry of some cells and seeds from its leaves.

        Raises:
            ValueError: if they are of other shapes than this version's, with `where` they are from.
        """
        like = lambda *axes: lambda a: jax.ShapeDtypeStruct((*axes, *a.shape), a.dtype)
        expected = self._each(like(size.seeds, size.cells), like(size.seeds), self.carried())
        shapes = lambda found: [(a.shape, np.dtype(a.dtype).name) for a in found]
        if shapes(leaves) != shapes(jax.tree.leaves(expected)):
            raise ValueError(f"{where} holds states of another form than this version of jaxdec keeps; use a new store")
        return jax.tree.unflatten(jax.tree.structure(expected), leaves)


def _split(items: Sequence[int], size: int) -> list[Sequence[int]]:
    return [items[k : k + size] for k in range(0, len(items), size)]


def _pad(a: np.ndarray, axis: int, size: int) -> np.ndarray:
    """The last entry repeated until there are `size`."""
    return np.concatenate([a, *[np.take(a, [-1], axis)] * (size - a.shape[axis])], axis)


def _even(count: int, most: int) -> int:
    """The least size of blocks, as few as there must be, of a count: all of nearly one size."""
    return -(-count // -(-count // most))


def _most(need: Callable[[int], int], top: int, limit: int, step: int) -> int:
    """The largest count, a multiple of `step`, whose need is within the limit, need(top) being known to exceed it.

    The need is nearly linear in the count: a guess from one and `top`, halved until it fits.
    """
    least, most = need(step), need(top)
    share = (limit - least) / max(most - least, 1)
    count = step + int(max(share, 0) * (top - step)) // step * step
    while count > step and need(count) > limit:
        count = max(step, count // 2 // step * step)
    return min(count, top)
