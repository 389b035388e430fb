"""The contract: what a round supplies, what it costs, and what a problem, a network and an algorithm are.

Arrays are annotated with jaxtyping: n nodes, d parameters, b samples in a minibatch.
"""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple, Protocol, TypeAlias

import jax
from jaxtyping import Array, Bool, Float, Int, Key, Num

Iterates: TypeAlias = Float[Array, "n d"]
Vector: TypeAlias = Float[Array, " d"]
Scalar: TypeAlias = Float[Array, ""]
ScalarLike: TypeAlias = float | int | Num[Array, ""]
StepSize: TypeAlias = Any  # ScalarLike, or a schedule t -> ScalarLike, which is a number by the time a step sees it
PRNGKey: TypeAlias = Key[Array, ""]
Batch: TypeAlias = Any


class Round(NamedTuple):
    """What the outside world supplies at round t."""

    t: Int[Array, ""]  # the round, from 0
    W: Any  # a mixing operator: W @ x mixes over the leading axis
    active: Bool[Array, " n"]  # who takes part
    p: ScalarLike  # the nominal probability of taking part; 1 when all do
    key_data: PRNGKey  # constant over a run, one per seed: only for problem.sample
    key: PRNGKey  # all other randomness of this round
    clients: Int[Array, " m"] | None = None  # who takes part, where their number is fixed: for problem.take


class Cost(NamedTuple):
    """What one round (or init) costs. Python numbers are multiplied on the host, arrays are summed in the loop."""

    grads: ScalarLike = 0  # sample gradients, mean per node; a full gradient counts the node's samples
    vectors: ScalarLike = 0  # d-vectors sent to each neighbour (or up to the server), mean per node
    bits: ScalarLike | None = None  # the same in bits; None means 32 d vectors
    bits_down: ScalarLike = 0  # bits received from a server, per active node


class Problem(Protocol):
    """n local objectives f_i over d parameters; the network minimizes their mean.

    Optional attributes: `minimizer` (d,), `L` and `mu` (smoothness and strong convexity), `test`.
    """

    @property
    def n(self) -> int: ...
    @property
    def d(self) -> int: ...
    @property
    def blocks(self) -> tuple[int, ...]:
        """Sizes of the parameter tensors inside d, static."""
        ...

    @property
    def batch_size(self) -> Any:
        """Sample gradients in one minibatch gradient: a number, 1 where there are no samples."""
        ...

    def init(self, key: PRNGKey) -> Vector: ...
    def sample(self, key_data: PRNGKey, i: Int[Array, ""]) -> Batch:
        """The minibatch of gradient number i: a pure function of the seed's key and i."""
        ...

    def loss(self, x: Iterates, batch: Batch = None) -> Float[Array, " n"]:
        """f_i(x_i), on the node's whole data where batch is None."""
        ...

    def grad(self, x: Iterates, batch: Batch = None) -> Iterates: ...
    def hvp(self, x: Iterates, v: Iterates, batch: Batch = None) -> Iterates: ...
    def test(self, x: Vector) -> Mapping[str, Scalar]:
        """Metrics of one model on held-out data; empty where there is none."""
        ...

    def take(self, clients: Int[Array, " m"]) -> "Problem":
        """The problem of those nodes alone, with the same minibatches."""
        ...

    def check(self) -> None:
        """Raise an error that says what is wrong with the problem; called before anything is traced."""
        ...


class Network(Protocol):
    """Who hears whom at round t."""

    @property
    def n(self) -> int: ...
    @property
    def provides(self) -> frozenset[str]:
        """What holds of W, such as "symmetric" (and doubly stochastic) or "push-pull"; see `Algorithm.requires`."""
        ...

    def at(self, t: Int[Array, ""], key: PRNGKey) -> tuple[Any, ...]:
        """W, active and p of round t; with cohorts of fixed size also the indices of who takes part."""
        ...


class Algorithm(Protocol):
    """A pure init/step pair. Hyperparameters are the fields of the (frozen, pytree) dataclass."""

    requires: ClassVar[
        str
    ]  # of the network: "symmetric" | "doubly stochastic" | "column stochastic" | "push-pull" | "server"
    partial: ClassVar[bool]  # whether it honours Round.active; run refuses a mismatch

    def init(self, problem: Any, x0: Iterates, r: Round) -> tuple[Any, Cost]:
        """The state at round 0, with state.x equal to x0. Takes no step."""
        ...

    def step(self, problem: Any, state: Any, r: Round) -> tuple[Any, Cost]: ...


Metric: TypeAlias = Callable[[Any, Any], jax.Array | Mapping[str, jax.Array] | None]
