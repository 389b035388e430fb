"""Which results of an equation are mapped, where some of its operands are."""

from collections.abc import Mapping, Sequence
from typing import Any

from jax.extend.core import ClosedJaxpr, Literal

from jaxdec.sweeps.lastmap.rules import APIECE

__all__ = ["CALLS", "inner", "of_cond", "of_results", "of_scan", "of_while"]

# Primitives that call a jaxpr, and their parameter that holds it.
CALLS = {"jit": "jaxpr", "pjit": "jaxpr", "closed_call": "call_jaxpr", "core_call": "call_jaxpr", "remat2": "jaxpr",
         "checkpoint": "jaxpr", "custom_jvp_call": "call_jaxpr", "custom_vjp_call": "call_jaxpr"}  # fmt: skip


def inner(held: Any) -> tuple[Any, Sequence[Any]]:
    """A jaxpr that a parameter holds, and its constants."""
    return (held.jaxpr, held.consts) if isinstance(held, ClosedJaxpr) else (held, ())


def of_results(eqn: Any, mapped: Sequence[bool]) -> list[bool]:
    """Of an equation."""
    name, p = eqn.primitive.name, eqn.params
    if not any(mapped):
        return [False] * len(eqn.outvars)
    if name in CALLS:
        return _of_jaxpr(p[CALLS[name]], mapped)
    if name == "scan":
        return of_scan(p, mapped)
    if name == "while":
        return of_while(p, mapped)[0]
    if name == "cond":
        return of_cond(p, mapped)
    return list(mapped) if name in APIECE else [True] * len(eqn.outvars)


def _of_jaxpr(held: Any, mapped: Sequence[bool]) -> list[bool]:
    """Of the results of a jaxpr."""
    jaxpr, _ = inner(held)
    known = dict.fromkeys(jaxpr.constvars, False) | dict(zip(jaxpr.invars, mapped, strict=True))
    flag = lambda v: not isinstance(v, Literal) and known[v]
    for eqn in jaxpr.eqns:
        known.update(zip(eqn.outvars, of_results(eqn, list(map(flag, eqn.invars))), strict=True))
    return list(map(flag, jaxpr.outvars))


def of_scan(p: Mapping[str, Any], mapped: Sequence[bool]) -> list[bool]:
    """Of the last carry and of what is stacked. A carry that is mapped in one turn is mapped in all."""
    nc, nk = p["num_consts"], p["num_carry"]
    carry = list(mapped[nc : nc + nk])
    while True:
        outs = _of_jaxpr(p["jaxpr"], [*mapped[:nc], *carry, *mapped[nc + nk :]])
        wider = [a or b for a, b in zip(carry, outs[:nk], strict=True)]
        if wider == carry:
            return [*carry, *outs[nk:]]
        carry = wider


def of_while(p: Mapping[str, Any], mapped: Sequence[bool]) -> tuple[list[bool], bool]:
    """Of the carry, and whether the predicate is mapped; where it is, each cell has a carry of its own."""
    nc, nb = p["cond_nconsts"], p["body_nconsts"]
    carry = list(mapped[nc + nb :])
    while True:
        outs = _of_jaxpr(p["body_jaxpr"], [*mapped[nc : nc + nb], *carry])
        (many,) = _of_jaxpr(p["cond_jaxpr"], [*mapped[:nc], *carry])
        wider = [a or b or many for a, b in zip(carry, outs, strict=True)]
        if wider == carry:
            return carry, many
        carry = wider


def of_cond(p: Mapping[str, Any], mapped: Sequence[bool]) -> list[bool]:
    """Of the results: mapped where some branch's is, or where each cell takes its own."""
    outs = [_of_jaxpr(branch, mapped[1:]) for branch in p["branches"]]
    return [mapped[0] or any(flags) for flags in zip(*outs, strict=True)]
