"""The contract: what a network says of a round, what an algorithm does with it, what it costs, and what a problem is.

Arrays are annotated with jaxtyping: n nodes, m of them computing, d parameters, b samples in a minibatch.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol, TypeAlias
from zlib import crc32

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, Num, PyTree

__all__ = [
    "LAWS",
    "STRUCTURAL",
    "Algorithm",
    "Batch",
    "Cost",
    "Iterates",
    "Law",
    "Measured",
    "Metric",
    "Network",
    "PRNGKey",
    "Problem",
    "Round",
    "Scalar",
    "ScalarLike",
    "StepSize",
    "Tally",
    "Vector",
    "World",
    "frozen",
]

Iterates: TypeAlias = Float[Array, "n d"]
Vector: TypeAlias = Float[Array, " d"]
Scalar: TypeAlias = Float[Array, ""]
if TYPE_CHECKING:
    ScalarLike: TypeAlias = float | int | Num[Array, ""]  # in a step it is traced
else:  # before, on the host, a number in a run's dtype is one of NumPy
    ScalarLike = float | int | np.number | Num[Array | np.ndarray, ""]
StepSize: TypeAlias = Any  # ScalarLike, or a schedule t -> ScalarLike, which is a number by the time a step sees it
PRNGKey: TypeAlias = Key[Array, ""]
Batch: TypeAlias = Any


class Law(NamedTuple):
    """What may hold of every W of a network."""

    needed: str  # what a method that needs it needs
    meaning: str
    lost: str  # by a method that needs it, where it does not hold


LAWS: dict[str, Law] = {
    "symmetric": Law("a symmetric W", "W = W', rows and columns sum to one", "its fixed point and its conserved sums"),
    "doubly stochastic": Law(
        "a doubly stochastic W", "rows and columns of W sum to one", "the mean of what is mixed, and what is tracked"
    ),
    "column stochastic": Law(
        "a column stochastic W", "columns of W sum to one", "the mass of push-sum, and so the mean"
    ),
    "row stochastic": Law("a row stochastic W", "rows of W sum to one", "consensus as a fixed point"),
    "push-pull": Law("a push-pull pair", "W is (R, C), whose rows and columns sum to one", "the method itself"),
    "server": Law("a server", "W is the mean over the clients that take part, one row", "the method itself"),
    "fixed": Law("a fixed W", "W is the same in every round", "convergence, at any step size"),
    "reliable": Law(
        "a reliable network", "every message arrives and every node takes part", "what nodes know of each other"
    ),
    "arcs": Law("arcs", "what a node hears can be had arc by arc, from W.arcs", "the method itself"),
    "fixed arcs": Law(
        "arcs that stay", "what a node hears in a slot comes from the same node in every round", "what is under way"
    ),
    "tree": Law(
        "a tree", "of the edges, which go both ways, one path leads from any node to any other", "what is counted once"
    ),
    "asynchronous": Law("an asynchronous network", "a round is one event of a node or a pair", "the method itself"),
    "hears all": Law(
        'an asynchronous graph with hears="all"', "in an event a node hears all its neighbours", "the method itself"
    ),
}
# Without these a step cannot even be taken.
STRUCTURAL = frozenset({"push-pull", "server", "arcs", "tree", "asynchronous", "hears all"})


class World(NamedTuple):
    """What a network says of round t, by name; all but W have a default.

    That everybody takes part is a fact of the structure: `active` and `clients` are both None. No number's type is a
    switch.
    """

    W: Any  # a mixing operator: W @ x mixes over the leading axis; a pair (R, C) for push-pull methods
    active: Bool[Array, " n"] | None = None  # who takes part; or
    clients: Int[Array, " m"] | None = None  # who takes part, in increasing order, where their number is fixed;
    # where it is at most m, `active` is (m,), which of them do
    p: ScalarLike | Float[Array, " n"] = 1.0  # the probability of taking part
    honest: Bool[Array, " n"] | None = None  # whose models are judged; None: everybody's
    sent: ScalarLike = 1  # the share of the arcs on which something is sent and paid for; a Python 1 where reliable
    seconds: Scalar | None = None  # when this round's event was, where events have a time
    once: bool = False  # whether a server's message for all is paid for once, and not by each who hears it
    weighted: bool = False  # whether those who take part may weigh differently in W, as one who is drawn twice does
    idle: Bool[Array, ""] | None = None  # whether nobody takes part, and a server keeps all it has; None: never
    lost: ScalarLike = 0  # the share of the messages sent that are lost on the way; a Python 0 where none ever is
    hops: int = 1  # of how many messages one after another a product with W is


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Tally:
    """A mean over nodes that is kept in whole numbers, and divided on the host alone: no rounding adds up.

    It is (65536 high + low) times / over, in two halves of 32 bits with low below 65536.
    """

    high: Int[Array, "*rounds"]
    low: Int[Array, "*rounds"]
    times: float = dataclasses.field(metadata={"static": True})
    over: int = dataclasses.field(metadata={"static": True})

    @classmethod
    def of(cls, counts: Int[Array, " m"], times: float, over: int) -> "Tally":
        """The sum of whole numbers, times / over.

        >>> float(Tally.of(jnp.array([70000, 5]), 2, 10))
        14001.0
        """
        return cls(counts >> 16, counts & 0xFFFF, times, over).summed()

    def summed(self) -> "Tally":
        """The sum of a stack of them: by bytes, so that the halves of eight million do not overflow."""
        bytes_ = jnp.sum(self.low & 0xFF, axis=0)
        more = jnp.sum(self.low >> 8, axis=0) + (bytes_ >> 8)
        low = (more & 0xFF) << 8 | bytes_ & 0xFF
        return dataclasses.replace(self, high=jnp.sum(self.high, axis=0) + (more >> 8), low=low)

    @property
    def value(self) -> np.ndarray:
        """The number, in float64; of a stack of them, theirs."""
        return (65536 * np.asarray(self.high, np.float64) + np.asarray(self.low)) * self.times / self.over

    def __float__(self) -> float:
        return float(self.value)


class Cost(NamedTuple):
    """What one round (or init) costs: the mean over all n nodes; on a graph, of what is sent, over all its arcs.

    Those who are absent, and arcs on which nothing is sent, count as zero. So n times an entry is all that was computed
    or sent (on a graph the number of arcs times it), and entries add up over rounds. Python numbers are multiplied on
    the host, arrays are summed in the loop.
    """

    grads: ScalarLike | Num[Array, " n"] | Tally = 0  # sample gradients; a full gradient counts the node's samples.
    # Where these differ it may be each node's own number, which the loop averages over nodes
    vectors: ScalarLike | Tally = 0  # d-vectors sent to each neighbour (or up to the server)
    bits: ScalarLike | Tally | None = None  # the same in bits; None means 32 d vectors
    bits_down: ScalarLike | Tally = 0  # bits received from a server
    rounds_present: ScalarLike | Tally = 0  # rounds in which a node takes part; the loop writes it, not the method
    messages: ScalarLike | None = None  # messages one after another: 2 where what is sent depends on what was heard in
    # this round; None means 1
    lost: ScalarLike = 0  # the share of the messages sent that were lost, in each round; the loop writes it


@dataclasses.dataclass(frozen=True)
class Round:
    """Round t as a step sees it: what the network says of it, its randomness, and what is done with both.

    A method of a graph reads `t`, `W`, `key_data` and `key`, and all rows are computed. A method of a server has
    clients that may be absent; in terms of a round (h are memories of the clients, (n, d))::

        clients = r.of(problem)                                  # of a cohort alone, where there is one
        g = clients.grad(r.spread(s.x), r.draw(clients))
        new = r.rows(s.h) + g
        return State(s.x - lr * r.mean(g), r.kept(s.h, new)), r.cost(grads=clients.batch_size, vectors=1)
    """

    n: int  # how many nodes there are
    dtype: Any  # of the run
    t: Int[Array, ""]  # the round, from 0
    key_data: PRNGKey  # constant over a run, one per seed: only for problem.sample
    key: PRNGKey  # all other randomness of this round
    W: Any  # this and the following are those of `World`
    active: Bool[Array, " n"] | Bool[Array, " m"] | None = None
    clients: Int[Array, " m"] | None = None
    p: ScalarLike | Float[Array, " n"] = 1.0
    honest: Bool[Array, " n"] | None = None
    sent: ScalarLike = 1
    seconds: Scalar | None = None
    once: bool = False
    weighted: bool = False
    idle: Bool[Array, ""] | None = None
    lost: ScalarLike = 0
    hops: int = 1

    @property
    def everybody(self) -> bool:
        """Whether all nodes take part; known when compiling."""
        return self.active is None and self.clients is None

    @property
    def m(self) -> int:
        """How many rows are computed: a cohort's size, or n; of either those absent are ignored."""
        return self.n if self.clients is None else self.clients.shape[0]

    @property
    def share(self) -> ScalarLike:
        """The share of the nodes that take part; a Python number where it is known when compiling."""
        if self.active is not None and self.clients is not None:
            return jnp.sum(self.active, dtype=self.dtype) / self.n
        if self.active is not None:
            return jnp.mean(self.active, dtype=self.dtype)
        return 1 if self.clients is None else self.m / self.n

    # Rows.

    def of(self, problem: Any) -> Any:
        """The problem of the rows that are computed."""
        return problem if self.clients is None else problem.take(self.clients)

    def rows(self, a: PyTree) -> PyTree:
        """Of what each of the n nodes has, (n, ...), the rows that are computed, (m, ...)."""
        return a if self.clients is None else jax.tree.map(lambda a: a[self.clients], a)

    def kept(self, a: PyTree, new: PyTree) -> PyTree:
        """What each node has, (n, ...): the rows of `new`, (m, ...), for those who take part, unchanged for others.

        Raises:
            ValueError: while it is traced, if one client may be drawn twice in a round.
        """
        if self.weighted:
            raise ValueError(
                "this method remembers something of each client, and in this network a client may be drawn twice in a "
                "round: take selection.BySize(sizes), without replacement"
            )
        if self.clients is not None and self.active is not None:
            new = frozen(self.active, self.rows(a), new)
        if self.clients is not None:
            return jax.tree.map(lambda a, new: a.at[self.clients].set(new), a, new)
        return new if self.active is None else frozen(self.active, a, new)

    def spread(self, x: Float[Array, "1 d"]) -> Float[Array, "m d"]:
        """The server's vector at each of the rows that are computed."""
        return jnp.broadcast_to(x, (self.m, *x.shape[1:]))

    def mean(self, v: Float[Array, "m *d"]) -> Float[Array, "1 *d"]:
        """(1/n) Σ_S v_i / p_i: in expectation the mean over all clients, who take part with probabilities p_i.

        In an event of one client, which has a time, it is what that client sent.
        """
        if self.seconds is not None:
            return self.W @ v
        if jnp.ndim(self.p):
            p = self.rows(jnp.asarray(self.p, self.dtype))
            return self.share * (self.W @ (v / p.reshape(-1, *(1,) * (v.ndim - 1))))
        mixed = self.W @ v
        return mixed if self.active is None else (self.share / jnp.asarray(self.p, self.dtype)) * mixed

    # Randomness.

    def fold(self, name: str) -> PRNGKey:
        """The round's key for a purpose, by its name: two uses of one key cannot happen."""
        return jax.random.fold_in(self.key, crc32(name.encode()))

    def keys(self, name: str) -> Key[Array, " m"]:
        """A key for each row that is computed, which depends on the node and not on who else takes part."""
        nodes = jnp.arange(self.n) if self.clients is None else self.clients
        return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(self.fold(name), nodes)

    def draw(self, problem: Any, k: Any = 0, K: int = 1) -> Batch:
        """The minibatch of gradient number t K + k: 1 for k is that of a gradient at the new point."""
        return problem.sample(self.key_data, self.t * K + k)

    # What it costs.

    def per_node(self, spent: ScalarLike | Num[Array, " m"]) -> Any:
        """The mean over all n nodes of what each row that is computed spends, or each node that takes part.

        Those absent count as zero. Whole numbers stay whole, in a `Tally`.
        """
        if jnp.ndim(spent):
            spent = jnp.asarray(spent)
            spent = spent if self.active is None else jnp.where(self.active, spent, 0)
            if jnp.issubdtype(spent.dtype, jnp.integer):
                return Tally.of(spent, 1, self.n)
            return jnp.sum(spent) / jnp.asarray(self.n, spent.dtype)
        if self.active is not None and isinstance(spent, int | float | np.number):
            return Tally.of(self.active.astype(jnp.int32), float(spent), self.n)
        if self.active is not None:
            return self.share * spent
        return spent if self.clients is None else spent * self.m / self.n

    def cost(
        self,
        grads: ScalarLike | Num[Array, " m"] = 0,
        vectors: ScalarLike = 0,
        bits: ScalarLike | Float[Array, " m"] | None = None,
        bits_down: ScalarLike | Float[Array, " m"] = 0,
        *,
        personal: bool = False,
        missed: bool = False,
    ) -> Cost:
        """The cost of a method that handles absence itself, from what one of those who take part spends.

        Args:
            grads: its sample gradients, or each one's.
            vectors: d-vectors that it sends up.
            bits: the length of its message, or of each one's; None means 32 bits an entry.
            bits_down: the length of the server's message to it, or to each one.
            personal: whether the server's messages differ, so that a broadcast does not spare any.
            missed: whether those who were absent are sent this message later.
        """
        message = lambda b: (self.W @ b[:, None])[0, 0] if jnp.ndim(b) else b
        if self.once and not personal:
            down = message(bits_down) / self.n
        else:
            down = message(bits_down) if missed else self.per_node(bits_down)
        if self.idle is not None and (missed or (self.once and not personal)):
            down = jnp.where(self.idle, 0, down)  # there is no message
        up = None if bits is None else self.per_node(bits)
        return Cost(self.per_node(grads), self.per_node(vectors), up, down)


def frozen(active: Bool[Array, " n"], old: PyTree, new: PyTree) -> PyTree:
    """The rows of `new` where `active`, else those of `old`; all leaves have the leading axis n."""
    among = lambda a: active.reshape(-1, *(1,) * (a.ndim - 1))
    return jax.tree.map(lambda old, new: jnp.where(among(new), new, old), old, new)


class Problem(Protocol):
    """n local objectives f_i over d parameters; the network minimizes their mean.

    A problem of one's own inherits from `problems.Problem` and has n, d, `sample` and `loss`; there the gradient, and
    all the rest, has a default.
    """

    @property
    def minimizer(self) -> Any:
        """Of the mean, (d,), or None where it is not known."""
        ...

    @property
    def minimum(self) -> Any:
        """The least value of the mean, or None."""
        ...

    @property
    def L(self) -> Any:
        """The largest smoothness constant among the f_i, or None."""
        ...

    @property
    def mu(self) -> Any:
        """The strong convexity of the mean, or None."""
        ...

    @property
    def convex(self) -> bool | None:
        """Whether the mean is convex, or None where that is not known; asked outside of compiled functions."""
        ...

    @property
    def n(self) -> int: ...
    @property
    def d(self) -> int: ...
    def sample(self, key_data: PRNGKey, i: Int[Array, ""]) -> Batch:
        """The minibatch of gradient number i: a pure function of the seed's key and i."""
        ...

    def loss(self, x: Iterates, batch: Batch = None) -> Float[Array, " n"]:
        """f_i(x_i), on the node's whole data where batch is None."""
        ...

    def grad(self, x: Iterates, batch: Batch = None) -> Iterates: ...

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of the parameter tensors inside d, static."""
        ...

    @property
    def blocks(self) -> tuple[int, ...]:
        """Their sizes."""
        ...

    @property
    def batch_size(self) -> Any:
        """Sample gradients in one minibatch gradient: a number, 1 where there are no samples; or each node's, (n,)."""
        ...

    @property
    def data_size(self) -> Any:
        """Samples of a node's whole data: a number, 1 where there are none; or each node's, (n,)."""
        ...

    @property
    def parts(self) -> int:
        """How many parts a node's f_i is the mean of, at most, of which minibatches are drawn; static."""
        ...

    def part_grads(self, x: Iterates, batch: Batch = None) -> tuple[Int[Array, "n b"], Float[Array, "n b d"]]:
        """The parts in a minibatch, or all where it is None, and their gradients; one part is f_i itself."""
        ...

    def init(self, key: PRNGKey) -> Vector: ...
    def objective(self, x: Vector) -> Scalar:
        """mean_i f_i(x)."""
        ...

    def suboptimality(self, x: Vector) -> Scalar | None:
        """The objective at x less its least value, or None where that is not known."""
        ...

    def hvp(self, x: Iterates, v: Iterates, batch: Batch = None) -> Iterates: ...
    def hessian(self, x: Iterates, batch: Batch = None) -> Float[Array, "n d d"]:
        """The Hessians of the f_i at x_i; one counts as the sample gradients of d gradients."""
        ...

    def prox(self, x: Iterates, step: ScalarLike) -> Iterates:
        """argmin_z f_i(z) + ‖z - x_i‖² / (2 step), on the nodes' whole data."""
        ...

    @property
    def regularizer(self) -> Any:
        """What all nodes share beside the f_i, or None."""
        ...

    def prox_regularizer(self, x: Iterates, step: ScalarLike) -> Iterates:
        """The proximal step of the regularizer, row by row: x itself where there is none."""
        ...

    def curvature(self) -> tuple[Any, Any] | None:
        """L and mu, or bounds that hold everywhere, where they are known; on the host."""
        ...

    def variance(self, x: Iterates) -> ScalarLike | None:
        """(1/n) Σ_i E‖g_i - ∇f_i(x_i)‖² of the minibatch gradients, where it can be computed exactly."""
        ...

    def test(self, x: Vector) -> Mapping[str, Scalar]:
        """Metrics of one model on held-out data; empty where there is none."""
        ...

    def over_nodes(self, f: Callable[..., Any]) -> Callable[..., Any]:
        """A function of one node's model, mapped over all of them."""
        ...

    def take(self, clients: Int[Array, " m"]) -> "Problem":
        """The problem of those nodes alone, with the same minibatches."""
        ...

    def check(self) -> None:
        """Raise an error that says what is wrong with the problem; called before anything is traced."""
        ...


class Network(Protocol):
    """Who hears whom at round t. A pytree; what it remembers from round to round is carried by the loop.

    One that loses what is sent unknown to both ends has also `sends`, the laws of what is sent, be it lost or not.
    """

    @property
    def n(self) -> int: ...
    @property
    def provides(self) -> frozenset[str]:
        """What holds of every W, from `LAWS`. Computed, or static: no leaf of the pytree."""
        ...

    def init(self, key: PRNGKey) -> PyTree:
        """What is remembered before round 0: () for most; the states of links, sleeping nodes, clocks."""
        ...

    def at(self, memory: PyTree, t: Int[Array, ""], key: PRNGKey) -> tuple[PyTree, World]:
        """What is remembered after round t, and what is so in it."""
        ...


class Algorithm(Protocol):
    """A pure init/step pair. Hyperparameters are the fields of the (frozen, pytree) dataclass.

    `requires`, `init` and `step` are needed. The others may be left out, as may the methods `check()`, which raises
    what is wrong with the fields; `advise(problem)`, which warns; and `limit(eigenvalue)`, the largest
    stable lr times curvature on quadratics where that is the least eigenvalue of a symmetric W.
    """

    requires: ClassVar[frozenset[str] | str]  # of the network: laws of `LAWS`
    wants: ClassVar[Mapping[str, str]]  # further laws, or such as "a or b", and what is not promised where one does not
    # hold; {} by default, and a property where it depends on the fields
    absent: ClassVar[Literal["frozen", "own", "refused"]]  # a node that does not take part keeps its rows of the state
    # by the loop's doing ("frozen", the default), by the method's own, or there may be none
    replicas: ClassVar[bool]  # whether nodes keep copies of their neighbours' vectors, which a lost message corrupts
    mixes: ClassVar[Literal["iterates", "mass"] | None]  # what it multiplies by W: iterates, once a round, so that old
    # ones may stand for new ones; or mass, of which nothing may be lost or counted twice. None, the default: else
    composite: ClassVar[bool]  # whether it takes the proximal step of a problem's regularizer; False by default
    stands_loss: ClassVar[bool]  # whether what does not arrive is kept as under way, or what arrived before is used in
    # its place: laws are those of what is sent

    def init(self, problem: Any, x0: Iterates, r: Round) -> tuple[Any, Cost]:
        """The state at round 0, with state.x equal to x0. Takes no step."""
        ...

    def step(self, problem: Any, state: Any, r: Round) -> tuple[Any, Cost]: ...


Measured: TypeAlias = jax.Array | Mapping[str, jax.Array] | None
Metric: TypeAlias = Callable[[Any, Any], Measured] | Callable[[Any, Any, World], Measured]
