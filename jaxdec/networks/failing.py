"""Networks that fail: messages are lost, nodes sleep. They wrap any network of a graph, and each other.

What remains true of W is in their `provides`, and depends on where the weight of what is lost goes:

| rule | lost is | the weight goes to | W of the round |
|---|---|---|---|
| `"link"` | a link, both ways | each end's own vector | symmetric and doubly stochastic |
| `"sender"` | an arc | the sender's own vector, who learns of it | column stochastic |
| `"self"` | an arc | the receiver's own vector | row stochastic |
| `"renormalize"` | an arc | all that arrived and the own vector, in proportion | row stochastic |
| `"drop"` | an arc | nobody, as in some simulators | nothing: its rows sum to less than one |

Only the first two keep what is averaged; the others are there to show what goes wrong. Failures are a function of the
seed: all methods meet the same.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PyTree

from jaxdec import checks
from jaxdec._module import module
from jaxdec._module import static as _static
from jaxdec.networks.arcs import RULES, Rule
from jaxdec.networks.families import Static
from jaxdec.networks.operators import NeighbourTable
from jaxdec.networks.outages import Outages, outages
from jaxdec.networks.varying import Varying
from jaxdec.types import PRNGKey, World

__all__ = ["KEPT", "NEEDED", "Lossy", "Memory", "Sleeping", "lossy", "sleeping"]

NEEDED = {
    "link": "symmetric",
    "sender": "column stochastic",
    "self": "row stochastic",
    "renormalize": "row stochastic",
}
KEPT = {
    "link": frozenset({"symmetric", "doubly stochastic", "row stochastic", "column stochastic", "arcs"}),
    "sender": frozenset({"column stochastic", "arcs"}),
    "self": frozenset({"row stochastic", "arcs"}),
    "renormalize": frozenset({"row stochastic", "arcs"}),
    "drop": frozenset({"arcs"}),
}


class Memory(NamedTuple):
    """What a network that fails remembers."""

    inner: PyTree  # of the network that it wraps
    failed: PyTree  # of what fails


@module
class Lossy:
    """A network of which messages are lost. Made by `lossy`."""

    inner: Any
    loss: Outages
    rule: Rule = _static(default="link")

    @property
    def n(self) -> int:
        return self.inner.n

    @property
    def provides(self) -> frozenset[str]:
        return self.inner.provides & KEPT[self.rule]

    def init(self, key: PRNGKey) -> Memory:
        inner, W, key = _started(self.inner, key)
        return Memory(inner, self.loss.init(key, W.links if self.rule == "link" else (2, *W.links)))

    def at(self, memory: Memory, t: Int[Array, ""], key: PRNGKey) -> tuple[Memory, World]:
        inner, world = self.inner.at(memory.inner, t, key)
        failed, lost = self.loss.at(memory.failed, t)
        W = world.W
        if self.rule == "link":
            lost = W.both(lost)
        else:  # a coin for each way
            lost = jnp.where(W.arcs.sender < jnp.arange(self.n)[:, None], W.both(lost[0]), W.both(lost[1]))
        W = W.masked(~lost, self.rule)
        return Memory(inner, failed), world._replace(W=W, lost=W.arcs.lost)

    def check(self) -> None:
        _check(self.inner)
        self.loss.check()


@module
class Sleeping:
    """A network of which nodes sleep. Made by `sleeping`."""

    inner: Any
    activity: Outages

    @property
    def n(self) -> int:
        return self.inner.n

    @property
    def provides(self) -> frozenset[str]:
        return self.inner.provides & KEPT["link"]

    def init(self, key: PRNGKey) -> Memory:
        inner, _, key = _started(self.inner, key)
        return Memory(inner, self.activity.init(key, (self.n,)))

    def at(self, memory: Memory, t: Int[Array, ""], key: PRNGKey) -> tuple[Memory, World]:
        inner, world = self.inner.at(memory.inner, t, key)
        failed, asleep = self.activity.at(memory.failed, t)
        active = ~asleep if world.active is None else world.active & ~asleep
        W = world.W.masked(active[:, None] & world.W.arcs.hear(active), "link", silent=True)
        p = world.p * (1 - self.activity.probability)  # pyrefly: ignore[missing-attribute]
        lost = world.lost if isinstance(world.lost, int) else W.arcs.lost  # of what those awake send
        return Memory(inner, failed), world._replace(W=W, active=active, p=p, sent=W.arcs.sent, lost=lost)

    def check(self) -> None:
        _check(self.inner)
        self.activity.check()


def lossy(network: Any, loss: Any, rule: Rule = "link") -> Lossy:
    """A network of which messages are lost on the way.

    A message that is lost was sent, and is paid for. Under "link" the two nodes of a link that is down know it, and
    neither uses what the other sends: W stays symmetric, and so what a method conserves is conserved. On a network that
    changes, a link is a pair of nodes, and is down or up whether or not the W of the round has it.

    Args:
        network: any network of a graph, which may change or fail in other ways too.
        loss: a model, `Independent` or `GilbertElliott`; a number is the probability of an independent loss.
        rule: what is lost, and where its weight goes: "link", for a symmetric W; "sender", for directed graphs and
            push-sum methods; "self", "renormalize" and "drop", under which the mean is not kept.

    Raises:
        TypeError: if the loss is no model.
        ValueError: if the probability is outside [0, 1), or the rule does not fit the network.

    >>> from jaxdec import networks
    >>> from jaxdec.networks import outages
    >>> sorted(lossy(networks.ring(8), 0.1).provides)
    ['arcs', 'column stochastic', 'doubly stochastic', 'row stochastic', 'symmetric']
    >>> bursts = outages.GilbertElliott(probability=0.3, burst=5)
    >>> sorted(lossy(networks.random_digraph(8, 0.2), bursts, "sender").provides)
    ['arcs', 'column stochastic']
    """
    checks.choice("rule", rule, RULES)
    _of_a_graph("lossy", network)
    if rule in NEEDED and NEEDED[rule] not in network.provides:
        fitting = [f'"{r}"' for r in RULES if r not in NEEDED or NEEDED[r] in network.provides]
        advice = ', for push-sum methods "sender"' if '"sender"' in fitting else ""
        raise ValueError(
            f'the rule "{rule}" is for a W that is {NEEDED[rule]}, and this network provides {_listed(network)}. Rules '
            f"that fit it: {', '.join(fitting)}{advice}"
        )
    lossy = Lossy(_by_arcs(network), outages("loss", loss), rule)
    lossy.check()
    return lossy


def sleeping(network: Any, activity: Any) -> Sleeping:
    """A network of which nodes are asleep in some rounds: they compute nothing, hear nothing and say nothing.

    The W of a round is the identity on those asleep, and the weight of a link goes to the own vectors of its ends. A
    link is silent, and is not paid for, if either of its ends sleeps; that is what a link's two nodes agree on before.

    Args:
        network: any network of a graph with symmetric W, which may change or fail in other ways too.
        activity: a model, `Independent` or `Markov`, whose probability is that of being asleep; a number is that of
            nodes that sleep independently.

    Raises:
        TypeError: if the activity is no model.
        ValueError: if the probability is outside [0, 1), or W is not symmetric: no weights without the sleeping nodes
            are doubly stochastic then.

    >>> from jaxdec import networks
    >>> from jaxdec.networks import outages
    >>> network = sleeping(networks.ring(8), outages.Markov(probability=0.3, burst=10))
    >>> sorted(network.provides)
    ['arcs', 'column stochastic', 'doubly stochastic', 'row stochastic', 'symmetric']
    """
    _of_a_graph("sleeping", network)
    if "symmetric" not in network.provides:
        raise ValueError(
            f"sleeping nodes are for a symmetric W, and this network provides {_listed(network)}: of a W that is not, "
            "what is left without some nodes is not doubly stochastic. On a directed graph lose messages instead, "
            'networks.lossy(network, loss, rule="sender"), with push-sum methods'
        )
    sleeping = Sleeping(_by_arcs(network), outages("activity", activity))
    sleeping.check()
    return sleeping


def _started(network: Any, key: PRNGKey) -> tuple[PyTree, Any, PRNGKey]:
    """The memory of the inner network, a W of it, and a key for what fails."""
    inner, own = jax.random.split(key)
    memory = network.init(inner)
    return memory, network.at(memory, jnp.asarray(0), inner)[1].W, own


def _check(network: Any) -> None:
    if isinstance(network, Lossy | Sleeping):
        network.check()


def _of_a_graph(name: str, network: Any) -> None:
    if "arcs" not in network.provides:
        raise ValueError(
            f"networks.{name} wraps a network of a graph with one W, such as networks.ring(8); this one provides "
            f"{_listed(network)}"
        )
    if isinstance(network, Static | Varying):
        weights = network.W.arcs.weight if isinstance(network, Static) else jax.vmap(_weights)(network.pool)
        if jnp.min(weights, initial=0) < 0:
            raise ValueError(
                f"networks.{name} takes arcs out of W, and what is left of a W with negative weights may drive nodes "
                'apart; take weights that are not negative, such as weights="fastest_mixing" or "metropolis"'
            )


def _weights(W: Any) -> Any:
    return W.arcs.weight


def _listed(network: Any) -> str:
    return ", ".join(sorted(network.provides)) or "nothing"


def _by_arcs(network: Any) -> Any:
    """The network with its neighbour tables as tables of arcs, made here and not in every round."""
    if isinstance(network, Static) and isinstance(network.W, NeighbourTable):
        return dataclasses.replace(network, W=network.W.by_arcs())
    if isinstance(network, Varying) and isinstance(network.pool, NeighbourTable):
        return dataclasses.replace(network, pool=network.pool.by_arcs())
    return network
