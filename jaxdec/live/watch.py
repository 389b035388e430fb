"""Those who are told of new records."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxdec import checks
from jaxdec.live.seen import Callback, Seen
from jaxdec.live.stop import Stop
from jaxdec.types import Cost

__all__ = ["Watch", "watch"]


class Watch(NamedTuple):
    """Those who are told of new records, and every how many rounds."""

    callbacks: tuple[Callback, ...]
    stretch: int | None  # None is to be chosen

    def tell(
        self,
        labels: Iterable[Mapping[str, Any]],
        seeds: Iterable[int],
        t: int,
        every: int,
        total: int,
        records: Mapping[str, Any],
        axes: tuple[int, ...] = (),
    ) -> str | None:
        """Tell all of the records until round t, of metrics and costs; why to stop, if one of them says so.

        Args:
            labels: of each configuration.
            seeds: of the runs.
            t: the round of the last record.
            every: the stride of the records.
            total: the last round that there is to be.
            records: of metrics and costs by name, (*axes, records, ...); costs may be without the axes.
            axes: those in front of the records: how many seeds, and how many configurations.

        Raises:
            TypeError: if a callback gives back what is neither an answer nor nothing.
        """
        if not self.callbacks:
            return None
        count = np.shape(records["grads"])[-1]
        spent: Any = Cost._make(_readable(np.broadcast_to(records[name], (*axes, count))) for name in Cost._fields)
        metrics = {name: _readable(a) for name, a in records.items() if name not in Cost._fields}
        rounds = _readable(np.arange(t - (count - 1) * every, t + 1, every))
        seen = Seen(tuple(map(dict, labels)), tuple(seeds), rounds, metrics, spent, total)
        return next(filter(None, [_answer(callback, callback(seen)) for callback in self.callbacks]), None)


def watch(callback: Any, stretch: Any, every: int, names: Iterable[str]) -> Watch:
    """The callbacks that were given, checked.

    Args:
        callback: one, several, or None.
        stretch: every how many rounds they are called; None is to be chosen.
        every: the stride of the records.
        names: of the metrics that are recorded.

    Raises:
        TypeError: if something is no function of what is seen.
        ValueError: if one needs a metric that is not recorded, or the stretch is not a multiple of `every`.
    """
    given = () if callback is None else (callback,) if callable(callback) else callback
    if not isinstance(given, tuple | list) or not all(map(callable, given)):
        raise TypeError(f"callback is a function of the records that are new, or a list of such; got {callback!r}")
    for one in given:
        if isinstance(one, Stop):
            one.check(names)
    if stretch is not None and not given:
        raise ValueError(f"callback_every={stretch} says when to call, and callback not what; give a callback")
    return Watch(tuple(given), None if stretch is None else checks.multiple("callback_every", stretch, every))


def _readable(a: Any) -> np.ndarray:
    """An array that a callback can read and not change."""
    seen = np.asarray(a).view()
    seen.flags.writeable = False
    return seen


def _answer(callback: Any, said: Any) -> str | None:
    if isinstance(said, str) and said:
        return said
    if said is None or isinstance(said, bool | np.bool_):
        return f"{callback!r} asked to stop" if said else None
    raise TypeError(
        f"a callback gives True or a reason to stop, and None or False to go on; {callback!r} gave {said!r}"
    )
