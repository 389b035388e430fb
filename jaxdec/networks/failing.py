"""Networks that fail: messages are lost, nodes sleep. They wrap any network of a graph, and each other.

What remains true of W is in their `provides`, and depends on where the weight of what is lost goes:

| rule | lost is | the weight goes to | W of the round |
|---|---|---|---|
| `"link"` | a link, both ways | each end's own vector | symmetric and doubly stochastic |
| `"sender"` | an arc | the sender's own vector, who learns of it | column stochastic |
| `"self"` | an arc | the receiver's own vector | row stochastic |
| `"renormalize"` | an arc | all that arrived and the own vector, in proportion | row stochastic |
| `"drop"` | an arc | nobody, as in some simulators | nothing: its rows sum to less than one |
| `"arcs"` | an arc | nobody: neither end knows of the loss | not there: `W @ x` is an error |

Only the first two keep what is averaged; the next three are there to show what goes wrong. Under the last, methods that
keep what is under way on each arc average all the same: see `networks.one_way`. Failures are a function of the seed:
all methods meet the same.
"""

import dataclasses
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, PyTree

from jaxdec import checks
from jaxdec._module import module
from jaxdec._module import static as _static
from jaxdec.networks.arcs import RULES, ByArcs, Rule, Table
from jaxdec.networks.failing_pairs import LossyPair, Memory, by_way, lossy_pair
from jaxdec.networks.families import Static
from jaxdec.networks.one_way import one_way, union
from jaxdec.networks.operators import NeighbourTable
from jaxdec.networks.outages import AtLeast, Outages, Trace, outages
from jaxdec.networks.selection import BySize, RoundRobin
from jaxdec.networks.servers import Server
from jaxdec.networks.varying import Varying
from jaxdec.types import PRNGKey, World

__all__ = [
    "KEPT",
    "LOSSES",
    "NEEDED",
    "Asleep",
    "Loss",
    "Lossy",
    "Memory",
    "Sleeping",
    "SleepingClients",
    "lossy",
    "sleeping",
]

Loss: TypeAlias = Rule | Literal["arcs"]
LOSSES = (*RULES, "arcs")
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
    "arcs": frozenset({"arcs"}),
}


class Asleep(NamedTuple):
    """What a network of nodes that sleep remembers."""

    inner: PyTree  # of the network that it wraps
    failed: PyTree  # of who sleeps
    p: Any  # the probability of taking part, of all nodes or of each, (n,)


@module
class Lossy:
    """A network of which messages are lost. Made by `lossy`."""

    inner: Any
    loss: Outages
    rule: Loss = _static(default="link")
    slots: Table | None = None  # under "arcs", of the union graph of a network whose arcs change

    @property
    def n(self) -> int:
        return self.inner.n

    @property
    def provides(self) -> frozenset[str]:
        return self.inner.provides & KEPT[self.rule]

    @property
    def sends(self) -> frozenset[str]:
        """What holds of what is sent, be it lost or not."""
        laws = checks.sent(self.inner)
        if self.rule == "arcs":
            return laws - {"reliable"} | ({"fixed arcs"} if self.slots is not None else set())
        return laws & (KEPT[self.rule] | {"fixed arcs"})

    def init(self, key: PRNGKey) -> Memory:
        inner, W, key = _started(self.inner, key)
        W = one_way(W, self.slots) if self.rule == "arcs" else W
        return Memory(inner, self.loss.init(key, W.links if self.rule == "link" else (2, *W.links)))

    def at(self, memory: Memory, t: Int[Array, ""], key: PRNGKey) -> tuple[Memory, World]:
        inner, world = self.inner.at(memory.inner, t, key)
        failed, lost = self.loss.at(memory.failed, t)
        W = one_way(world.W, self.slots) if self.rule == "arcs" else world.W
        coins = self.rule == "link" and not isinstance(self.loss, Trace)  # for each link
        lost = W.both(lost) if coins else by_way(self.loss, lost, W)
        W = W.losing(lost) if self.rule == "arcs" else W.masked(~lost, self.rule)
        return Memory(inner, failed), world._replace(W=W, lost=W.arcs.lost)

    @property
    def lasts(self) -> int | None:
        """For how many rounds it is known what is lost; None for all."""
        return _shorter(self.inner, self.loss)

    def check(self) -> None:
        _check(self.inner)
        self.loss.check(self.n, "link" if self.rule == "link" else "arc")


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

    @property
    def sends(self) -> frozenset[str]:
        """What holds of what is sent."""
        return checks.sent(self.inner) & (KEPT["link"] | {"fixed arcs"})

    def init(self, key: PRNGKey) -> Asleep:
        inner, _, key = _started(self.inner, key)
        failed = self.activity.init(key, (self.n,))
        return Asleep(inner, failed, self.activity.shares(failed, self.n))

    def at(self, memory: Asleep, t: Int[Array, ""], key: PRNGKey) -> tuple[Asleep, World]:
        inner, world = self.inner.at(memory.inner, t, key)
        failed, asleep = self.activity.at(memory.failed, t)
        active = ~asleep if world.active is None else world.active & ~asleep
        W = world.W.masked(active[:, None] & world.W.arcs.hear(active), "link", silent=True)
        lost = world.lost if isinstance(world.lost, int) else W.arcs.lost  # of what those awake send
        sleep = memory._replace(inner=inner, failed=failed)
        return sleep, world._replace(W=W, active=active, p=world.p * memory.p, sent=W.arcs.sent, lost=lost)

    @property
    def lasts(self) -> int | None:
        """For how many rounds it is known who sleeps; None for all."""
        return _shorter(self.inner, self.activity)

    def check(self) -> None:
        _check(self.inner)
        self.activity.check(self.n, "node")


@module
class SleepingClients:
    """A server of whose clients some sleep. Made by `sleeping`."""

    inner: Server
    activity: Outages

    @property
    def n(self) -> int:
        return self.inner.n

    @property
    def provides(self) -> frozenset[str]:
        return frozenset({"server"})

    def init(self, key: PRNGKey) -> Asleep:
        inner, own = jax.random.split(key)
        failed = self.activity.init(own, (self.n,))
        p = self.activity.shares(failed, self.n, self.inner.chances(), some=True)
        return Asleep(self.inner.init(inner), failed, p)

    def at(self, memory: Asleep, t: Int[Array, ""], key: PRNGKey) -> tuple[Asleep, World]:
        failed, asleep = self.activity.at(memory.failed, t)
        inner, world = self.inner.among(memory.inner, key, ~asleep)
        idle = None if isinstance(self.activity, AtLeast) else jnp.all(asleep)
        return memory._replace(inner=inner, failed=failed), world._replace(p=memory.p, idle=idle)

    @property
    def lasts(self) -> int | None:
        """For how many rounds it is known who sleeps; None for all."""
        return self.activity.lasts

    def check(self) -> None:
        self.inner.check()
        self.activity.check(self.n, "node")
        if isinstance(self.inner.selection, BySize):
            raise ValueError(
                "by the size of their data clients are chosen among all of them: with clients that sleep nobody knows "
                'the probabilities, which methods divide by. Take selection="uniform"'
            )
        drawn = jax.eval_shape(lambda memory: jnp.asarray(self.activity.shares(memory, self.n)), self._began())
        alike = drawn.shape == () and not any(map(np.ndim, jax.tree.leaves(self.activity)))
        if isinstance(self.inner.selection, RoundRobin) and not alike:
            raise ValueError(
                "who is passed over because others sleep takes part with a probability that is known where all sleep "
                'by one law: beside round robin give one probability for all clients, or take selection="uniform"'
            )
        if drawn.shape and self.inner.chances() is not None:
            what = f"the law of how many of {self.n} clients are awake"
            checks.affordable(what, 16 * self.n**2, "take one probability for all of them")

    def _began(self) -> PyTree:
        return jax.eval_shape(lambda key: self.activity.init(key, (self.n,)), jax.random.key(0))


def lossy(network: Any, loss: Any, rule: Loss = "link") -> Lossy | LossyPair:
    """A network of which messages are lost on the way.

    A message that is lost was sent, and is paid for. Under "link" the two nodes of a link that is down know it, and
    neither uses what the other sends: W stays symmetric, and so what a method conserves is conserved. On a network that
    changes, a link is a pair of nodes, and is down or up whether or not the W of the round has it.

    Under "arcs" neither end knows what was lost. `W.own` and `W.arcs` keep the weights of the reliable network,
    `W.arcs.arrived` says where something arrives, and `W @ x` is an error. Where a network's arcs change, each has a
    slot of its own, that of the union graph; where the W of a round does not have it, nothing is sent there.

    A push-pull pair loses messages by "sender": of C their weight goes to the sender, of R to the receiver.

    Args:
        network: any network of a graph, which may change or fail in other ways too.
        loss: a model, `Independent`, `GilbertElliott` or a `Trace`; a number is the probability of an independent loss.
        rule: what is lost, and where its weight goes: "link", for a symmetric W; "sender", for directed graphs and
            push-sum methods; "self", "renormalize" and "drop", under which the mean is not kept; "arcs", for methods
            that keep running sums, such as `RobustPushSum`.

    Raises:
        TypeError: if the loss is no model.
        ValueError: if the probability is outside [0, 1), the rule does not fit the network, or a union graph has no
            room.

    >>> from jaxdec import networks
    >>> from jaxdec.networks import outages
    >>> sorted(lossy(networks.ring(8), 0.1).provides)
    ['arcs', 'column stochastic', 'doubly stochastic', 'row stochastic', 'symmetric']
    >>> bursts = outages.GilbertElliott(probability=0.3, burst=5)
    >>> sorted(lossy(networks.random_digraph(8, 0.2), bursts, "sender").provides)
    ['arcs', 'column stochastic']
    >>> sorted(lossy(networks.random_digraph(8, 0.2), bursts, "arcs").provides)
    ['arcs']
    """
    checks.choice("rule", rule, LOSSES)
    if "push-pull" in network.provides:
        return lossy_pair(network, outages("loss", loss), rule)
    _of_a_graph("lossy", network)
    if rule != "arcs" and _unknown(network):
        raise ValueError(
            f'the rule "{rule}" says what becomes of a W that the network within, whose loss is of the rule "arcs", '
            f'does not have: wrap the other way round, lossy(lossy(network, loss, "{rule}"), loss, "arcs")'
        )
    if rule in NEEDED and NEEDED[rule] not in network.provides:
        fitting = [f'"{r}"' for r in LOSSES if r not in NEEDED or NEEDED[r] in network.provides]
        advice = ', for push-sum methods "sender"' if '"sender"' in fitting else ""
        raise ValueError(
            f'the rule "{rule}" is for a W that is {NEEDED[rule]}, and this network provides {_listed(network)}. Rules '
            f"that fit it: {', '.join(fitting)}{advice}"
        )
    network = _by_arcs(network)
    lossy = Lossy(network, outages("loss", loss), rule, _slots(network) if rule == "arcs" else None)
    lossy.check()
    return lossy


def sleeping(network: Any, activity: Any) -> Sleeping | SleepingClients:
    """A network of which nodes are asleep in some rounds: they compute nothing, hear nothing and say nothing.

    On a graph the W of a round is the identity on those asleep, and the weight of a link goes to the own vectors of its
    ends. A link is silent, and is not paid for, if either of its ends sleeps; that is what a link's two nodes agree on
    before.

    At a server those who take part are drawn among those awake: everybody, those whose coins succeed (given that not
    all fail), or as many of a cohort as there are. `r.p` is the probability of taking part in a round in which
    somebody is awake. In a round in which all sleep nothing happens: the server and its clients keep all they have, and
    nothing is paid for.

    Args:
        network: a server, with participation or a cohort; or any network of a graph with symmetric W, which may change
            or fail in other ways too.
        activity: a model of `networks.outages`: `Independent`, `Markov`, `Cyclic`, `Poisson`, `AtLeast` or a `Trace`.
            Numbers are the probabilities of being asleep of nodes that sleep independently, one for all or (n,).

    Raises:
        TypeError: if the activity is no model.
        ValueError: if a probability is outside [0, 1), there is another number of them than of nodes, or W is not
            symmetric: no weights without the sleeping nodes are doubly stochastic then.

    >>> from jaxdec import networks
    >>> from jaxdec.networks import outages
    >>> network = sleeping(networks.ring(8), outages.Markov(probability=0.3, burst=10))
    >>> sorted(network.provides)
    ['arcs', 'column stochastic', 'doubly stochastic', 'row stochastic', 'symmetric']
    >>> sorted(sleeping(networks.server(100, cohort=10), 0.3).provides)
    ['server']
    """
    if isinstance(network, Server):
        clients = SleepingClients(network, outages("activity", activity))
        clients.check()
        return clients
    _of_a_graph("sleeping", network)
    if _unknown(network):
        raise ValueError(
            'who sleeps is known to its neighbours, and what is lost by the rule "arcs" to nobody: wrap the other way '
            'round, lossy(sleeping(network, activity), loss, "arcs")'
        )
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


def _shorter(inner: Any, model: Outages) -> int | None:
    """For how many rounds both are known."""
    return min((known for known in (checks.lasts(inner), model.lasts) if known is not None), default=None)


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


def _slots(network: Any) -> Table | None:
    """The slots of all arcs that a network may have, where they are not the same in every round."""
    while isinstance(network, Lossy | Sleeping):
        network = network.inner
    if isinstance(network, Varying) and isinstance(network.pool, ByArcs):
        return union(np.asarray(network.pool.arcs.who.sender))
    return None


def _unknown(network: Any) -> bool:
    """Whether it has a loss within that neither end of an arc knows of."""
    while isinstance(network, Lossy | Sleeping):
        if isinstance(network, Lossy) and network.rule == "arcs":
            return True
        network = network.inner
    return False
