"""What the tests of methods with a server share: runs of a few rounds, and the draws of `run` for the references."""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import rounds
from cases import X0, D, N, gradients, quadratic

from jaxdec import compressors as C
from jaxdec import networks, problems, testing

CLOSE = {"rtol": 0, "atol": 1e-12}
ROUNDS, SHORT = 1500, 20
SEED = 7
KEYS = rounds.keys(SEED)
NOISE = 0.5
GRAD = gradients(quadratic(NOISE), KEYS.data, SHORT + 1)
EVERYBODY, SOME, COHORT = networks.server(N), networks.server(N, participation=0.6), networks.server(N, cohort=2)

Q, EXACT = C.Quantization(levels=1), C.Identity()
TOP = C.TopK(k=1)
OMEGA = float(Q.omega((D,)))
RATE = 1 / (2 * (OMEGA + 1))
BOTH, TOPS = {"compressor": Q, "down_compressor": Q}, {"compressor": TOP, "down_compressor": TOP}


@cache
def result(method: Any, network: Any = EVERYBODY, noise: float = 0.0, rounds: int = ROUNDS) -> Any:
    return testing.trajectory(method, quadratic(noise), network, rounds=rounds, x0=X0, seed=SEED)


def states(*args: Any, **options: Any) -> dict[str, np.ndarray]:
    return {name.strip("."): array for name, array in result(*args, **options).states.items()}


def models(method: Any, network: Any = EVERYBODY) -> np.ndarray:
    """The server's model over the first rounds, with noise."""
    return states(method, network, NOISE, SHORT)["x"][:, 0]


@cache
def keys_of(t: int):
    """The keys of round t, as `run` makes them: the network's, and those of the messages up and down."""
    network, step = rounds.keys_of(KEYS, t)
    return network, rounds.fold(step, "up"), rounds.fold(step, "down")


def present(network: Any, t: int) -> list[int]:
    return np.flatnonzero(rounds.presence(network, N, SEED, SHORT + 1)[t]).tolist()


def messages(compressor: Any, network: Any, which: int, rows: int | None = None):
    """The message of round t for v from or to client i, drawn as `run` draws it; `rows` is 1 for a broadcast."""
    draw = jax.jit(lambda key, x: compressor(key, x, (D,)).value)

    def message(t, i, v):
        S = present(network, t) if network.cohort else list(range(N))
        m, row = (rows, 0) if rows else (len(S), S.index(i))
        return np.asarray(draw(keys_of(t)[which], np.where(np.arange(m)[:, None] == row, v, 0.0)))[row]

    return message


def ups(compressor, network=EVERYBODY):
    return messages(compressor, network, 1)


def downs(compressor, network=EVERYBODY):
    return messages(compressor, network, 2, rows=1)


def homogeneous(noise: float = 0.0) -> problems.Quadratic:
    a = np.linspace(0.1, 1.0, 10)
    return problems.Quadratic(jnp.tile(a, (N, 1)), jnp.ones((N, 10)), noise)
