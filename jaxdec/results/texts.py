"""Names that users give, shown as they are where a reader would take parts of them for markup."""

import re
import unicodedata

__all__ = ["latex", "legible", "markdown", "plain", "titled", "verbatim"]

OWN = frozenset({"test_accuracy", "test_loss", "node_test_accuracy", "node_test_loss", "grad_norm_sq", "bits_down"})
_LATEX = {c: rf"\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", "`": r"\textasciigrave{}", "–": r"\textendash{}", "\n": " ",
}  # fmt: skip


def plain(text: object) -> str:
    r"""A text on which no terminal acts: control characters as Python writes them, but for the ends of lines.

    >>> plain("K-GT [ours]"), plain("a\x1b[31m")
    ('K-GT [ours]', 'a\\x1b[31m')
    """
    shown = (c if c == "\n" or unicodedata.category(c) not in ("Cc", "Cs") else repr(c)[1:-1] for c in str(text))
    return "".join(shown)


def legible(what: str, text: str) -> None:
    r"""Refuse a label that can be neither shown nor stored as it is.

    >>> legible("the label of algorithm", "a\x00")
    Traceback (most recent call last):
    ValueError: the label of algorithm, 'a\x00', has control characters; a label is a text that can be printed
    """
    if plain(text) != text:
        raise ValueError(f"{what}, {text!r}, has control characters; a label is a text that can be printed")


def titled(name: str) -> str:
    """What a column or an axis is called: a name of the library's own in words, and any other as it is.

    >>> titled("test_accuracy"), titled("my_metric")
    ('test accuracy', 'my_metric')
    """
    return name.replace("_", " ") if name in OWN else name


def verbatim(text: object) -> str:
    r"""A text for matplotlib, which takes what stands between dollars for mathematics.

    Its legends leave out what has no label or one that begins with "_": such a label begins with a space of no width.

    >>> verbatim("$K$, 5 %")
    '\\$K\\$, 5 %'
    """
    shown = plain(text).replace("$", r"\$")
    return shown if shown and shown[0] != "_" else f"\u200b{shown}"


def markdown(text: object) -> str:
    r"""A text for a cell of a table in Markdown.

    >>> markdown("K-GT [ours] | K*")
    'K-GT \\[ours\\] \\| K\\*'
    """
    return re.sub(r"([\\`*\[\]<>|~$&#]|(?<!\w)_|_(?!\w))", r"\\\1", plain(text)).replace("\n", " ")


def latex(text: object) -> str:
    r"""A text for a cell of a table in LaTeX, where a row may not begin with "[" or "*": its end before takes them.

    >>> latex("[R&D]")
    '{[}R\\&D]'
    """
    shown = re.sub(r"-(?=-)|'(?=')", r"\g<0>{}", "".join(_LATEX.get(c, c) for c in plain(text)))
    return f"{{{shown[0]}}}{shown[1:]}" if shown[:1] in ("[", "*") else shown
