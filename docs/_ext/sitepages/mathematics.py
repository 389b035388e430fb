"""Updates of docstrings, such as `X+ = W (X - lr G)`, set as mathematics: MathML, which browsers draw by themselves."""

import html
import re
from collections.abc import Container

__all__ = ["formula", "table"]

GREEK = {
    "alpha": "α",
    "beta": "β",
    "gamma": "γ",
    "eta": "η",
    "lambda": "λ",
    "mu": "μ",
    "omega": "ω",
    "rho": "ρ",
    "tau": "τ",
}
ACCENTS = {"hat": "^", "bar": "¯"}
OPERATORS = {"<=": "≤", ">=": "≥", "-": "−", "*": "·"}
_TOKEN = re.compile(
    r"""(?P<space>\s+)
    | (?P<string>"[^"]*"|`[^`]*`)
    | (?P<sum>[ΣΠ](?:_\{[^}]*\}|_\([^)]*\)|_\w+)?)
    | (?P<name>[^\W\d_][^\W_]*(?:_[^\W_]+)*)(?P<prime>'*)(?P<after>[+-](?=[\s),;=]|$))?
    | (?P<number>\d+(?:\.\d+)?)
    | (?P<power>\^\([^)]*\)|\^\w+|[²³])
    | (?P<operator><=|>=|.)""",
    re.VERBOSE,
)
_APART = re.compile(r" {2,}")


def table(lines: list[str], names: Container[str] = ()) -> str:
    """Lines of an update as a table without lines: what stands below each other in the docstring does here.

    Args:
        lines: of the literal block.
        names: of hyperparameters, whose underscores are no subscripts.
    """
    split = [_pieces(line) for line in lines]
    starts = sorted({start for pieces in split for start, _ in pieces} | {0})
    column = {start: k for k, start in enumerate(starts)}
    rows = []
    for pieces in split:
        cells, reached = [], 0
        for (start, text), (end, _) in zip(pieces, [*pieces[1:], (None, "")], strict=False):
            if column[start] > reached:
                cells.append(f'<td colspan="{column[start] - reached}">&emsp;</td>')
            reached = len(starts) if end is None else column[end]
            cells.append(f'<td colspan="{reached - column[start]}">{formula(text, names)}</td>')
        rows.append(f"<tr>{''.join(cells) or '<td>&nbsp;</td>'}</tr>")
    return f'<table class="update">{"".join(rows)}</table>'


def _pieces(line: str) -> list[tuple[int, str]]:
    """The pieces of a line between which there are two or more blanks, and where they start."""
    found, start = [], len(line) - len(line.lstrip())
    for gap in _APART.finditer(line, start):
        found.append((start, line[start : gap.start()]))
        start = gap.end()
    return [*found, (start, line[start:])] if line[start:] else found


def formula(text: str, names: Container[str] = ()) -> str:
    """A piece of a line as MathML.

    >>> formula("X+ = W X")
    '<math><msup><mi>X</mi><mrow><mo>+</mo></mrow></msup><mo>=</mo><mi>W</mi><mspace width="0.3em"/><mi>X</mi></math>'
    """
    found: list[str] = []
    gap, operand = False, False  # whether there was a blank; whether the last token was a number or a name
    for token in _TOKEN.finditer(text):
        if token["space"]:
            gap = True
            continue
        if token["power"] and found:
            found.append(_power(found.pop(), token["power"], names))
            continue
        sort = token["operator"] if token["operator"] else "name"
        if gap and ((operand and sort in ("name", "(")) or (found and found[-1] == _operator(")") and sort == "name")):
            found.append('<mspace width="0.3em"/>')
        found.append(_token(token, names))
        operand, gap = sort == "name", False
    return f"<math>{''.join(found)}</math>"


def _token(token: re.Match, names: Container[str]) -> str:
    if token["string"]:
        return f"<mtext>{html.escape(token['string'].strip('`'))}</mtext>"
    if token["sum"]:
        sign, _, under = token["sum"].partition("_")
        if not under:
            return _operator(sign)
        under = re.sub(r"\bin\b", "∈", under.strip("{}()"))
        return f"<munder>{_operator(sign)}<mrow>{_inner(under, names)}</mrow></munder>"
    if token["name"]:
        made = _name(token["name"], names)
        marks = "".join(f"<mo>{mark}</mo>" for mark in ("′" * len(token["prime"]), _sign(token["after"])) if mark)
        return f"<msup>{made}<mrow>{marks}</mrow></msup>" if marks else made
    if token["number"]:
        return f"<mn>{token['number']}</mn>"
    return _operator(token["operator"] or token["power"])


def _sign(after: str | None) -> str:
    return OPERATORS.get(after or "", after or "")


def _inner(text: str, names: Container[str]) -> str:
    return formula(text, names).removeprefix("<math>").removesuffix("</math>")


def _power(base: str, power: str, names: Container[str]) -> str:
    given = {"²": "2", "³": "3"}.get(power) or power.removeprefix("^").strip("()")
    return f"<msup>{base}<mrow>{_inner(given, names)}</mrow></msup>"


def _operator(sign: str) -> str:
    fixed = ' stretchy="false"' if sign in "|()[]‖" else ""
    return f"<mo{fixed}>{html.escape(OPERATORS.get(sign, sign))}</mo>"


def _name(name: str, names: Container[str]) -> str:
    """One letter is slanted, several are upright; xhat is an x with a hat, C_up a C with an index."""
    base, _, index = name.partition("_")
    if name in names and name not in GREEK:
        return f'<mi class="name" mathvariant="normal">{name}</mi>'
    if index:
        return f"<msub>{_name(base, names)}{_letters(index)}</msub>"
    for ending, accent in ACCENTS.items():
        if name.endswith(ending) and len(name) == len(ending) + 1:
            return f'<mover accent="true"><mi>{name[0]}</mi><mo stretchy="false">{accent}</mo></mover>'
    return _letters(name)


def _letters(name: str) -> str:
    name = GREEK.get(name, name)
    return f"<mi>{name}</mi>" if len(name) == 1 else f'<mi mathvariant="normal">{name}</mi>'
