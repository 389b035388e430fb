"""What `run` returns: the last state, the records, what was spent, and what was run."""

import html
import json
import os
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from jaxdec._module import shown
from jaxdec.describe import commit, describe, versions
from jaxdec.results.labels import labelled, usual
from jaxdec.results.plotting import curves
from jaxdec.results.summary import diverged, primary
from jaxdec.storage.places import as_file, from_file
from jaxdec.types import Cost

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FORMAT", "Asked", "Result"]

FORMAT = "jaxdec run 1"


class Asked(NamedTuple):
    """What was run, as it was given, and how long that took."""

    algorithm: Any
    problem: Any
    network: Any
    x0: Any
    seed: int
    every: int
    metrics: Mapping[str, Any]  # by name
    broken_laws: tuple[str, ...]  # of the network, with strict=False
    compile_seconds: float
    run_seconds: float
    stopped: str | None = None  # why it ended early, where a callback asked for that

    def specification(self) -> dict[str, Any]:
        """All that decides what a run computes, but for how many rounds, as JSON."""
        parts = {k: describe(getattr(self, k)) for k in ("algorithm", "problem", "network", "x0", "seed", "every")}
        return {**parts, "metrics": describe(self.metrics), "x64": bool(jnp.result_type(float) == jnp.float64)}

    def attributes(self) -> dict[str, Any]:
        """What is known of a run besides its numbers: texts and numbers alone, as of a sweep."""
        return {
            **{k: type(getattr(self, k)).__name__ for k in ("algorithm", "problem", "network")},
            "seed": self.seed,
            "every": self.every,
            "broken_laws": ", ".join(self.broken_laws),
            "compile_seconds": round(self.compile_seconds, 4),
            "run_seconds": round(self.run_seconds, 4),
            "specification": json.dumps(self.specification()),
            "versions": json.dumps(versions()),
            **({} if self.stopped is None else {"stopped": self.stopped}),
        }


@jax.tree_util.register_dataclass
@dataclass(frozen=True, repr=False)
class Result:
    """One experiment.

    >>> from jaxdec import algorithms, networks, problems, run
    >>> result = run(algorithms.DSGD(lr=0.1), problems.quadratic(8, 3), networks.ring(8), rounds=20, every=10)
    >>> result.attrs["algorithm"], result.attrs["rounds"], result.attrs["diverged"]
    ('DSGD', 20, 0)
    """

    state: Any  # the last state; state.x is the nodes' estimate, (n, d), or (1, d) for a server's model
    metrics: dict[str, Any]  # (records,) each, or (records, n)
    cost: Cost  # (records,) each, cumulative: everything spent up to that record, per node over all nodes
    rounds: np.ndarray  # (records,) the recorded rounds
    origin: Callable[[], dict[str, Any]] = field(default=dict, metadata={"static": True}, repr=False)  # gives `attrs`

    @cached_property
    def attrs(self) -> dict[str, Any]:
        """What was run, by what, for how long, as a sweep's attributes have it.

        `broken_laws` are those that the algorithm requires and the network lacks, `diverged` is 1 where the loss ended
        worse than it began or not finite, `specification` describes all parts as JSON. Data are described by digests,
        which takes time, so that this is computed when it is first asked for.
        """
        dataset = self._dataset({})
        wild = bool(diverged(labelled(dataset), primary(dataset)).any()) if dataset.data_vars else False
        return {"rounds": int(self.rounds[-1]), "diverged": int(wild)} | self.origin()

    def to_xarray(self) -> xr.Dataset:
        """The metrics over the dimension `round` (and `node`), with what was spent as further coordinates."""
        return self._dataset(self.attrs)

    def _dataset(self, attrs: dict[str, Any]) -> xr.Dataset:
        variables = {name: (("round", "node")[: np.ndim(v)], np.asarray(v)) for name, v in self.metrics.items()}
        spent = {name: ("round", v) for name, v in self._spent().items()}
        found = xr.Dataset(variables, {"round": self.rounds, **spent}, attrs)
        return found.set_coords(found.data_vars.keys() & {"seconds"})  # when it was, where events have a time

    def _spent(self) -> dict[str, Any]:
        """What was spent; what is usual, such as that all nodes took part in all rounds, is left out."""
        spent = self.cost._asdict()
        return {name: total for name, total in spent.items() if not usual(name, total, self.rounds)}

    def plot(self, metric: str | None = None, *, x: str = "round", ax: "Axes | None" = None) -> "Axes":
        """A metric against the rounds or what was spent; see `plotting.curves`.

        Args:
            metric: its name; None takes the loss, or else the first there is.
            x: "round", "grads", "vectors", "bits", "bits_down"; "seconds" where events have a time.
            ax: where to draw; None makes a figure.
        """
        return curves(self, metric, x=x, ax=ax)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything to one file, a NumPy archive of arrays and texts. What is there before is replaced.

        Args:
            path: the file; its folder is there. Names end in .npz by custom, and none is appended.
        """
        path = Path(path)
        attrs = {"commit": commit() or ""} | self.attrs
        arrays: dict[str, Any] = {"about": np.array(json.dumps({"format": FORMAT, "attrs": attrs}))}
        arrays |= {"rounds": self.rounds} | {f"metrics/{as_file(k)}": v for k, v in self.metrics.items()}
        arrays |= {f"cost/{k}": v for k, v in self.cost._asdict().items() if v is not None}
        arrays |= {f"state/{_at(where)}": _stored(leaf) for where, leaf in jax.tree.leaves_with_path(self.state)}
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez(file, **arrays)
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Result":
        """What `save` wrote. The state's arrays come back by their paths, such as `state["x"]`: nothing is executed.

        Raises:
            OSError: if there is no such file.
            ValueError: if it is not one that `save` wrote.

        >>> from jaxdec import algorithms, networks, problems, run
        >>> result = run(algorithms.DSGD(lr=0.1), problems.quadratic(8, 3), networks.ring(8), rounds=20, every=10)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     result.save(Path(folder) / "dsgd.npz")
        ...     again = Result.load(Path(folder) / "dsgd.npz")
        >>> again.state["x"].shape, again.attrs["algorithm"]
        ((8, 3), 'DSGD')
        """
        strange = f"{os.fspath(path)} is not a run that Result.save of this version wrote; give the file that it wrote"
        try:
            with np.load(path, allow_pickle=False) as found:
                arrays = {name: found[name] for name in found.files}
            about = json.loads(str(arrays["about"]))
            if about["format"] != FORMAT:
                raise ValueError(f"its format is {about['format']!r}, not {FORMAT!r}")
            of = lambda kind: {k.removeprefix(kind): a for k, a in arrays.items() if k.startswith(kind)}
            attrs = dict(about["attrs"])
            metrics = {from_file(name): values for name, values in of("metrics/").items()}
            return cls(of("state/"), metrics, Cost(**of("cost/")), arrays["rounds"], lambda: attrs)
        except (ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"{strange} ({error})") from error

    __repr__ = shown

    def _repr_html_(self) -> str:
        """What a notebook shows: what was run, how it ended, what it took; then the dataset."""
        about, last = self.attrs, {k: v[-1] for k, v in self.metrics.items() if np.ndim(v) == 1}
        spent = {k: v[-1] for k, v in self._spent().items()}
        rows = {k: about[k] for k in ("algorithm", "problem", "network", "seed", "rounds") if k in about}
        rows |= {"without": about["broken_laws"]} if about.get("broken_laws") else {}
        rows |= {f"{k} at the end": f"{float(v):.4g}" for k, v in last.items()}
        rows |= {f"{k} per node": f"{float(v):,.0f}" for k, v in spent.items()}
        cells = "".join(
            f"<tr><th style='text-align:left'>{html.escape(k)}</th><td>{html.escape(str(v))}</td></tr>"
            for k, v in rows.items()
        )
        return f"<table>{cells}</table>{self.to_xarray()._repr_html_()}"


def _at(path: tuple[Any, ...]) -> str:
    """A leaf's place in the state, such as `x` or `memory.h.0`."""
    return jax.tree_util.keystr(path, simple=True, separator=".")


def _stored(leaf: Any) -> np.ndarray:
    """A leaf as a file of NumPy can hold it: keys as their integers, short floats as float32."""
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    leaf = np.asarray(leaf)
    return leaf.astype(np.float32) if leaf.dtype.kind == "V" else leaf
