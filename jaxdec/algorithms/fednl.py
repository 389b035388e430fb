"""FedNL: a server learns the Hessian from compressed differences, and takes Newton steps with what it has learned."""

from typing import Any, ClassVar, Literal, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdec import checks
from jaxdec._module import module, static, step_size
from jaxdec.algorithms import _newton
from jaxdec.compressors import require_compressor
from jaxdec.compressors.symmetric import packed, unpacked
from jaxdec.types import Cost, ScalarLike, StepSize

__all__ = ["FedNL", "State"]

Start = Literal["hessian", "zero"]


class State(NamedTuple):
    x: Float[Array, "1 d"]  # the server's model
    h: Float[Array, "n k"]  # the clients' memories of their Hessians, as vectors of d (d + 1) / 2 entries
    hbar: Float[Array, "1 k"]  # the server's: the mean of h


@module
class FedNL:
    r"""FedNL, federated Newton learn: memories of the clients' Hessians learn through any compressor.

    With C the `compressor`, a draw for each client, and ‖·‖ the Frobenius norm::

        D_i = ∇²f_i(x) - H_i;   g = mean_i ∇f_i(x);   l = mean_i ‖D_i‖
        x = x - lr (H + l I)^-1 g,        or, with mu = curvature:  x = x - lr [H]_mu^-1 g
        H_i = H_i + alpha C(D_i);   H = H + alpha mean_i C(D_i)

    In [H]_mu the eigenvalues below mu are raised to it. What is compressed is the lower triangle of D_i, as a vector
    whose l2 norm is the Frobenius norm: `compressors.TopK` takes entries of it, `compressors.RankR` eigenvalues.

    Symbols: x is `x` (1, d); H_i and H are `h` and `hbar`, as such vectors, (n, d (d + 1) / 2) and one of them. None
    for `curvature` is Option 2 of the paper, a number Option 1. alpha = None is 1 for a contractive compressor, and
    1 / (1 + omega) for an unbiased one. start = "hessian" sends the first Hessians, with "zero" H_i is zero. Gradients
    and Hessians are exact, those of all of a client's samples, whatever the problem's minibatches are.
    Cost per round: a pass over all of a client's samples for an exact gradient, and one for a Hessian, which counts as
    d gradients; (d + 3)/2 d-vectors up per client: a gradient, and half a matrix that is compressed; the model down.
    Network: a server, `networks.server(n)`, with everybody present.
    Guarantee: H is the mean of the H_i in every round. The minimizer is a fixed point, and near it H_i learns the
    Hessian there, so that it converges superlinearly where f is strongly convex, for any contractive C and however
    different the f_i, if it starts close enough. With start = "hessian", lr = 1 and curvature given, at most mu, it is
    Newton's method in the first round, and in all if f is a quadratic.
    Memory: n d (d + 1) / 2 numbers for each seed and cell of a sweep.
    Reference: Safaryan, Islamov, Qian, Richtárik (2022), arXiv:2106.02969, Algorithm 1, as in the authors' code,
    github.com/Rustem-Islamov/FedNL-Public.
    Ambiguities: in that code l is of spectral norms; the paper's norm is recalled.
    Deviations: lr, which is 1 there. Off the diagonal Top-K compares entries times √2.

    >>> from jaxdec import compressors, networks, problems, run
    >>> problem, network = problems.quadratic(8, 3, zeta=1.0), networks.server(8)
    >>> result = run(FedNL(compressor=compressors.RankR(rank=1), start="zero"), problem, network, rounds=20)
    >>> bool(result.metrics["distance"][-1] < 1e-5)
    True
    """

    requires: ClassVar[str] = "server"
    absent: ClassVar[str] = "refused"
    compressor: Any
    curvature: ScalarLike | None = None
    alpha: ScalarLike | None = None
    lr: StepSize = step_size(default=1.0)
    start: Start = static(default="hessian")

    def check(self) -> None:
        require_compressor(self.compressor, "FedNL")
        checks.choice("FedNL.start", self.start, ("hessian", "zero"))
        for name, value in (("curvature", self.curvature), ("alpha", self.alpha)):
            if value is not None:
                checks.positive(f"FedNL.{name}", value)

    def advise(self, problem) -> None:
        _newton.fits("FedNL", problem)

    def init(self, problem, x0, r):
        x, d = jnp.mean(x0, axis=0, keepdims=True), problem.d
        if self.start == "zero":
            h, cost = jnp.zeros((problem.n, d * (d + 1) // 2), x.dtype), Cost()
        else:  # they are those of the first round, which pays for them
            h, cost = packed(problem.hessian(r.spread(x))), Cost(vectors=(d + 1) / 2)
        return State(x, h, jnp.mean(h, axis=0, keepdims=True)), cost

    def step(self, problem, s, r):
        x, d, sizes = r.spread(s.x), problem.d, (s.h.shape[1],)
        g, D, H = r.W @ problem.grad(x), packed(problem.hessian(x)) - s.h, unpacked(s.hbar)
        if self.curvature is None:
            l = r.W @ jnp.linalg.norm(D, axis=1, keepdims=True)
            p = _newton.solved(H + l[..., None] * jnp.eye(d, dtype=x.dtype)[None], g)
        else:
            p = _newton.above(H, self.curvature, g)
        C = self.compressor(r.fold("up"), D, sizes)
        learned = _rate(self.alpha, self.compressor, sizes) * C.value
        bits = 32 * d + C.bits + (32 if self.curvature is None else 0)
        cost = r.cost((1 + d) * problem.data_size, (d + 3) / 2, bits, 32 * d)
        return State(s.x - self.lr * p, s.h + learned, s.hbar + r.W @ learned), cost


def _rate(alpha: Any, compressor: Any, sizes: tuple[int, ...]) -> Any:
    if alpha is not None:
        return alpha
    return 1 / (1 + compressor.omega(sizes)) if compressor.unbiased else 1.0
