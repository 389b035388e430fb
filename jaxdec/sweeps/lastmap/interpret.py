"""The evaluation of a jaxpr with a trailing axis of cells; what of it is mapped is known beforehand, by `flow`."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import Literal, jaxpr_as_fun

from jaxdec.sweeps.lastmap.equation import Equation, widened
from jaxdec.sweeps.lastmap.flow import CALLS, equations, inner, of_cond, of_results, of_scan, of_while, parts_of_scan
from jaxdec.sweeps.lastmap.rules import in_front, rule_of

__all__ = ["lastmap"]


def lastmap(
    f: Callable[..., Any],
    in_axes: Any = 0,
    out_axes: Any = 0,
    *,
    fell_back: Callable[[str], None] = lambda name: None,
    pays: Callable[[int, Iterable[tuple[Any, list[bool]]]], bool] = lambda size, equations: True,
) -> Callable[..., Any]:
    """What `jax.vmap` gives, to rounding, computed with the mapped axis last.

    It is not to be differentiated from outside: rules of one's own for derivatives are not kept. Gradients that are
    taken inside of f are what they were.

    Args:
        f: a function of trees of arrays.
        in_axes: of the arguments, as for `jax.vmap`.
        out_axes: of the results, likewise.
        fell_back: is told the name of each primitive that `jax.vmap` was asked for.
        pays: is asked, with the size of the axis and all equations that are mapped, whether to do so; if not, the whole
            is left to `jax.vmap`.

    Raises:
        ValueError: if no argument is mapped, axes differ in size, or a result is mapped whose axis is None.

    >>> lastmap(lambda W, x: W @ x, (None, 0))(jnp.ones((2, 2)), jnp.eye(2))
    Array([[1., 1.],
           [1., 1.]], dtype=float...)
    """

    def mapped(*args: Any) -> Any:
        leaves, structure = jax.tree.flatten(args)
        axes = _axes(tuple(in_axes) if isinstance(in_axes, list) else in_axes, args)
        sizes = {np.shape(a)[axis] for a, axis in zip(leaves, axes, strict=True) if axis is not None}
        if len(sizes) != 1:
            raise ValueError(f"lastmap needs mapped axes of one size, got the sizes {sorted(sizes)}")
        flags = [axis is not None for axis in axes]
        values = [a if axis is None else jnp.moveaxis(a, axis, -1) for a, axis in zip(leaves, axes, strict=True)]
        alone = lambda *each: f(*jax.tree.unflatten(structure, each))
        shapes = [_of_one(a, flag) for a, flag in zip(values, flags, strict=True)]
        closed, out = jax.make_jaxpr(alone, return_shape=True)(*shapes)
        cells, outs = Cells(sizes.pop(), fell_back), _axes(out_axes, out)
        if not pays(cells.size, equations(closed, flags)):
            results = jax.vmap(jaxpr_as_fun(closed), tuple(axes), outs)(*leaves)  # of what has been traced already
            return jax.tree.unflatten(jax.tree.structure(out), results)
        results, flags = cells.evaluate(*inner(closed), values, flags)
        if any(flag and axis is None for flag, axis in zip(flags, outs, strict=True)):
            raise ValueError("lastmap was asked for a result without the mapped axis, and it has one")
        placed = [
            a if axis is None else jnp.moveaxis(a if flag else widened(a, cells.size), -1, axis)
            for a, flag, axis in zip(results, flags, outs, strict=True)
        ]
        return jax.tree.unflatten(jax.tree.structure(out), placed)

    return mapped


def _axes(prefix: Any, tree: Any) -> list[int | None]:
    """The axis of every leaf, from a prefix of the tree."""
    each = lambda axis, part: [axis] * len(jax.tree.leaves(part))
    return jax.tree.leaves(jax.tree.map(each, prefix, tree, is_leaf=_none), is_leaf=_none)


def _none(a: Any) -> bool:
    return a is None


def _of_one(a: Any, mapped: bool) -> jax.ShapeDtypeStruct:
    """What a value is in one cell."""
    of = jax.typeof(a)
    return jax.ShapeDtypeStruct(of.shape[:-1] if mapped else of.shape, of.dtype, weak_type=of.weak_type)


class Cells(NamedTuple):
    """Evaluates equations for so many cells."""

    size: int
    fell_back: Callable[[str], None]

    def evaluate(self, jaxpr: Any, consts: Sequence[Any], values: Sequence[Any], mapped: Sequence[bool]) -> Any:
        """The results, and which are mapped."""
        known = dict.fromkeys(jaxpr.constvars, False) | dict(zip(jaxpr.invars, mapped, strict=True))
        env = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *values], strict=True))
        value = lambda v: v.val if isinstance(v, Literal) else env[v]
        flag = lambda v: not isinstance(v, Literal) and known[v]
        for eqn in jaxpr.eqns:
            e = Equation(eqn, list(map(value, eqn.invars)), list(map(flag, eqn.invars)), self.size)
            with eqn.ctx.manager:
                results = self.equation(e)
            env.update(zip(eqn.outvars, results, strict=True))
            known.update(zip(eqn.outvars, of_results(eqn, e.mapped), strict=True))
        return list(map(value, jaxpr.outvars)), list(map(flag, jaxpr.outvars))

    def equation(self, e: Equation) -> list[Any]:
        if not any(e.mapped):
            return e.bind(*e.values)
        if e.name in CALLS:
            return self.evaluate(*inner(e.params[CALLS[e.name]]), e.values, e.mapped)[0]
        control = {"scan": self.scan, "while": self.loop, "cond": self.branches}.get(e.name)
        rule = control or rule_of(e.name)
        return self.fallback(e) if rule is None else rule(e)

    def fallback(self, e: Equation) -> list[Any]:
        """What has no rule, and is said to have none."""
        self.fell_back(e.name)
        return in_front(e)

    def as_mapped(self, wanted: Sequence[bool], found: tuple[Sequence[Any], Sequence[bool]]) -> list[Any]:
        """Values, and those of the wanted ones widened that are shared."""
        each = zip(wanted, *found, strict=True)
        return [widened(v, self.size) if want and not have else v for want, v, have in each]

    def scan(self, e: Equation) -> list[Any]:
        p, (nc, nk) = e.params, parts_of_scan(e.eqn)
        consts, start, xs = e.values[:nc], e.values[nc : nc + nk], e.values[nc + nk :]
        results = of_scan(e.eqn, e.mapped)
        mapped = [*e.mapped[:nc], *results[:nk], *e.mapped[nc + nk :]]

        def step(carry, xs):
            outs = self.as_mapped(results, self.evaluate(*inner(p["jaxpr"]), [*consts, *carry, *xs], mapped))
            return outs[:nk], outs[nk:]

        start = self.as_mapped(results[:nk], (start, e.mapped[nc : nc + nk]))
        carry, ys = lax.scan(step, start, xs, p["length"], p["reverse"], p["unroll"])
        return [*carry, *ys]

    def loop(self, e: Equation) -> list[Any]:
        """Of a mapped predicate: until no cell goes on, those that are done being held."""
        p, nc, nb = e.params, e.params["cond_nconsts"], e.params["body_nconsts"]
        carried, many = of_while(p, e.mapped)

        def goes(carry):
            ins = [*e.values[:nc], *carry], [*e.mapped[:nc], *carried]
            return self.evaluate(*inner(p["cond_jaxpr"]), *ins)[0][0]

        def turn(carry):
            ins = [*e.values[nc : nc + nb], *carry], [*e.mapped[nc : nc + nb], *carried]
            return self.as_mapped(carried, self.evaluate(*inner(p["body_jaxpr"]), *ins))

        def turn_of_some(state):
            go, carry = state
            later = [_where(go, a, b) for a, b in zip(turn(carry), carry, strict=True)]
            return go & goes(later), later

        start = self.as_mapped(carried, (e.values[nc + nb :], e.mapped[nc + nb :]))
        if not many:
            return lax.while_loop(goes, turn, start)
        return lax.while_loop(lambda state: jnp.any(state[0]), turn_of_some, (goes(start), start))[1]

    def branches(self, e: Equation) -> list[Any]:
        """Of a mapped index: all, and of each cell its own."""
        (index, *operands), results = e.values, of_cond(e.params, e.mapped)

        def branch(closed):
            return lambda *args: self.as_mapped(results, self.evaluate(*inner(closed), args, e.mapped[1:]))

        branches = [branch(closed) for closed in e.params["branches"]]
        if not e.mapped[0]:
            return lax.switch(index, branches, *operands)
        which = jnp.clip(index, 0, len(branches) - 1).astype(jnp.int32)
        cases = zip(*(go(*operands) for go in branches), strict=True)
        return [lax.select_n(_along(which, of_each[0]), *of_each) for of_each in cases]


def _where(go, a, b):
    return lax.select(_along(go, a), a, b)


def _along(of_cells, a):
    """A number for each cell, in the shape of what has them last."""
    return lax.broadcast_in_dim(of_cells, a.shape, (a.ndim - 1,))
