"""The command line: `jaxdec sweep`, `show`, `plot`, `export`, `repair`, `tune` and `list`."""

import inspect
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np
import typer
import xarray as xr
from rich.console import Console
from rich.table import Table

from jaxdec import algorithms, compressors, data, graphs, networks, problems, scaling
from jaxdec.describe import brief
from jaxdec.results import plotting
from jaxdec.results.export import table, to_csv, to_latex
from jaxdec.results.summary import primary
from jaxdec.results.time import Link, add_time
from jaxdec.spec import from_toml, measures, public
from jaxdec.storage.codecs import check_codecs
from jaxdec.storage.files import located
from jaxdec.sweeps import load
from jaxdec.sweeps import repair as repair_store
from jaxdec.sweeps import sweep as run_sweep
from jaxdec.sweeps.tuning import tune

__all__ = [
    "HORIZON",
    "X64",
    "Axis",
    "Band",
    "Bandwidth",
    "Compute",
    "Every",
    "Folder",
    "Latency",
    "Metric",
    "Parallel",
    "Rounds",
    "Seeds",
    "Spec",
    "app",
    "console",
    "digits_on_a_ring",
    "export",
    "list_everything",
    "plot",
    "read",
    "repair",
    "show",
    "sweep",
    "tune_command",
]

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="Decentralized, federated and compressed optimization, simulated on one accelerator.",
)
HORIZON: dict[str, int] = {"rounds": 500, "every": 20, "seeds": 5}  # of the embedded default

console = Console(width=None if Console().is_terminal else 120)


def digits_on_a_ring(*, nodes: int = 16, alpha: float = 0.1, batch_size: int = 16) -> dict[str, Any]:
    """The embedded default: softmax regression on scikit-learn's digits, split over a ring by Dirichlet(alpha).

    The arguments of `jaxdec.sweep` that name algorithms, problem, network and step sizes.

    >>> sorted(digits_on_a_ring())
    ['algorithms', 'networks', 'over', 'problems']
    """
    digits = data.digits()
    partition = data.dirichlet(digits, n=nodes, alpha=alpha)
    return {
        "algorithms": {
            "DSGD": algorithms.DSGD(lr=1.0),
            "Local DSGD, K=5": algorithms.LocalDSGD(lr=1.0, local_steps=5),
            "Gradient Tracking": algorithms.GradientTracking(lr=1.0),
            "K-GT, K=5": algorithms.KGT(lr=1.0, local_steps=5),
            "Momentum Tracking": algorithms.MomentumTracking(lr=1.0),
        },
        "problems": problems.softmax(digits, partition, batch_size=batch_size, l2=1e-3),
        "networks": networks.ring(nodes),
        "over": {"lr": [float(f"{lr:.2g}") for lr in np.geomspace(0.01, 10, 10)]},
    }


class Axis(StrEnum):
    """What to draw against, and what a target is reached at."""

    rounds = "rounds"
    grads = "grads"
    vectors = "vectors"
    bits = "bits"
    seconds = "seconds"


class Band(StrEnum):
    """What is drawn around a median."""

    quantiles = "quantiles"
    confidence = "confidence"
    none = "none"


Spec = Annotated[Path | None, typer.Argument(help="A TOML file that describes the sweep; none runs the default.")]
Folder = Annotated[Path, typer.Argument(help="A store, or a folder with results.zarr.")]
Metric = Annotated[str | None, typer.Option(help="What to judge by; the loss, if there is one.")]
X64 = Annotated[bool, typer.Option("--x64", help="Compute in float64.")]
Rounds = Annotated[int | None, typer.Option(help="Communication rounds.")]
Every = Annotated[int | None, typer.Option(help="Rounds between records.")]
Seeds = Annotated[int | None, typer.Option(help="How many seeds.")]
Latency = Annotated[float, typer.Option(help="Of a message, in seconds.")]
Bandwidth = Annotated[float | None, typer.Option(help="Of a link, in bits per second; needed for seconds.")]
Compute = Annotated[float, typer.Option("--seconds-per-gradient", help="Of one sample's gradient on a node.")]
Parallel = Annotated[bool, typer.Option("--parallel", help="A node sends to all its neighbours at once.")]


@contextmanager
def _clear_errors(about: Path | None = None) -> Iterator[None]:
    """What the user got wrong is one message, not a traceback."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise typer.Exit(130) from error
    except (ValueError, OSError) as error:
        known = about is None or str(about) in str(error)
        raise typer.BadParameter(str(error) if known else f"{about}: {error}") from error


def _described(spec: Path | None, default: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a sweep: of a file, or else of the default sweep, and what options say instead."""
    given = {name: value for name, value in given.items() if value is not None}
    default = {name: value for name, value in default.items() if value is not None}
    if spec is None:
        return digits_on_a_ring(**default) | HORIZON | given
    if default:
        raise ValueError(
            f"{', '.join('--' + k.replace('_', '-') for k in default)} is of the default sweep, not of a file"
        )
    return from_toml(spec, **given)


@app.command()
def sweep(
    spec: Spec = None,
    store: Annotated[Path | None, typer.Option(help="A directory to keep results in, and to go on from.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for results.zarr and figure.png; here.")] = None,
    nodes: Annotated[int | None, typer.Option(help="Nodes on the default's ring: 16.")] = None,
    alpha: Annotated[
        float | None,
        typer.Option(help="The default's Dirichlet concentration, 0.1: the smaller, the more nodes differ."),
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Samples in a node's minibatch of the default: 16.")] = None,
    rounds: Rounds = None,
    every: Every = None,
    seeds: Seeds = None,
    x64: X64 = False,
) -> None:
    """Run a sweep and write its results and a figure. The default: step sizes of five algorithms on uneven digits.

    With --store results are kept as they come: a sweep that was cut short goes on, and one with more seeds or rounds
    runs what is missing.
    """
    # Matplotlib takes most of a second to import, and `jaxdec list` does without it.
    import matplotlib.pyplot as plt

    jax.config.update("jax_enable_x64", x64)
    default = {"nodes": nodes, "alpha": alpha, "batch_size": batch_size}
    with _clear_errors(spec):
        experiment = _described(spec, default, {"rounds": rounds, "every": every, "seeds": seeds, "store": store})
        store = located(experiment["store"]) if experiment.get("store") else None
        out = out or store or Path()
        if out != store:
            out.mkdir(parents=True, exist_ok=True)
        resumed = store is not None and (store / "manifest.json").exists()
        began = time.perf_counter()
        results = run_sweep(**experiment)
    seconds = time.perf_counter() - began

    about = f"{results.sizes['seed']} seeds after {int(results['round'][-1])} rounds"
    title = f"{spec.stem if spec else _default_title(**default)}: median of {about}"
    console.print(table(results, title))
    console.print(_account(results, experiment, seconds, resumed))
    if store is None:
        results.to_zarr(out / "results.zarr", mode="w", zarr_format=2)
    several = set(results.dims) & {"problem", "network"}
    figure = (
        plotting.panels(results, primary(results), title=title) if several else plotting.overview(results, title=title)
    )
    figure.savefig(out / "figure.png", dpi=200)
    plt.close(figure)
    console.print(f"wrote {store or out / 'results.zarr'} and {out / 'figure.png'}")


def _default_title(nodes: int | None, alpha: float | None, batch_size: int | None) -> str:
    return f"digits on a {nodes or 16}-node ring, Dirichlet({alpha or 0.1:g}), batch {batch_size or 16}"


def _account(results: xr.Dataset, experiment: dict[str, Any], seconds: float, resumed: bool) -> str:
    """How much was run, how fast, as how many programs, and what diverged."""
    about = results.attrs
    parts = experiment["problems"]
    sizes = {
        p.n for p in (parts.values() if isinstance(parts, dict) else parts if isinstance(parts, list) else [parts])
    }
    rate = about["runs"] / max(about["run_seconds"], 1e-9)
    rates = f": {rate:.0f} runs/s, {rate * about['rounds'] * np.mean(list(sizes)):.3g} node-rounds/s"
    return (
        f"{about['runs']} runs of {' or '.join(map(str, sorted(sizes)))} nodes in {seconds:.1f} s, {about['programs']} "
        f"compiled programs, {about['diverged']} diverged runs, on {jax.devices()[0].device_kind}\n"
        f"compiling took {about['compile_seconds']:.1f} s, running {'what was missing ' if resumed else ''}"
        f"{about['run_seconds']:.1f} s{'' if resumed else rates}"
    )


@app.command()
def show(folder: Folder, metric: Metric = None) -> None:
    """Show a table of stored results: each algorithm at its best values."""
    with _clear_errors():
        results = read(folder)
        about = f"{results.sizes['seed']} seeds after {int(results['round'][-1])} rounds"
        console.print(table(results, f"{folder}: median of {about}", metric))
    if (done := results.attrs.get("runs_done")) is not None and done < results.attrs["runs"]:
        console.print(f"{done} of {results.attrs['runs']} runs are done; a seed that is missing counts as the worst")


@app.command()
def plot(
    folder: Folder,
    y: Annotated[str | None, typer.Option(help="The metric to draw; the loss, if there is one.")] = None,
    x: Annotated[Axis, typer.Option(help="What to draw it against.")] = Axis.rounds,
    out: Annotated[Path, typer.Option(help="The figure: .png, .pdf or .svg.")] = Path("figure.png"),
    band: Annotated[
        Band, typer.Option(help="10 to 90 % of runs, or the median's bootstrap interval.")
    ] = Band.quantiles,
    log_x: Annotated[bool, typer.Option("--log-x", help="A logarithmic horizontal axis.")] = False,
    latency: Latency = 0.0,
    bandwidth: Bandwidth = None,
    compute: Compute = 0.0,
    degree: Annotated[
        list[str] | None, typer.Option(help="Neighbours a node sends to, 1; or NETWORK=DEGREE for each network.")
    ] = None,
    parallel: Parallel = False,
) -> None:
    """Draw a metric of stored results, each algorithm at its best values, against rounds or what was spent."""
    import matplotlib.pyplot as plt

    with _clear_errors():
        results = read(folder)
        if x is Axis.seconds:
            results = add_time(
                results, _link(latency, bandwidth, compute), degree=_degrees(degree, results), parallel=parallel
            )
        axis = "round" if x is Axis.rounds else x.value
        figure = plotting.panels(results, y or primary(results), x=axis, band=band.value, log_x=log_x)
        figure.savefig(out, dpi=200)
    plt.close(figure)
    console.print(f"wrote {out}")


@app.command()
def export(
    folder: Folder,
    csv: Annotated[Path | None, typer.Option(help="Write a row for each run and record.")] = None,
    latex: Annotated[Path | None, typer.Option(help="Write the table of best cells, for booktabs.")] = None,
    metric: Metric = None,
) -> None:
    """Write stored results for other programs."""
    with _clear_errors():
        if csv is None and latex is None:
            raise ValueError("nothing to write; give --csv FILE, --latex FILE or both")
        results = read(folder)
        if csv is not None:
            to_csv(results, csv)
        if latex is not None:
            latex.write_text(to_latex(results, metric) + "\n", encoding="utf-8")
    console.print(f"wrote {' and '.join(str(path) for path in (csv, latex) if path)}")


@app.command()
def repair(directory: Annotated[Path, typer.Argument(help="A store, or a run's checkpoints.")]) -> None:
    """Remove what is damaged in a store, so that the next call runs it again, and mend what can be mended."""
    with _clear_errors():
        done = repair_store(directory)
    for line in done or [f"{directory} is whole: nothing was changed"]:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


@app.command(name="tune")
def tune_command(
    spec: Spec = None,
    metric: Annotated[str, typer.Option(help="What to judge by.")] = "loss",
    at: Annotated[int | None, typer.Option(help="The round to judge at; the last.")] = None,
    target: Annotated[float | None, typer.Option(help="Instead, the value to reach at the least cost.")] = None,
    cost: Annotated[Axis, typer.Option(help="The cost to the target.")] = Axis.rounds,
    budget: Annotated[int, typer.Option(help="Cells for each algorithm, each run on all seeds.")] = 32,
    rounds: Rounds = None,
    every: Every = None,
    seeds: Seeds = None,
    latency: Latency = 0.0,
    bandwidth: Bandwidth = None,
    compute: Compute = 0.0,
    degree: Annotated[float | None, typer.Option(help="Neighbours a node sends to; the network's largest.")] = None,
    parallel: Parallel = False,
    csv: Annotated[Path | None, typer.Option(help="Write a row for each run and record.")] = None,
    store: Annotated[Path | None, typer.Option(help="A directory to keep runs in, and to go on from.")] = None,
    x64: X64 = False,
) -> None:
    """Search each algorithm's best step size, beginning with the values that the file sweeps."""
    jax.config.update("jax_enable_x64", x64)
    with _clear_errors(spec):
        asked = _described(spec, {}, {"rounds": rounds, "every": every, "seeds": seeds, "store": store})
        parts = [asked.pop(name) for name in ("algorithms", "problems", "networks")]
        parts[1:] = [_only(part) for part in parts[1:]]
        link = None if bandwidth is None else _link(latency, bandwidth, compute)
        timing = {"parallel": parallel} | ({} if degree is None else {"degree": degree})
        over = asked.pop("over", None)
        found = tune(*parts, over=over, metric=metric, at=at, target=target, cost=cost.value, budget=budget, link=link,
                     timing=timing, **asked)  # fmt: skip
        console.print(found, found.to_markdown(), sep="\n")
        for label, algorithm in found.algorithms.items():
            console.print(f"{label}: {brief(algorithm)}", highlight=False, markup=False)
        if csv is not None:
            to_csv(found.cells, csv)


def read(folder: Path) -> xr.Dataset:
    """The results in a folder: of a store, or of `jaxdec sweep` without one."""
    folder = located(folder)
    if any((folder / name).exists() for name in ("manifest.json", "manifest.copy.json", "done")):
        return load(folder)
    for path in (folder / "results.zarr", folder):
        if (path / ".zgroup").exists() or (path / "zarr.json").exists():
            check_codecs(path)
            return xr.open_zarr(path).load()
    raise ValueError(f"{folder} holds no results; give the --store of a sweep, or the folder with its results.zarr")


def _link(latency: float, bandwidth: float | None, compute: float) -> Link:
    if bandwidth is None:
        raise ValueError("seconds need a model of the links; give --bandwidth, and --latency, --seconds-per-gradient")
    return Link(latency, bandwidth, compute)


def _degrees(given: list[str] | None, results: xr.Dataset) -> Any:
    """A number for all networks, or one for each."""
    if not given:
        return 1
    pairs = [text.rpartition("=") for text in given]
    numbers = [float(number) for *_, number in pairs]
    if len(given) == 1 and not pairs[0][0]:
        return numbers[0]
    networks_run = [str(name) for name in results["network"].values] if "network" in results.dims else []
    named = dict(zip([name for name, *_ in pairs], numbers, strict=True))
    if set(named) != set(networks_run):
        raise ValueError(
            f"--degree NETWORK=DEGREE is given once for each of {', '.join(networks_run) or 'one network'}"
        )
    return xr.DataArray([named[name] for name in networks_run], {"network": networks_run}, "network")


def _only(parts: Any) -> Any:
    if not isinstance(parts, dict | list):
        return parts
    if len(parts) > 1:
        raise ValueError(f"tune takes one problem and one network; the file has {len(parts)}")
    return next(iter(parts.values())) if isinstance(parts, dict) else parts[0]


@app.command(name="list")
def list_everything() -> None:
    """Show the algorithms, networks, graphs, problems, data, compressors, scalings and metrics, with a line each."""
    for title, module, kind in (
        ("Algorithms", algorithms, inspect.isclass),
        ("Networks", networks, inspect.isfunction),
        ("Graphs", graphs, inspect.isfunction),
        ("Problems", problems, inspect.isfunction),
        ("Data", data, inspect.isfunction),
        ("Compressors", compressors, inspect.isclass),
        ("Scalings", scaling, inspect.isclass),
    ):
        _list(title, {name: thing for name, thing in public(module).items() if kind(thing)})
    _list("Metrics", measures())


def _list(title: str, things: dict[str, Any]) -> None:
    shown = Table(title=title, title_justify="left", show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, thing in things.items():
        shown.add_row(name, (inspect.getdoc(thing) or "").split("\n")[0])
    console.print(shown, "")


if __name__ == "__main__":
    app()
