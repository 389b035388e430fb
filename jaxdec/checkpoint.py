"""A long run in stretches: its state is saved after each (orbax), and where it was killed it goes on from the last."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxdec.types import Cost

Piece = Callable[[int, int, Any], tuple[Any, dict[str, np.ndarray], Cost]]


def run_in_stretches(
    piece: Piece,
    like: Any,
    path: str | os.PathLike[str],
    about: dict[str, Any],
    *,
    rounds: int,
    every: int,
    stretch: int,
) -> tuple[Any, dict[str, np.ndarray], Cost]:
    """The state, metrics and cost of a run, from the last checkpoint on, with one after each stretch of rounds.

    Args:
        piece: maps a round, how many more to run and (state, metrics, cost) until then, or None at round 0, to the same
            after those rounds; with the records of these rounds alone.
        like: the shapes and dtypes of the state.
        path: the directory of the checkpoints; the last two are kept.
        about: what is run, as JSON, but for the number of rounds.
        rounds: how many there are to be.
        every: the stride of the records.
        stretch: rounds between checkpoints, a multiple of `every`.

    Raises:
        ValueError: if the directory holds checkpoints of another run, or of one that is further.
    """
    import orbax.checkpoint as ocp  # takes seconds to import, and most runs do without

    from jaxdec.describe import differences

    options = ocp.CheckpointManagerOptions(max_to_keep=2, enable_async_checkpointing=False)
    with ocp.CheckpointManager(Path(path).absolute(), options=options) as manager:
        t, so_far = manager.latest_step() or 0, None
        if t:
            found = manager.restore(t, args=ocp.args.Composite(about=ocp.args.JsonRestore()))
            if lines := differences(found.about["run"], about):
                raise ValueError(f"{path} holds checkpoints of another run; give it its own:\n  " + "\n  ".join(lines))
            if t > rounds:
                raise ValueError(
                    f"{path} holds a checkpoint of round {t}, and this run is to have {rounds}; ask for more"
                )
            records = {name: tuple(shape_dtype) for name, shape_dtype in found.about["records"].items()}
            abstract = _saved(like, {k: jax.ShapeDtypeStruct(*v) for k, v in records.items()})
            args = ocp.args.Composite(arrays=ocp.args.StandardRestore(abstract))
            so_far = _restored(like, manager.restore(t, args=args).arrays)
        while t < rounds:
            more = min(stretch, rounds - t)
            state, metrics, cost = piece(t, more, so_far)
            if so_far is not None:
                metrics = {k: np.concatenate([so_far[1][k], v]) for k, v in metrics.items()}
                both = zip(so_far[2], cost, strict=True)
                cost = Cost._make(np.concatenate([np.asarray(a), np.asarray(b)]) for a, b in both)
            t, so_far = t + more, (state, metrics, cost)
            records = metrics | cost._asdict()
            kinds = {name: [list(a.shape), a.dtype.name] for name, a in records.items()}
            args = ocp.args.Composite(
                arrays=ocp.args.StandardSave(_saved(state, records)),
                about=ocp.args.JsonSave({"run": about, "records": kinds}),
            )
            manager.save(t, args=args)
    return so_far  # type: ignore[return-value]


def _saved(state: Any, records: dict[str, Any]) -> dict[str, Any]:
    """What a checkpoint holds: the leaves of the state by number, but for empty ones, which cannot be saved."""
    leaves = {str(k): leaf for k, leaf in enumerate(jax.tree.leaves(state)) if np.prod(leaf.shape)}
    return {"state": leaves, "records": records}


def _restored(like: Any, found: dict[str, Any]) -> tuple[Any, dict[str, np.ndarray], Cost]:
    leaves, structure = jax.tree.flatten(like)
    leaves = [found["state"].get(str(k), np.zeros(leaf.shape, leaf.dtype)) for k, leaf in enumerate(leaves)]
    records = {name: np.asarray(a) for name, a in found["records"].items()}
    cost = Cost._make(records.pop(name) for name in Cost._fields)
    return jax.tree.unflatten(structure, leaves), records, cost
