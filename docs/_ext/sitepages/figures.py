"""A small figure for each method: what the example of its docstring runs, drawn when the site is built.

Figures are kept beside the pages, by a digest of what they are made of: only what has changed is drawn again. They are
drawn by processes of their own, `python -m sitepages.figures FOLDER NAME ...`, one for each core.
"""

import doctest
import hashlib
import inspect
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jaxdec import algorithms
from sitepages import docstrings

__all__ = ["draw", "drawn", "file", "runs"]

# Most of the time compiles: leave optimizations of LLVM out, which a few hundred rounds of eight nodes do not pay back.
FLAGS = {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_backend_optimization_level=0", "MPLBACKEND": "Agg"}

LINES = (("distance", "distance to the minimizer", "-"), ("consensus", "consensus error", "--"))


def example(name: str) -> str:
    """The example of a method's docstring."""
    return "\n".join(docstrings.parts(inspect.getdoc(getattr(algorithms, name)) or "").example)


def runs(name: str) -> bool:
    """Whether the example runs something, so that there is something to draw."""
    return "run(" in example(name)


def file(name: str) -> str:
    """The file of a method's figure; another one where its module, its example or this code is another."""
    home = inspect.getsourcefile(getattr(algorithms, name)) or ""
    made_of = (Path(home).read_text("utf-8"), example(name), Path(__file__).read_text("utf-8"))
    return f"{name}-{hashlib.sha256(''.join(made_of).encode()).hexdigest()[:12]}.png"


def drawn(folder: Path, names: list[str]) -> None:
    """Draw what is not there; what is no more goes.

    Raises:
        subprocess.CalledProcessError: if an example fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.png"):
        if path.name not in {file(name) for name in names}:
            path.unlink()
    missing = [name for name in names if not (folder / file(name)).exists()]
    cores = os.cpu_count() or 1
    path = os.pathsep.join(sys.path)
    commands = [
        [sys.executable, "-m", "sitepages.figures", str(folder), *missing[k::cores]]
        for k in range(min(cores, len(missing)))
    ]
    started = [subprocess.Popen(command, env=os.environ | FLAGS | {"PYTHONPATH": path}) for command in commands]
    for process, command in zip(started, commands, strict=True):
        if process.wait():
            raise subprocess.CalledProcessError(process.returncode, command)


def results(name: str) -> list[tuple[Any, Any]]:
    """The algorithm and the result of each run of the example."""
    import jaxdec

    whole: Callable[..., Any] = jaxdec.run
    found = []

    def noted(algorithm: Any, problem: Any, network: Any, **asked: Any) -> Any:
        result = whole(algorithm, problem, network, **asked)
        found.append((algorithm, result))
        return result

    names = dict(vars(sys.modules[getattr(algorithms, name).__module__]))
    jaxdec.run = noted
    try:
        for part in doctest.DocTestParser().get_examples(example(name)):
            exec(compile(part.source, name, "exec"), names)
    finally:
        jaxdec.run = whole
    return found


def draw(name: str) -> Any:
    """The figure: how far the mean is from the minimizer, and the nodes from each other, in each run."""
    import matplotlib.pyplot as plt
    import numpy as np

    from jaxdec import plotting
    from jaxdec.describe import brief

    found = results(name)
    plt.rcParams.update(plotting.STYLE | {"font.size": 8})
    fig, ax = plt.subplots(figsize=(5.2, 2.6))
    for k, (algorithm, result) in enumerate(found):
        for own, (metric, what, line) in enumerate(LINES):
            values = np.asarray(result.metrics.get(metric, []), float)
            seen = np.where(np.isfinite(values) & (values > 1e-18), values, np.nan)
            if np.isfinite(seen).sum() > 1:
                label = what if len(found) == 1 else f"{what}: {brief(algorithm)}"
                ax.semilogy(
                    result.rounds, seen, line, color=plotting.COLOURS[k if len(found) > 1 else own], label=label
                )
    ax.set(xlabel="round")
    fig.legend(*ax.get_legend_handles_labels(), loc="outside upper left", ncols=2 if len(found) == 1 else 1, fontsize=7)
    return fig


if __name__ == "__main__":
    import matplotlib.pyplot as plt

    for one in sys.argv[2:]:
        made = draw(one)
        made.savefig(Path(sys.argv[1]) / file(one), dpi=110)
        plt.close(made)
