"""Push-pull pairs of which messages are lost: an arc that is down is down for R and for C."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, PyTree

from jaxdec._module import module
from jaxdec.networks.arcs import Known
from jaxdec.networks.families import PushPull, Static
from jaxdec.networks.outages import Outages, Trace
from jaxdec.types import PRNGKey, World

__all__ = ["LossyPair", "Memory", "by_way", "lossy_pair"]


class Memory(NamedTuple):
    """What a network that fails remembers."""

    inner: PyTree  # of the network that it wraps
    failed: PyTree  # of what fails


def by_way(loss: Outages, lost: Any, W: Any) -> Bool[Known, "n k"]:
    """On which arcs something is lost: of a coin for each way of a link, or of a trace, (n, n)."""
    sender = jnp.asarray(W.arcs.sender)
    if isinstance(loss, Trace):
        return jnp.take_along_axis(lost, sender, axis=1)
    return jnp.where(sender < jnp.arange(len(sender))[:, None], W.both(lost[0]), W.both(lost[1]))


@module
class LossyPair:
    """A push-pull pair of which messages are lost. Made by `lossy`."""

    inner: Static
    loss: Outages

    @property
    def n(self) -> int:
        return self.inner.n

    @property
    def provides(self) -> frozenset[str]:
        return frozenset({"push-pull"})

    @property
    def lasts(self) -> int | None:
        """For how many rounds it is known what is lost; None for all."""
        return self.loss.lasts

    def init(self, key: PRNGKey) -> Memory:
        inner, own = jax.random.split(key)
        return Memory(self.inner.init(inner), self.loss.init(own, (2, *self.inner.W.C.links)))

    def at(self, memory: Memory, t: Int[Array, ""], key: PRNGKey) -> tuple[Memory, World]:
        inner, world = self.inner.at(memory.inner, t, key)
        failed, lost = self.loss.at(memory.failed, t)
        R, C = world.W
        lost = by_way(self.loss, lost, C)
        R, C = R.masked(~lost, "self"), C.masked(~lost, "sender")
        return Memory(inner, failed), world._replace(W=PushPull(R, C), lost=C.arcs.lost)

    def check(self) -> None:
        self.loss.check(self.n, "arc")


def lossy_pair(network: Static, loss: Outages, rule: str) -> LossyPair:
    """A pair whose lost messages go, of R, to the receiver's own vector, and of C to the sender's.

    So rows of R still sum to one, and columns of C.

    Raises:
        ValueError: if the rule is another than "sender", or R and C do not hear the same nodes.
    """
    if rule != "sender":
        raise ValueError(
            'a push-pull pair loses messages by the rule "sender": of C their weight goes to the sender, of R to the '
            f'receiver; got rule="{rule}"'
        )
    if not isinstance(network, Static):
        raise ValueError("a push-pull pair that loses messages is one that does not change otherwise")
    senders = [np.asarray(W.arcs.sender) for W in network.W]
    if senders[0].shape != senders[1].shape or np.any(senders[0] != senders[1]):
        raise ValueError(
            "R and C of a pair that loses messages are over the same arcs, such as those of networks.push_pull(graph)"
        )
    found = LossyPair(network, loss)
    found.check()
    return found
