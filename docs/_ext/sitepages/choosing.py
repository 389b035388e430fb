"""The map of how to choose a method, drawn: from who talks to whom, over what is so, to methods with a page."""

from html import escape

__all__ = ["MAP", "drawing", "on_the_map"]

# Who talks to whom; what is so; the methods for it.
MAP: tuple[tuple[str, tuple[tuple[str, tuple[str, ...]], ...]], ...] = (
    (
        "an undirected graph",
        (
            ("nodes' data are alike", ("DSGD", "LocalDSGD", "DSGDm")),
            ("data differ, W is fixed", ("D2", "NIDS", "EXTRA", "LED", "ProxSkip")),
            ("data differ, W changes or messages are lost", ("GradientTracking", "MomentumTracking", "KGT")),
            ("bits are dear", ("ChocoSGD", "BEER", "LEAD", "CGT")),
            ("large models, messages are dear", ("NoLoCo", "DecentralizedDiLoCo")),
            ("nobody waits", ("ADPSGD", "A2CiD2", "SWIFT")),
        ),
    ),
    (
        "a directed graph",
        (
            ("out-degrees are known", ("StochasticGradientPush", "PushDIGing")),
            ("rows and columns can be weighted", ("AB",)),
            ("messages are lost unseen", ("RobustStochasticGradientPush", "ASYSONATA")),
            ("bits are dear", ("QuantizedPushSum", "CPP")),
        ),
    ),
    (
        "a server and clients",
        (
            ("clients' data are alike", ("SGD", "LocalSGD", "FedOpt")),
            ("data differ, local steps", ("SCAFFOLD", "Scaffnew")),
            ("bits to the server are dear", ("DIANA", "EF21", "MARINA", "DASHA")),
            ("bits are dear both ways", ("MCM", "Artemis", "DORE", "DoubleSqueeze")),
            ("large models, messages are dear", ("DiLoCo", "StreamingDiLoCo")),
            ("nobody waits", ("FedBuff", "RennalaSGD", "RingmasterASGD", "AsynchronousSGD")),
        ),
    ),
)
ROW, GAP = 30, 14  # pixels, of a branch and between networks
COLUMNS = (10, 150, 370, 700)  # where the root, the networks, what is so and the methods begin
ENDS = (104, 318, 668)  # where those before the methods end
LETTER = 7.4  # pixels, of a character of the methods' names


def on_the_map() -> list[str]:
    """All methods on it."""
    return [name for _, branches in MAP for _, methods in branches for name in methods]


def drawing() -> str:
    """The map as an SVG, whose methods are links to their pages."""
    y, marks, networks = float(ROW), [], []
    for network, branches in MAP:
        rows = [y + k * ROW for k in range(len(branches))]
        middle = (rows[0] + rows[-1]) / 2
        networks.append(middle)
        marks.append(_text(COLUMNS[1], middle, network, "network"))
        for at, (what, methods) in zip(rows, branches, strict=True):
            marks += [_arrow(ENDS[1], middle, COLUMNS[2] - 6, at), _text(COLUMNS[2], at, what, "so")]
            marks.append(_arrow(ENDS[2], at, COLUMNS[3] - 6, at))
            x = float(COLUMNS[3])
            for name in methods:
                marks.append(f'<a href="methods/{name}.html">{_text(x, at, name, "method")}</a>')
                x += LETTER * len(name) + 18
        y = rows[-1] + ROW + GAP
    root = sum(networks) / len(networks)
    marks += [_text(COLUMNS[0], root, "Who talks to", "network"), _text(COLUMNS[0], root + 17, "whom?", "network")]
    marks += [_arrow(ENDS[0], root, COLUMNS[1] - 6, at) for at in networks]
    view = f'viewBox="0 0 1180 {y:.0f}" role="img" aria-label="From the network to methods"'
    return f'<div class="map"><svg {view}>{"".join(marks)}</svg></div>'


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.0f}" y="{y + 4:.0f}">{escape(text)}</text>'


def _arrow(x: float, y: float, to_x: float, to_y: float) -> str:
    middle = (x + to_x) / 2
    return f'<path d="M{x:.0f},{y:.0f} C{middle:.0f},{y:.0f} {middle:.0f},{to_y:.0f} {to_x:.0f},{to_y:.0f}"/>'
