"""Uneven shares in pieces: the nodes' samples cut into equal blocks, each of one node.

A table of n rows as long as the longest share costs n times the largest node. Blocks of the mean share's length are at
most n + n, whatever the shares, and hold each sample once: sums over them, added up by node, cost twice the data.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from jaxdec._module import module
from jaxdec.data import Partition

__all__ = ["SAVED", "Pieces", "pieces"]

SAVED = 2  # how many times smaller blocks must be than the table; measured in benchmarks/uneven.py


@module
class Pieces:
    """Blocks of samples. Their shape follows from how many nodes and samples there are."""

    indices: Int[Array, "k b"]  # positions of samples; a block that its node does not fill repeats some
    owners: Int[Array, " k"]  # whose they are, ascending
    starts: Int[Array, " k"]  # how many samples of the owner are in blocks before

    def shares(self, counts: Array, dtype) -> Array:
        """The weight of each entry in its node's mean, (k, b); 0 for what is repeated."""
        of_owner = counts[self.owners][:, None]
        held = self.starts[:, None] + jnp.arange(self.indices.shape[-1])[None] < of_owner
        return held.astype(dtype) / jnp.maximum(of_owner, 1).astype(dtype)

    def summed(self, parts: Array, n: int) -> Array:
        """Sums over the blocks of each node, (n, ...)."""
        return jax.ops.segment_sum(parts, self.owners, n, indices_are_sorted=True)


def pieces(partition: Partition) -> Pieces | None:
    """The blocks of a partition, or None where the table of the nodes' rows is about as small.

    Partitions of as many samples over as many nodes in tables of one width, such as those of `data.stackable`, all get
    blocks of one shape, or none.
    """
    n, total, width = partition.n, int(partition.counts.sum()), partition.indices.shape[1]
    size = max(-(-total // n), 1)
    most = n + total // size  # a bound on the number of blocks that depends on no share
    if width * n < SAVED * most * size:
        return None
    counts = partition.counts.astype(np.int64)
    needed = -(-counts // size)
    owners = np.repeat(np.arange(n), needed)
    starts = (np.arange(len(owners)) - np.repeat(np.cumsum(needed) - needed, needed)) * size
    spare = most - len(owners)
    owners, starts = np.append(owners, np.full(spare, n - 1)), np.append(starts, np.full(spare, counts[-1]))
    columns = np.minimum(starts[:, None] + np.arange(size), np.maximum(counts, 1)[owners][:, None] - 1)
    indices = partition.indices[owners[:, None], columns]
    return Pieces(*(jnp.asarray(a, jnp.int32) for a in (indices, owners, starts)))
