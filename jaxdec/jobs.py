"""What the commands do besides sweeping: the default sweep, files in and out, what is said of a sweep."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
import typer
import xarray as xr

from jaxdec import algorithms, data, networks, problems
from jaxdec.results.labels import labelled
from jaxdec.results.result import Result
from jaxdec.spec import from_toml
from jaxdec.storage.codecs import check_codecs
from jaxdec.storage.places import as_file, from_file
from jaxdec.sweeps import load
from jaxdec.sweeps.axes import objects

__all__ = [
    "FIGURE_ERRORS",
    "HORIZON",
    "account",
    "clear_errors",
    "default_title",
    "degrees",
    "described",
    "digits_on_a_ring",
    "draw",
    "drawable",
    "extent",
    "only",
    "read",
    "save",
]

# What Matplotlib raises of a text, a font, a backend or a disk; a warning that is an error in a user's settings too.
FIGURE_ERRORS = (ValueError, TypeError, RuntimeError, ArithmeticError, LookupError, ImportError, OSError, Warning)

HORIZON: dict[str, int] = {"rounds": 500, "every": 20, "seeds": 5}  # of the embedded default


@contextmanager
def clear_errors(about: Path | None = None) -> Iterator[None]:
    """What the user got wrong is one message, not a traceback."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise typer.Exit(130) from error
    except (ValueError, OSError) as error:
        known = about is None or str(about) in str(error)
        raise typer.BadParameter(str(error) if known else f"{about}: {error}") from error


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


def described(spec: Path | None, default: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
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


def save(results: xr.Dataset, path: Path) -> str | None:
    """Write results beside what is there, and replace that when they are whole. What went wrong, if anything did."""
    new, old = (path.with_name(f".{path.name}.{kind}") for kind in ("new", "old"))
    try:
        if old.exists() and not path.exists():  # a call before was killed between the two
            old.rename(path)
        for left in (new, old):
            shutil.rmtree(left, ignore_errors=True)
        results.rename({name: as_file(str(name)) for name in results.data_vars}).to_zarr(new, mode="w", zarr_format=2)
        if path.exists():
            path.rename(old)
        new.rename(path)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        if old.exists() and not path.exists():
            old.rename(path)
        return f"{path} was not written, and these results are not kept: {error}"
    return None


def draw(make: Callable[[], Any], path: Path) -> str | None:
    """Draw and write a figure. What went wrong, if anything did: the results are there, and what is said of them."""
    # Matplotlib takes most of a second to import, and `jaxdec list` does without it.
    import matplotlib.pyplot as plt

    try:
        make().savefig(path, dpi=200)
    except FIGURE_ERRORS as error:
        return f"{path} was not drawn: {type(error).__name__}: {error}"
    finally:
        plt.close("all")
    return None


def drawable(experiment: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Of a sweep's arguments the networks that are graphs, and the problems whose nodes hold samples of classes."""
    given = objects(*(experiment[kind] for kind in ("algorithms", "problems", "networks")))
    return {
        "network": {name: one for name, one in given["network"].items() if "server" not in one.provides},
        "problem": {name: one for name, one in given["problem"].items() if _of_classes(one)},
    }


def _of_classes(problem: Any) -> bool:
    return isinstance(problem, problems.FiniteSum) and problem.targets.ndim == 1 and problem.targets.dtype.kind in "iu"


def extent(results: xr.Dataset) -> str:
    """How many seeds, and how long."""
    seeds = labelled(results).sizes["seed"]
    return f"{seeds} seed{'s' * (seeds != 1)} after {int(results['round'][-1])} rounds"


def default_title(nodes: int | None, alpha: float | None, batch_size: int | None) -> str:
    """What the default sweep is called."""
    return f"digits on a {nodes or 16}-node ring, Dirichlet({alpha or 0.1:g}), batch {batch_size or 16}"


def account(results: xr.Dataset, experiment: dict[str, Any], seconds: float, resumed: bool) -> str:
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


def read(folder: Path) -> xr.Dataset:
    """The results in a folder: of a store, or of `jaxdec sweep` without one; or in a file, of a run that was saved."""
    if folder.is_file():
        saved = Result.load(folder)
        return labelled({str(saved.attrs["algorithm"]): saved})
    if any((folder / name).exists() for name in ("manifest.json", "manifest.copy.json", "done")):
        return load(folder)
    for path in (folder / "results.zarr", folder):
        if (path / ".zgroup").exists() or (path / "zarr.json").exists():
            check_codecs(path)
            found = xr.open_zarr(path).load()
            return found.rename({name: from_file(str(name)) for name in found.data_vars})
    known = "the --store of a sweep, the folder with its results.zarr, or the file of Result.save"
    raise ValueError(f"{folder} holds no results; give {known}")


def degrees(given: list[str] | None, results: xr.Dataset) -> Any:
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


def only(parts: Any) -> Any:
    """The one problem, or network, that there is."""
    if not isinstance(parts, dict | list):
        return parts
    if len(parts) > 1:
        raise ValueError(f"tune takes one problem and one network; the file has {len(parts)}")
    return next(iter(parts.values())) if isinstance(parts, dict) else parts[0]
