"""Which values of a program are mapped, where some of its arguments are."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jax.extend.core import ClosedJaxpr, Literal

from jaxdec.sweeps.lastmap.rules import APIECE

__all__ = ["CALLS", "Flags", "equations", "inner", "of_cond", "of_results", "of_scan", "of_while", "parts_of_scan"]

# Primitives that call a jaxpr, and their parameter that holds it.
CALLS = {"jit": "jaxpr", "pjit": "jaxpr", "closed_call": "call_jaxpr", "core_call": "call_jaxpr", "remat2": "jaxpr",
         "checkpoint": "jaxpr", "custom_jvp_call": "call_jaxpr", "custom_vjp_call": "call_jaxpr"}  # fmt: skip

Flags = Sequence[bool]


def inner(held: Any) -> tuple[Any, Sequence[Any]]:
    """A jaxpr that a parameter holds, and its constants."""
    return (held.jaxpr, held.consts) if isinstance(held, ClosedJaxpr) else (held, ())


def of_results(eqn: Any, mapped: Flags) -> list[bool]:
    """Of the results of an equation."""
    name, p = eqn.primitive.name, eqn.params
    if not any(mapped):
        return [False] * len(eqn.outvars)
    if name in CALLS:
        return _outs(p[CALLS[name]], mapped)
    if name == "scan":
        return of_scan(eqn, mapped)
    if name == "while":
        return of_while(p, mapped)[0]
    if name == "cond":
        return of_cond(p, mapped)
    return list(mapped) if name in APIECE else [True] * len(eqn.outvars)


def _outs(held: Any, mapped: Flags) -> list[bool]:
    """Of the results of a jaxpr."""
    jaxpr, _ = inner(held)
    known = _known(jaxpr, mapped)
    return [_flag(known, v) for v in jaxpr.outvars]


def _known(jaxpr: Any, mapped: Flags) -> dict[Any, bool]:
    """Of all variables of a jaxpr."""
    known = dict.fromkeys(jaxpr.constvars, False) | dict(zip(jaxpr.invars, mapped, strict=True))
    for eqn in jaxpr.eqns:
        known.update(zip(eqn.outvars, of_results(eqn, [_flag(known, v) for v in eqn.invars]), strict=True))
    return known


def _flag(known: Mapping[Any, bool], v: Any) -> bool:
    return not isinstance(v, Literal) and known[v]


def parts_of_scan(eqn: Any) -> tuple[int, int]:
    """How many of a scan's operands are the same in all turns, and how many are its carry.

    JAX holds the two numbers under names that change with its versions. They follow from the shapes: what is stacked
    has one more axis outside of the turn.
    """
    turn, _ = inner(eqn.params["jaxpr"])
    stacked = lambda outside, inside: sum(a.aval.ndim > b.aval.ndim for a, b in zip(outside, inside, strict=True))
    nk = len(eqn.outvars) - stacked(eqn.outvars, turn.outvars)
    return len(eqn.invars) - nk - stacked(eqn.invars, turn.invars), nk


def of_scan(eqn: Any, mapped: Flags) -> list[bool]:
    """Of the last carry and of what is stacked. A carry that is mapped in one turn is mapped in all."""
    nc, nk = parts_of_scan(eqn)
    carry = list(mapped[nc : nc + nk])
    while True:
        outs = _outs(eqn.params["jaxpr"], [*mapped[:nc], *carry, *mapped[nc + nk :]])
        wider = [a or b for a, b in zip(carry, outs[:nk], strict=True)]
        if wider == carry:
            return [*carry, *outs[nk:]]
        carry = wider


def of_while(p: Mapping[str, Any], mapped: Flags) -> tuple[list[bool], bool]:
    """Of the carry, and whether the predicate is mapped; where it is, each cell has a carry of its own."""
    nc, nb = p["cond_nconsts"], p["body_nconsts"]
    carry = list(mapped[nc + nb :])
    while True:
        outs = _outs(p["body_jaxpr"], [*mapped[nc : nc + nb], *carry])
        (many,) = _outs(p["cond_jaxpr"], [*mapped[:nc], *carry])
        wider = [a or b or many for a, b in zip(carry, outs, strict=True)]
        if wider == carry:
            return carry, many
        carry = wider


def of_cond(p: Mapping[str, Any], mapped: Flags) -> list[bool]:
    """Of the results: mapped where some branch's is, or where each cell takes its own."""
    outs = [_outs(branch, mapped[1:]) for branch in p["branches"]]
    return [mapped[0] or any(flags) for flags in zip(*outs, strict=True)]


def equations(held: Any, mapped: Flags) -> Iterator[tuple[Any, list[bool]]]:
    """All that is computed with a mapped operand, inside of calls and control flow too, and which operands are."""
    jaxpr, _ = inner(held)
    known = _known(jaxpr, mapped)
    for eqn in jaxpr.eqns:
        flags = [_flag(known, v) for v in eqn.invars]
        if any(flags):
            within = list(_within(eqn, flags))
            yield from (e for part in within for e in equations(*part))
            if not within:
                yield eqn, flags


def _within(eqn: Any, mapped: Flags) -> Iterator[tuple[Any, Flags]]:
    """The jaxprs of a call or of control flow, and which of their arguments are mapped."""
    name, p = eqn.primitive.name, eqn.params
    if name in CALLS:
        yield p[CALLS[name]], mapped
    elif name == "scan":
        nc, nk = parts_of_scan(eqn)
        yield p["jaxpr"], [*mapped[:nc], *of_scan(eqn, mapped)[:nk], *mapped[nc + nk :]]
    elif name == "while":
        nc, nb = p["cond_nconsts"], p["body_nconsts"]
        carry, _ = of_while(p, mapped)
        yield p["cond_jaxpr"], [*mapped[:nc], *carry]
        yield p["body_jaxpr"], [*mapped[nc : nc + nb], *carry]
    elif name == "cond":
        yield from ((branch, mapped[1:]) for branch in p["branches"])
