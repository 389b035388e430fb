"""What was chosen among swept values, in words: the values, by which metric, and whether they are at the edge."""

import json
import re
from collections.abc import Mapping, Sequence

import xarray as xr

from jaxdec.results.texts import titled

__all__ = ["Grids", "beside", "marked", "named", "of_the_test_set", "said"]

Grids = Mapping[str, list[float] | None]  # by algorithm, the ends of its values; None where they are no numbers
_BY, _GRIDS = "chosen_by", "grids"  # attributes of the coordinates that have the chosen values


def of_the_test_set(metric: str) -> bool:
    """Whether a metric is measured on the test set, by which nothing is to be chosen that is judged by it.

    >>> of_the_test_set("node_test_accuracy"), of_the_test_set("loss")
    (True, False)
    """
    return re.match(r"(node_)?test_", metric) is not None


def marked(chosen: xr.Dataset, grids: Mapping[str, Grids], by: str) -> xr.Dataset:
    """The dataset whose coordinates of these names say that they were chosen, by which metric, among which values."""
    told = {name: {_BY: by, _GRIDS: json.dumps(of)} for name, of in grids.items()}
    return chosen.assign_coords({name: chosen[name].assign_attrs(about) for name, about in told.items()})


def named(one: xr.Dataset, label: str) -> str:
    """The values that were chosen for an algorithm, to stand behind its label; a star is at the edge of what was run.

    >>> one = marked(xr.Dataset(coords={"lr": 0.1}), {"lr": {"K-GT": [0.1, 1.0]}}, "loss")
    >>> named(one, "K-GT"), named(one, "DSGD")
    (', lr 0.1*', '')
    """
    found = ""
    for name, value in one.coords.items():
        grids = json.loads(value.attrs.get(_GRIDS, "{}"))
        if value.ndim == 0 and label in grids:
            v, ends = value.item(), grids[label]
            edge = ends is not None and v in ends
            found += f", {name} {f'{v:g}' if isinstance(v, float) else v}{'*' * edge}"
    return found


def beside(label: str, values: Sequence[str]) -> str:
    """A label with what was chosen in each of some panels.

    >>> beside("K-GT", [", lr 0.1*", ", lr 0.3"]), beside("K-GT", [", lr 0.3", ", lr 0.3"])
    ('K-GT, lr 0.1* | lr 0.3', 'K-GT, lr 0.3')
    """
    if len(set(values)) == 1:
        return label + values[0]
    if len(values) > 4:
        return label
    return f"{label}, {' | '.join(value.removeprefix(', ') for value in values)}"


def said(dataset: xr.Dataset) -> str:
    """By what values were chosen, and what a star beside them means; nothing where nothing was chosen."""
    chosen = [c for c in dataset.coords.values() if _BY in c.attrs and c.attrs.get(_GRIDS, "{}") != "{}"]
    by = sorted({str(c.attrs[_BY]) for c in chosen})
    if not by:
        return ""
    test = ", on the test set" * any(map(of_the_test_set, by))
    return f"best by {', '.join(map(titled, by))}{test}" + "; *: at the edge of the grid" * any(map(_at_edge, chosen))


def _at_edge(values: xr.DataArray) -> bool:
    """Whether any of the chosen values is at the edge of its algorithm's grid."""
    several = "algorithm" in values.dims
    of = lambda label: values.sel(algorithm=label) if several else values
    there = {label: ends for label, ends in json.loads(values.attrs[_GRIDS]).items() if ends}
    there = {k: ends for k, ends in there.items() if not several or k in values["algorithm"].values}
    return any(bool(of(label).isin(ends).any()) for label, ends in there.items())
