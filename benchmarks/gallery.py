"""The gallery of the site. `python -m benchmarks.gallery` draws it and writes `docs/gallery.md`, in a minute or two.

Each function is a figure: its first line is the caption, and its code stands beside it on the page. `NAME ...` draws
those alone.
"""

import argparse
import inspect
import io
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from jaxdec import algorithms, compressors, data, graphs, networks, plotting, problems, results, run, sweep
from jaxdec.networks import clocks

DOCS = Path(__file__).parents[1] / "docs"

HEAD = """# Gallery

Figures and the code that makes each, on a problem that takes seconds. Those of papers are on a page of their own, see
[reproducing papers](reproducing-papers.md). Made by `python -m benchmarks.gallery`.
"""


def local_steps():
    """Local steps on nodes that differ: LocalDSGD stalls, K-GT does not."""
    problem, ring = problems.quadratic(8, 5, zeta=1.0), networks.ring(8)
    methods = [algorithms.LocalDSGD(lr=0.05, local_steps=5), algorithms.KGT(lr=0.05, local_steps=5)]
    found = sweep(methods, problem, ring, seeds=1, rounds=300, every=5)
    ax = plotting.curves(found, "distance")
    ax.legend()
    return ax.figure


def step_sizes():
    """How much the step size matters: where a line ends, larger steps diverge."""
    problem, ring = problems.quadratic(8, 5, zeta=1.0, noise=0.1), networks.ring(8)
    methods = [algorithms.DSGD(lr=0.1), algorithms.GradientTracking(lr=0.1), algorithms.MomentumTracking(lr=0.1)]
    grid = {"lr": [0.01 * 2**k for k in range(9)]}
    found = sweep(methods, problem, ring, over=grid, seeds=5, rounds=200, every=200)
    ax = plotting.sensitivity(found, "distance")
    ax.legend()
    return ax.figure


def bits():
    """Bits against accuracy: QSGD stalls on nodes that differ, DIANA sends differences that vanish."""
    C = compressors.Quantization(levels=1)
    methods = {
        "SGD": algorithms.SGD(lr=0.5),
        "QSGD": algorithms.QSGD(lr=0.2, compressor=C),
        "DIANA": algorithms.DIANA(lr=0.2, compressor=C),
    }
    found = sweep(methods, problems.quadratic(8, 50), networks.server(8), seeds=3, rounds=200, every=5)
    ax = plotting.curves(found, "distance", x="bits", log_x=True)
    ax.legend()
    return ax.figure


def lost_messages():
    """A ring that loses 30 % of its messages: trackers stay exact, DSGD does not get there."""
    problem = problems.quadratic(15, 4)
    methods = [algorithms.DSGD(lr=0.1), algorithms.GradientTracking(lr=0.1)]
    rings = {"reliable": networks.ring(15), "30 % lost": networks.lossy(networks.ring(15), 0.3)}
    found = sweep(methods, problem, rings, seeds=3, rounds=600, every=20)
    return plotting.panels(found, "distance")


def stragglers():
    """Two clients of eight are slow: who waits for them takes longer, who does not ends nearer to the fast ones."""
    problem, speed = problems.quadratic(8, 10, noise=0.1), [1.0] * 6 + [0.1] * 2
    link = results.Link(latency=0.0, bandwidth=1e9)
    waits = run(algorithms.SGD(lr=0.3), problem, networks.server(8), rounds=30)
    waits = results.add_clock(waits, networks.server(8), link, compute=clocks.Fixed(speed))
    network = networks.asynchronous(networks.server(8), speed=speed)
    goes_on = run(algorithms.AsynchronousSGD(lr=0.05), problem, network, rounds=1800, every=10)
    _, ax = plt.subplots()
    for label, found, style in (("SGD, which waits", waits, "-"), ("Asynchronous SGD", goes_on.to_xarray(), "--")):
        ax.semilogy(np.squeeze(found.seconds), np.squeeze(found.distance), style, label=label)
    ax.set(xlabel="seconds", ylabel="distance to the minimizer")
    ax.legend()
    return ax.figure


def partitions():
    """Who holds what: a disc for each node and class, by a Dirichlet partition of digits."""
    digits = data.digits()
    fig, axes = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
    for ax, alpha in zip(axes, (0.1, 10.0), strict=True):
        plotting.partition(data.dirichlet(digits, n=16, alpha=alpha), digits, ax=ax)
        ax.set_title(f"alpha = {alpha}")
    return fig


def spectral_gaps():
    """How fast graphs mix: the spectral gap of Metropolis weights by the number of nodes."""
    sizes = [8, 16, 32, 64, 128]
    families = {
        "ring": graphs.ring,
        "hypercube": graphs.hypercube,
        "exponential": graphs.exponential,
        "star": graphs.star,
    }
    _, ax = plt.subplots()
    for (label, family), marker in zip(families.items(), "os^v", strict=True):
        gaps = [graphs.spectral_gap(graphs.metropolis(family(n))) for n in sizes]
        ax.loglog(sizes, gaps, marker=marker, label=label)
    ax.set(xlabel="nodes", ylabel="spectral gap")
    ax.legend()
    return ax.figure


def a_network():
    """A network: its graph, its weights, and the eigenvalues of W."""
    return networks.draw(networks.torus(4, 4))


FIGURES = (local_steps, step_sizes, bits, lost_messages, stragglers, partitions, spectral_gaps, a_network)


def drawn(figure, path: Path) -> None:
    """Draw a figure into a small file, whose 256 colours keep lines of different colours apart."""
    content = io.BytesIO()
    made = figure()
    made.savefig(content, format="png", dpi=110, bbox_inches="tight")
    plt.close(made)
    path.parent.mkdir(exist_ok=True)
    with Image.open(content) as image:
        image.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE).save(path, optimize=True)


def section(figure) -> str:
    """A figure on the page, with its code."""
    title, caption = figure.__name__.replace("_", " ").capitalize(), inspect.getdoc(figure)
    code = f"```{{literalinclude}} ../benchmarks/gallery.py\n:pyobject: {figure.__name__}\n```"
    return f"## {title}\n\n{caption}\n\n![{caption}](gallery/{figure.__name__}.png)\n\n{code}\n"


def page() -> str:
    """The page of all figures."""
    return "\n".join([HEAD, *map(section, FIGURES)])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="those to draw; none means all")
    asked = parser.parse_args().names
    mpl.use("Agg")
    for one in FIGURES:
        if not asked or one.__name__ in asked:
            drawn(one, DOCS / "gallery" / f"{one.__name__}.png")
    (DOCS / "gallery.md").write_text(page(), encoding="utf-8")
