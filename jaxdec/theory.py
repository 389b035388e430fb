"""What theory says about a method before it runs: constants of problems, exact limits, rates; in float64."""

from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import ArrayLike

from jaxdec import checks, graphs
from jaxdec.networks import weights as _weights
from jaxdec.networks.averages import changes, moments, rounds
from jaxdec.networks.events import Asynchronous
from jaxdec.networks.varying import Varying
from jaxdec.problems.constants import Constants, constants

__all__ = [
    "Averaged",
    "Constants",
    "MomentumBetween",
    "constants",
    "critical_variance",
    "descent_step",
    "mixing",
    "momentum_between",
    "on_average",
    "rate",
    "stability_limit",
]

# Networks.


def mixing(network: Any) -> graphs.Spectrum:
    """The spectral gap, p and the extreme eigenvalues of a network that does not change: `graphs.spectrum` of its W.

    >>> mixing(graphs.hypercube(8))
    Spectrum(gap=0.5, p=0.75, lambda_2=0.5, lambda_min=-0.5)
    """
    return graphs.spectrum(_matrix(network))


def _matrix(network: Any) -> Any:
    checks.single(network)
    return _weights.matrix(network)[0]


class Averaged(NamedTuple):
    """How fast a network mixes that changes from round to round; see `on_average`."""

    union: float
    mean: float
    p: float
    exact: bool


def on_average(network: Any, *, samples: int = 2000, window: int | None = None) -> Averaged:
    r"""The spectral gaps of the union graph and of the mean of W, and how fast a network mixes that changes.

    The weights of the union of all rounds' graphs are Metropolis-Hastings, or of a directed one those of
    `graphs.row_stochastic`. The gap of the mean is nan where neither its rows nor its columns sum to one. p is nan
    unless W is doubly stochastic; else the largest number such that E‖W X - J X‖_F² <= (1 - p) ‖X - J X‖_F² for every
    X, J = 11'/n: one minus the norm of E W'W - J. Of a period of T rounds it is a mean: 1 - ‖W_T ... W_1 - J‖^(2/T),
    which is 1 where the period averages exactly.

    They are those of all W of a pool or period, and by formula for `networks.matcha` and what does not change. For all
    others, such as networks that fail, W is averaged over `samples` rounds of one seed, and `exact` is False.

    With `window` all is of so many rounds alone: the first ones of a period, or some in a row of one seed. Over windows
    of how many rounds the union is connected, so that its gap is positive, is what the theory of changing graphs asks.

    Raises:
        ValueError: if the network is no network of a graph, or has more than 2000 nodes.

    >>> from jaxdec import networks
    >>> on_average(networks.one_peer_exponential(8))
    Averaged(union=0.5, mean=0.33, p=1.0, exact=True)
    >>> found = on_average(networks.lossy(networks.ring(8), 0.3))
    >>> found.exact, bool(abs(found.mean - 0.7 * mixing(networks.ring(8)).gap) < 0.01)
    (False, True)
    """
    mean, square, union, exact = moments(network, samples, window)
    n = len(mean)
    graph = graphs.from_matrix(union)
    joined = graphs.metropolis(graph) if graph.undirected else graphs.row_stochastic(graph)
    if "doubly stochastic" not in (network.provides if changes(network) else graphs.properties(mean, atol=1e-6)):
        p = float("nan")
    elif isinstance(network, Varying) and network.order == "periodic":
        product, period = np.eye(n), rounds(network, network.size)
        count = network.size if window is None else window
        for k in range(count):
            product = period[k % network.size] @ product
        exactly = network.exact_after is not None and count >= network.exact_after
        p = 1 - (0.0 if exactly else float(np.linalg.norm(product - 1 / n, 2))) ** (2 / count)
    else:
        p = 1 - float(np.linalg.norm(square - 1 / n, 2))
    kept = min(np.abs(mean.sum(axis=axis) - 1).max() for axis in (0, 1)) < 1e-6
    return Averaged(graphs.spectral_gap(joined), graphs.spectral_gap(mean) if kept else float("nan"), p, exact)


class MomentumBetween(NamedTuple):
    """The parameters of `algorithms.A2CiD2` on a network, and what they come from; see `momentum_between`."""

    eta: float
    alpha: float
    chi_1: float
    chi_2: float


def momentum_between(network: Any) -> MomentumBetween:
    r"""How fast nodes that meet in pairs agree, in seconds, and the parameters of `algorithms.A2CiD2` for that.

    With r_ij how often i and j meet in a second, and L = Σ_{i<j} r_ij (e_i - e_j) (e_i - e_j)'::

        chi_1 = 1 / λ_2(L)                                 the time in which averaging takes its effect everywhere
        chi_2 = max_{r_ij > 0} (e_i - e_j)' L⁺ (e_i - e_j) / 2      half the largest resistance of a link, <= chi_1
        eta   = 1 / (2 sqrt(chi_1 chi_2))
        alpha = sqrt(chi_1 / chi_2) / 2

    A node that ends v computations in a second, latency included, and has k neighbours meets each v / k times for its
    own, and besides for theirs. Computations of unequal lengths count by their mean.

    Reference: Nabli, Belilovsky, Oyallon (2023), arXiv:2306.08289, Proposition 3.6, as in the authors' code.

    Args:
        network: `networks.asynchronous(graph, speed=...)`, in which nodes meet one neighbour.

    Raises:
        ValueError: if it is no such network, or its graph is not connected.

    >>> from jaxdec import networks
    >>> found = momentum_between(networks.asynchronous(networks.ring(32), speed=1.0))
    >>> round(found.chi_1, 2), round(found.chi_2, 4), round(found.eta, 4), round(found.alpha, 3)
    (26.02, 0.4844, 0.1408, 3.665)
    """
    if not isinstance(network, Asynchronous) or network.graph is None or network.graph.hears != "one":
        raise ValueError(
            "nodes meet in pairs on networks.asynchronous(graph, speed=...), such as of networks.ring(8); got "
            f"{type(network).__name__}, in which they do not"
        )
    n, table, degree = network.n, np.asarray(network.graph.table), np.asarray(network.graph.degree)
    latency = np.broadcast_to(np.asarray(network.latency, float), n)
    rates = 1 / (1 / np.asarray(network.speed.rates(n), float) + latency)
    meets = np.zeros((n, n))
    for i, k in enumerate(degree):
        meets[i, table[i, :k]] += rates[i] / k
    meets = meets + meets.T
    np.fill_diagonal(meets, 0)
    laplacian = np.diag(meets.sum(axis=1)) - meets
    values, vectors = np.linalg.eigh(laplacian)
    if n < 2 or values[1] < 1e-12 * values[-1]:
        raise ValueError("nodes agree where the graph is connected and has two or more; this one falls apart")
    places = vectors[:, 1:] / np.sqrt(values[1:])
    resistance = np.square(places[:, None] - places).sum(axis=2)
    chi_1, chi_2 = 1 / float(values[1]), float(resistance[meets > 0].max()) / 2
    return MomentumBetween(0.5 / (chi_1 * chi_2) ** 0.5, 0.5 * (chi_1 / chi_2) ** 0.5, chi_1, chi_2)


# Step sizes.


def stability_limit(algorithm: Any, W: Any, curvature: float = 1.0) -> float:
    r"""The step size below which a method converges, and above which it diverges, on quadratics of equal curvature.

    For f_i(x) = a ‖x‖²/2 - b_i'x with exact gradients and symmetric W a linear method falls apart into one small
    recursion for each eigenvalue of W. The limit on lr a is where the first root of its polynomial leaves the unit
    circle: the class has it, as `limit(eigenvalue)` of the least eigenvalue, with the polynomial in its docstring.

    Args:
        algorithm: an object whose class has a method `limit`; its own step size does not matter.
        W: symmetric weights, a network that does not change, or a graph.
        curvature: a. With unequal curvatures the limit at a = L is a guide, not a guarantee.

    Returns:
        The limit on lr, that on lr a divided by a.

    Raises:
        ValueError: if the limit of the method is not known, W is not symmetric, or there is none.

    >>> from jaxdec import algorithms, networks
    >>> round(stability_limit(algorithms.GradientTracking(lr=0.1, form="cta"), networks.ring(8)), 4)
    0.2222
    >>> round(stability_limit(algorithms.MomentumTracking(lr=0.1, momentum=0.9), networks.ring(8), curvature=2.0), 4)
    0.2111
    >>> [name for name in algorithms.__all__ if hasattr(getattr(algorithms, name), "limit")]  # AugDGM makes one
    ['D2', 'DSGD', 'DSGDm', 'DecentLaM', 'EXTRA', 'ExactDiffusion', ..., 'NIDS', 'SimpleGT', 'WangElia']
    """
    if not curvature > 0:
        raise ValueError(f"the curvature is positive; got {curvature}")
    limit = checks.limit(algorithm)
    l = mixing(W).lambda_min
    if np.isnan(l):
        raise ValueError("the limits are known for symmetric W; this one is not symmetric")
    return limit(l) / curvature


def descent_step(L: float) -> float:
    """1 / (12 L), up to which the descent lemma of gradient tracking ("semi-atc") holds.

    A condition of its analysis, not the step that its theorem takes, which also depends on the network. Koloskova, Lin,
    Stich (2021), arXiv:2202.03836.
    """
    return 1 / (12 * L)


# Rates.


def rate(
    method: Literal["DSGD", "GradientTracking"], rounds: ArrayLike, found: Constants, network: Any, *, distance: float
) -> np.ndarray:
    r"""The order of the error f - f* after T rounds on a strongly convex problem, with the best step for that T.

    With n nodes, R = `distance` = ‖x0 - x*‖, p that of `mixing` and c = 1 - λ², λ the least eigenvalue of W; up to
    constants and logarithms, for the shape of a curve and not its height::

        DSGD               sigma²/(mu n T) + L (zeta² + p sigma²)/(mu² p² T²) + L R²/p exp(-mu p T / L)
        GradientTracking   sigma²/(mu n T) + L sigma²/(mu² p c² T²)           + L R²/(p c) exp(-mu p c T / L)

    "GradientTracking" is the form "semi-atc".

    Reference: Koloskova, Lin, Stich (2021), arXiv:2202.03836, Theorem 1 and its comparison with DSGD.

    Raises:
        ValueError: if the method has no such rate here, mu is not positive, or W is not symmetric.

    >>> steady = rate("DSGD", [100, 1000], Constants(L=1, mu=1, zeta=0, sigma=1), graphs.complete(8), distance=1.0)
    >>> round(float(steady[1] / steady[0]), 4)
    0.0933
    """
    L, mu, zeta, sigma = found
    W = _matrix(network)
    n, p, l = W.shape[0], mixing(W).p, mixing(W).lambda_min
    if not mu > 0 or np.isnan(l):
        raise ValueError(f"these rates hold for mu > 0 and symmetric W; got mu={mu} and least eigenvalue {l}")
    T = np.asarray(rounds, float)
    c = 1 - l**2
    variance = sigma**2 / (mu * n * T)
    if method == "DSGD":
        bias = L * (zeta**2 + p * sigma**2) / (mu * p * T) ** 2
        return variance + bias + L * distance**2 / p * np.exp(-mu * p * T / L)
    if method == "GradientTracking":
        lag = L * sigma**2 / (p * (mu * c * T) ** 2)
        return variance + lag + L * distance**2 / (p * c) * np.exp(-mu * p * c * T / L)
    raise ValueError(f'rates are recorded for "DSGD" and "GradientTracking"; got {method!r}')


# Quantized push-sum.


def critical_variance(W: Any) -> float:
    r"""The relative variance of a quantizer at which quantized push-sum averaging loses mean-square stability.

    Let Q be unbiased with E‖Q(x) - x‖² = omega ‖x‖², independent over nodes and rounds, and W strongly connected with
    self-loops. The averaging of `algorithms.QuantizedPushSumGossip` converges in mean square if and only if omega is
    below 1 / ρ(T), where ρ is the spectral radius and ∘2 the entrywise square::

        T = (2I - W)^∘2 + Σ_{t>=1} ((W - I) W^(t-1) (I - W))^∘2

    For with E_t = U - Xhat before the message of round t and e_t its error, E_t - Q(E_t),

        U_{t+1} = W U_t + (I - W) e_t     and     E_{t+1} = (W - I) U_t + (2I - W) e_t,

    so E_{t+1} is a sum of past errors, (2I - W) e_t + Σ_{k>=1} (W - I) W^(k-1) (I - W) e_{t-k}, and of a part from the
    start that vanishes. The errors are uncorrelated, of variance omega E‖E_i‖² at node i: the variances obey a renewal
    equation with non-negative kernels, whose sum times omega has spectral radius 1 at the limit. It is always below 1,
    since the diagonal of (2I - W)^∘2 is at least 1.

    Args:
        W: (n, n) column-stochastic weights: an array, a SciPy sparse matrix, an operator, or a network that does not
            change; or a graph, which gets the weights of push-sum. They are made dense.

    Raises:
        ValueError: if the columns of W do not sum to one, or powers of W do not converge.

    >>> round(critical_variance(graphs.directed_ring(10)), 4)
    0.3333
    >>> round(critical_variance(graphs.directed_exponential(10)), 4)
    0.2305
    """
    W = _weights.matrix(W, "column_stochastic")[0].toarray()
    eye = np.eye(len(W))
    if "column stochastic" not in graphs.properties(W) or (len(W) > 1 and graphs.spectral_gap(W) == 0):
        raise ValueError(
            "the critical variance is that of a column-stochastic W whose powers converge, such as "
            'networks.static(graph, weights="column_stochastic"); got column sums in '
            f"[{W.sum(axis=0).min():.3g}, {W.sum(axis=0).max():.3g}]"
        )
    T, power = (2 * eye - W) ** 2, eye - W
    while np.abs(power).max() > 1e-9:  # its square is what is added
        T += ((W - eye) @ power) ** 2
        power = W @ power
    return 1 / float(np.abs(np.linalg.eigvals(T)).max())
