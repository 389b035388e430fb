"""The command line: `sweep`, `show`, `plot`, `export`, `report`, `repair`, `tune`, `reproduce`, and what there is."""

import time
from enum import StrEnum
from importlib.metadata import version as installed
from pathlib import Path
from typing import Annotated, Any

import jax
import typer
from rich.table import Table
from rich.text import Text

from jaxdec import catalogue
from jaxdec.backend import begin
from jaxdec.citations import cite
from jaxdec.describe import brief
from jaxdec.jobs import (
    HORIZON,
    account,
    clear_errors,
    default_title,
    degrees,
    described,
    digits_on_a_ring,
    draw,
    drawable,
    extent,
    only,
    read,
    save,
)
from jaxdec.live import JSONLines
from jaxdec.papers.command import command as reproduce_command
from jaxdec.results import plotting
from jaxdec.results.export import table, to_csv, to_latex
from jaxdec.results.page import report
from jaxdec.results.summary import known, primary
from jaxdec.results.terminal import say
from jaxdec.results.texts import verbatim
from jaxdec.results.time import Link, add_time
from jaxdec.spec import from_toml
from jaxdec.storage.places import located, writable
from jaxdec.sweeps import repair as repair_store
from jaxdec.sweeps import sweep as run_sweep
from jaxdec.sweeps.tuning import tune

__all__ = [
    "HORIZON",
    "PATH",
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
    "cite_command",
    "command",
    "digits_on_a_ring",
    "export",
    "info",
    "list_everything",
    "main",
    "plot",
    "read",
    "repair",
    "report_command",
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


def _path(given: str | Path) -> Path:
    """A path on the command line, whose error is of its option."""
    try:
        return located(given)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


PATH: dict[str, Any] = {"parser": _path, "metavar": "PATH"}

Spec = Annotated[
    Path | None, typer.Argument(help="A TOML file that describes the sweep; none runs the default.", **PATH)
]
Folder = Annotated[Path, typer.Argument(help="A store, a folder with results.zarr, or a file of Result.save.", **PATH)]
Metric = Annotated[str | None, typer.Option(help="What to judge by; the loss, if there is one.")]
X64 = Annotated[bool, typer.Option("--x64", help="Compute in float64.")]
Rounds = Annotated[int | None, typer.Option(help="Communication rounds.")]
Every = Annotated[int | None, typer.Option(help="Rounds between records.")]
Seeds = Annotated[int | None, typer.Option(help="How many seeds.")]
Latency = Annotated[float, typer.Option(help="Of a message, in seconds.")]
Bandwidth = Annotated[float | None, typer.Option(help="Of a link, in bits per second; needed for seconds.")]
Compute = Annotated[float, typer.Option("--seconds-per-gradient", help="Of one sample's gradient on a node.")]
Log = Annotated[Path | None, typer.Option(help="A file that gets a line of JSON for each record.", **PATH)]
Parallel = Annotated[bool, typer.Option("--parallel", help="A node sends to all its neighbours at once.")]


@app.command()
def sweep(
    spec: Spec = None,
    store: Annotated[
        Path | None, typer.Option(help="A directory to keep results in, and to go on from.", **PATH)
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for results.zarr and figure.png; here.", **PATH)] = None,
    log: Log = None,
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
    jax.config.update("jax_enable_x64", x64)
    default = {"nodes": nodes, "alpha": alpha, "batch_size": batch_size}
    with clear_errors(spec):
        experiment = described(spec, default, {"rounds": rounds, "every": every, "seeds": seeds, "store": store})
        store = located(experiment["store"]) if experiment.get("store") else None
        out = out or store or Path()
        if out != store:
            writable(out, folder=True)
            writable(out / "figure.png")
        resumed = store is not None and (store / "manifest.json").exists()
        callback = None if log is None else JSONLines(log)
        began = time.perf_counter()
        results = run_sweep(**experiment, callback=callback)
        seconds = time.perf_counter() - began
        lost = save(results, out / "results.zarr") if store is None else None

    title = f"{spec.stem if spec else default_title(**default)}: median of {extent(results)}"
    say(table(results, title), account(results, experiment, seconds, resumed))
    several = set(results.dims) & {"problem", "network"}
    panels = (lambda r, title: plotting.panels(r, primary(r), title=title)) if several else plotting.overview
    failed = draw(lambda: panels(results, title=verbatim(title)), out / "figure.png")
    written = {store or out / "results.zarr": lost, out / "figure.png": failed}
    for failure in filter(None, written.values()):
        say(failure)
    say(f"wrote {' and '.join(str(path) for path, failure in written.items() if not failure) or 'nothing'}")
    if lost:
        raise typer.Exit(1)


@app.command()
def show(folder: Folder, metric: Metric = None) -> None:
    """Show a table of stored results: each algorithm at its best values."""
    with clear_errors():
        results = read(folder)
        say(table(results, f"{folder}: median of {extent(results)}", metric))
    if (done := results.attrs.get("runs_done")) is not None and done < results.attrs["runs"]:
        say(f"{done} of {results.attrs['runs']} runs are done; a seed that is missing counts as the worst")


@app.command()
def plot(
    folder: Folder,
    y: Annotated[str | None, typer.Option(help="The metric to draw; the loss, if there is one.")] = None,
    x: Annotated[Axis, typer.Option(help="What to draw it against.")] = Axis.rounds,
    out: Annotated[Path, typer.Option(help="The figure: .png, .pdf or .svg.", **PATH)] = Path("figure.png"),
    band: Annotated[
        Band, typer.Option(help="10 to 90 % of runs, or the median's bootstrap interval.")
    ] = Band.quantiles,
    log_x: Annotated[bool, typer.Option("--log-x", help="A logarithmic horizontal axis.")] = False,
    by: Annotated[
        str | None, typer.Option(help="What swept values are chosen by: what is drawn, of the test set the loss.")
    ] = None,
    ylim: Annotated[tuple[float, float] | None, typer.Option(help="The ends of the vertical axes.")] = None,
    title: Annotated[str | None, typer.Option(help="Above the panels.")] = None,
    latency: Latency = 0.0,
    bandwidth: Bandwidth = None,
    compute: Compute = 0.0,
    degree: Annotated[
        list[str] | None, typer.Option(help="Neighbours a node sends to, 1; or NETWORK=DEGREE for each network.")
    ] = None,
    parallel: Parallel = False,
) -> None:
    """Draw a metric of stored results, each algorithm at its best values, against rounds or what was spent."""
    with clear_errors():
        results = read(folder)
        writable(out)
        if x is Axis.seconds:
            results = add_time(
                results, _link(latency, bandwidth, compute), degree=degrees(degree, results), parallel=parallel
            )
        axis = "round" if x is Axis.rounds else x.value
        metric = known(results, y)
        chosen: dict[str, Any] = {"by": None if by is None else known(results, by), "ylim": ylim}
        chosen["title"] = None if title is None else verbatim(title)
        failed = draw(lambda: plotting.panels(results, metric, x=axis, band=band.value, log_x=log_x, **chosen), out)
        if failed:
            raise ValueError(failed)
    say(f"wrote {out}")


@app.command()
def export(
    folder: Folder,
    csv: Annotated[Path | None, typer.Option(help="Write a row for each run and record.", **PATH)] = None,
    latex: Annotated[Path | None, typer.Option(help="Write the table of best cells, for booktabs.", **PATH)] = None,
    metric: Metric = None,
) -> None:
    """Write stored results for other programs."""
    with clear_errors():
        if csv is None and latex is None:
            raise ValueError("nothing to write; give --csv FILE, --latex FILE or both")
        results = read(folder)
        known(results, metric)
        for path in (csv, latex):
            if path is not None:
                writable(path)
        if csv is not None:
            to_csv(results, csv)
        if latex is not None:
            latex.write_text(to_latex(results, metric) + "\n", encoding="utf-8")
    say(f"wrote {' and '.join(str(path) for path in (csv, latex) if path)}")


@app.command(name="report")
def report_command(
    folder: Folder,
    out: Annotated[Path, typer.Option(help="The page: .html.", **PATH)] = Path("report.html"),
    metric: Metric = None,
    spec: Annotated[
        Path | None, typer.Option(help="The TOML file of the sweep, to draw its networks and who holds what.", **PATH)
    ] = None,
) -> None:
    """Write one HTML file of stored results: tables, curves to choose from, comparisons, and what they were made of."""
    with clear_errors():
        results = read(folder)
        writable(out)
        parts = {} if spec is None else drawable(from_toml(spec))
        try:
            report(results, out, metric=metric, title=folder.resolve().name, **parts)
        except ImportError as error:
            raise ValueError(str(error)) from error
    say(f"wrote {out}")


@app.command()
def repair(directory: Annotated[Path, typer.Argument(help="A store, or a run's checkpoints.", **PATH)]) -> None:
    """Remove what is damaged in a store, so that the next call runs it again, and mend what can be mended."""
    with clear_errors():
        done = repair_store(directory)
    for line in done or [f"{directory} is whole: nothing was changed"]:
        say(line)


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
    csv: Annotated[Path | None, typer.Option(help="Write a row for each run and record.", **PATH)] = None,
    store: Annotated[Path | None, typer.Option(help="A directory to keep runs in, and to go on from.", **PATH)] = None,
    log: Log = None,
    x64: X64 = False,
) -> None:
    """Search each algorithm's best step size, beginning with the values that the file sweeps."""
    jax.config.update("jax_enable_x64", x64)
    with clear_errors(spec):
        asked = described(spec, {}, {"rounds": rounds, "every": every, "seeds": seeds, "store": store})
        parts = [asked.pop(name) for name in ("algorithms", "problems", "networks")]
        parts[1:] = [only(part) for part in parts[1:]]
        link = None if bandwidth is None else _link(latency, bandwidth, compute)
        timing = {"parallel": parallel} | ({} if degree is None else {"degree": degree})
        over = asked.pop("over", None)
        if csv is not None:
            writable(csv)
        callback = None if log is None else JSONLines(log)
        found = tune(*parts, over=over, metric=metric, at=at, target=target, cost=cost.value, budget=budget, link=link,
                     timing=timing, callback=callback, **asked)  # fmt: skip
        if csv is not None:
            to_csv(found.cells, csv)
        say(found, found.to_markdown())
        for label, algorithm in found.algorithms.items():
            say(f"{label}: {brief(algorithm)}")


def _link(latency: float, bandwidth: float | None, compute: float) -> Link:
    if bandwidth is None:
        raise ValueError("seconds need a model of the links; give --bandwidth, and --latency, --seconds-per-gradient")
    return Link(latency, bandwidth, compute)


app.command(name="reproduce")(reproduce_command)


@app.command(name="list")
def list_everything(
    section: Annotated[str | None, typer.Argument(help="One section alone; of algorithms all that is known.")] = None,
) -> None:
    """Show what there is, with a line each: algorithms, networks, problems, data, partitions, compressors, metrics.

    `jaxdec list algorithms` is the table of the methods: what each needs, costs and stands.
    """
    sections = catalogue.listed()
    if section is not None:
        with clear_errors():
            title = catalogue.section(section, list(sections))
        if title == "Algorithms":
            say(_methods())
            return
        sections = {title: sections[title]}
    for title, entries in sections.items():
        shown = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
        shown.add_column(no_wrap=True)
        shown.add_column(overflow="fold")
        for entry in entries:
            shown.add_row(Text(entry.name), Text(catalogue.first_line(entry)))
        say(title, shown, "")


def _methods() -> Table:
    """The table of `algorithms.table()`."""
    shown = Table(box=None, padding=(0, 2, 0, 0))
    for header in catalogue.COLUMNS:
        shown.add_column(header, overflow="fold", no_wrap=header == "method")
    for cells in catalogue.methods():
        shown.add_row(*map(Text, cells))
    return shown


@app.command()
def info(name: Annotated[str, typer.Argument(help="As in `jaxdec list`; or qualified, such as graphs.ring.")]) -> None:
    """Show all that is known of something: its arguments, update, symbols, cost, network, guarantee and reference."""
    with clear_errors():
        say("\n\n".join(catalogue.about(name)))


@app.command(name="cite")
def cite_command(
    names: Annotated[list[str] | None, typer.Argument(help="Methods, networks, ...: as in `jaxdec list`.")] = None,
) -> None:
    """Print BibTeX of jaxdec, and of the papers of methods and of what else refers to one."""
    with clear_errors():
        say(cite(names or []))


def _version(asked: bool) -> None:
    if asked:
        say(f"jaxdec {installed('jaxdec')}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Decentralized, federated and compressed optimization, simulated on one accelerator."""


def command() -> None:
    """`jaxdec`, in a process of its own."""
    begin()
    app()


if __name__ == "__main__":
    command()
