"""Running a group of cells: one program, seeds outside and configurations inside."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdec.run import Trace, simulate
from jaxdec.sweep.plan import Group


@partial(jax.jit, static_argnames=("structure", "batched", "paired", "rounds", "every", "metrics"))
def _grid(leaves, cells, keys, *, structure, batched, paired, rounds, every, metrics) -> Trace:
    """All seeds by all cells, (S, C, ...). What cells share is not batched: a minibatch is gathered once per seed."""

    def one(leaves, cell, key):
        algorithm, problem, network, x0 = jax.tree.unflatten(structure, leaves)
        key = key if paired else jax.random.fold_in(key, cell)
        trace = simulate(algorithm, problem, network, x0, key, rounds=rounds, every=every, metrics=metrics)
        return trace._replace(state=None)

    inside = jax.vmap(one, in_axes=([0 if b else None for b in batched], 0, None))
    return jax.vmap(inside, in_axes=(None, None, 0))(leaves, cells, keys)


def traces(
    group: Group, seeds: Sequence[int], *, paired: bool, tick: Callable[[int], None], **horizon: Any
) -> Iterator[tuple[slice, Trace]]:
    """The group's traces, a block of seeds at a time: (which seeds, trace with leaves (seeds, cells, ...)).

    On a CPU a block is one seed, since the cells already fill it; an accelerator gets all seeds at once.
    """
    block = 1 if jax.default_backend() == "cpu" else len(seeds)
    cells = jnp.arange(len(group.cells))
    for start in range(0, len(seeds), block):
        which = slice(start, start + block)
        keys = jnp.stack([jax.random.key(seed) for seed in seeds[which]])
        trace = _grid(
            group.leaves,
            cells,
            keys,
            structure=group.structure,
            batched=group.batched,
            paired=paired,
            **horizon,
        )
        trace = jax.tree.map(np.asarray, trace)
        tick(len(group.cells) * len(seeds[which]))
        yield which, trace
