"""The command line: `jaxdec sweep` and `jaxdec list`."""

import inspect
import time
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import jax
import numpy as np
import typer
import xarray as xr
from rich.console import Console
from rich.table import Table

from jaxdec import algorithms, data, graphs, metrics, networks, problems
from jaxdec.sweep import best, diverged
from jaxdec.sweep import sweep as run_sweep

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="Decentralized, federated and compressed optimization, simulated on one accelerator.",
)
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


@app.command()
def sweep(
    out: Annotated[Path, typer.Option(help="Folder for results.zarr and figure.png.")] = Path("."),
    nodes: Annotated[int, typer.Option(help="Nodes on the ring.")] = 16,
    alpha: Annotated[float, typer.Option(help="Dirichlet concentration: the smaller, the more nodes differ.")] = 0.1,
    batch_size: Annotated[int, typer.Option(help="Samples in a node's minibatch.")] = 16,
    rounds: Annotated[int, typer.Option(help="Communication rounds.")] = 500,
    every: Annotated[int, typer.Option(help="Rounds between records.")] = 20,
    seeds: Annotated[int, typer.Option(help="How many seeds.")] = 5,
    x64: Annotated[bool, typer.Option("--x64", help="Compute in float64.")] = False,
) -> None:
    """Sweep step sizes of five algorithms on digits, split unevenly over a ring; write the results and a figure."""
    # Matplotlib takes most of a second to import, and `jaxdec list` does without it.
    import matplotlib.pyplot as plt

    from jaxdec import plotting

    jax.config.update("jax_enable_x64", x64)
    try:
        out.mkdir(parents=True, exist_ok=True)
        experiment = digits_on_a_ring(nodes=nodes, alpha=alpha, batch_size=batch_size)
        began = time.perf_counter()
        results = run_sweep(**experiment, rounds=rounds, every=every, seeds=seeds)
    except (ValueError, OSError) as error:
        raise typer.BadParameter(str(error)) from error
    seconds = time.perf_counter() - began

    runs = int(np.prod([size for dim, size in results.sizes.items() if dim != "round"]))
    title = f"digits on a {nodes}-node ring, Dirichlet({alpha:g}), batch {batch_size}: "
    title += f"median of {seeds} seeds after {rounds} rounds"
    console.print(table(results, title))
    console.print(
        f"{runs} runs of {nodes} nodes in {seconds:.1f} s ({runs / seconds:.0f} runs/s, "
        f"{runs * rounds * nodes / seconds:.3g} node-rounds/s), {results.attrs['programs']} compiled programs, "
        f"{int(diverged(results).sum())} diverged runs, on {jax.devices()[0].device_kind}"
    )
    results.to_zarr(out / "results.zarr", mode="w", zarr_format=2)
    figure = plotting.overview(results, title=title)
    figure.savefig(out / "figure.png")
    plt.close(figure)
    console.print(f"wrote {out / 'results.zarr'} and {out / 'figure.png'}")


def table(results: xr.Dataset, title: str) -> Table:
    """Each algorithm at its best step size: how it ends, what it spent, and how many of its runs diverged."""
    chosen = best(results)
    grid = results["lr"].values
    lost = diverged(results)
    shown = Table(title=title, title_justify="left")
    for column in (
        "algorithm",
        "best lr",
        "loss",
        "10–90 %",
        "test accuracy",
        "consensus",
        "gradients",
        "vectors",
        "diverged",
    ):
        shown.add_column(column, justify="left" if column == "algorithm" else "right")
    for name in results["algorithm"].values:
        last = chosen.sel(algorithm=name).isel(round=-1)
        loss = last["loss"].values
        lr = float(last["lr"])
        edge = "*" if lr in (grid.min(), grid.max()) else ""
        shown.add_row(
            str(name),
            f"{lr:g}{edge}",
            f"{np.median(loss):.4f}",
            "{:.4f}–{:.4f}".format(*np.quantile(loss, [0.1, 0.9])),
            f"{np.median(last['test_accuracy']):.3f}",
            f"{np.median(last['consensus']):.2g}",
            f"{float(last['grads'].mean()):,.0f}",
            f"{float(last['vectors'].mean()):,.0f}",
            f"{int(lost.sel(algorithm=name).sum())} of {lost.sel(algorithm=name).size}",
        )
    shown.caption = "gradients and vectors: per node, over the whole run. *: at the edge of the grid."
    return shown


@app.command(name="list")
def list_everything() -> None:
    """Show the algorithms, graphs, problems, data and metrics, with a line each."""
    for title, module, kind in (
        ("Algorithms", algorithms, inspect.isclass),
        ("Networks", networks, inspect.isfunction),
        ("Graphs", graphs, inspect.isfunction),
        ("Problems", problems, inspect.isfunction),
        ("Data", data, inspect.isfunction),
        ("Metrics", metrics, inspect.isfunction),
    ):
        shown = Table(title=title, title_justify="left", show_header=False, box=None, padding=(0, 2, 0, 0))
        for name, thing in _public(module, kind):
            shown.add_row(name, (inspect.getdoc(thing) or "").split("\n")[0])
        console.print(shown, "")


def _public(module: ModuleType, kind: Any) -> list[tuple[str, Any]]:
    """What a module offers: its `__all__`, else what it defines without an underscore."""
    names = getattr(module, "__all__", None)
    members = inspect.getmembers(module, kind)
    if names is None:
        return [(k, v) for k, v in members if not k.startswith("_") and v.__module__ == module.__name__]
    return [(k, v) for k, v in members if k in names]


if __name__ == "__main__":
    app()
