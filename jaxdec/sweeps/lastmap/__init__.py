"""`lastmap`: `jax.vmap` with the mapped axis last, on which a CPU computes many small runs side by side.

JAX's own rules move the axis to the front. On a CPU states (C, n, d) of a small d leave vector lanes idle, and cut
`W @ x` into many small products; on (n, d, C) every elementwise loop runs over C, a product of a shared matrix with
vectors of all cells is one product with a wider right side, and a row of `x` is one stretch of memory.

The function is traced once, without the axis, and its equations are evaluated one by one. A value is either shared by
all cells, of the shape it was traced with, or mapped, with one more, trailing, axis:

- what no cell has a part in is computed once, as it is: random numbers of shared keys, schedules, minibatches;
- elementwise operations, reductions, slices, sorts and the like keep their axes, and the trailing one goes along whole;
- gathers and scatters take the cells as a window at shared indices, as a batch at mapped ones;
- products of a shared and a mapped operand have the cells as their last free axis, sums of products of two mapped ones
  are elementwise where one has no free axis;
- calls are inlined, scans carry what has to be mapped, and branches of a mapped predicate are computed all;
- everything else is `jax.vmap` of that one operation, the axis moved to the front and back: right, and slower.
"""

from jaxdec.sweeps.lastmap.interpret import lastmap
from jaxdec.sweeps.lastmap.rules import in_front, rule_of

__all__ = ["in_front", "lastmap", "rule_of"]


def __dir__() -> list[str]:
    return __all__
