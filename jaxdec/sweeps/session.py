"""A sweep under way: which units are run, in what order, and where their results are kept."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import xarray as xr
from rich.console import Console

from jaxdec import costs
from jaxdec.live.seen import Stopped
from jaxdec.live.watch import Watch
from jaxdec.loop import Carry, joined
from jaxdec.storage.files import Arrays, pack, unpack
from jaxdec.storage.places import located
from jaxdec.storage.segments import SoFar, advance
from jaxdec.storage.segments import length as segment_length
from jaxdec.sweeps import devices
from jaxdec.sweeps.execute import STORED_SEEDS, Engine, Horizon
from jaxdec.sweeps.layout import Layout, Shape, Unit
from jaxdec.sweeps.manifest import Manifest, assemble, attributes
from jaxdec.sweeps.plan import Cell, Group
from jaxdec.sweeps.progress import Display
from jaxdec.sweeps.stopping import Terminated, terminable
from jaxdec.sweeps.store import Store
from jaxdec.types import Cost

__all__ = ["Kept", "Lost", "Session", "shared"]

PAUSE = 1.0  # seconds between two looks at what other processes have done


class Lost(Exception):
    """A unit that another process has taken over, since this one gave no sign of life for long."""


class Session:
    """A sweep under way: its units one after the other, into memory or into a store.

    A unit that is stored is run in at most ten segments of equal length, whose program is compiled once; that of the
    first is made of a start and of rounds. Where a unit takes long, what it has is kept after a segment, so that a kill
    loses that much and no more; where it does not, no file is written that its results do not need. Without a store a
    unit is one segment.

    Of several sessions on one store each runs the units that no other has claimed, and then waits for theirs.
    """

    def __init__(
        self, groups: list[Group], asked: Manifest, mesh: Any, metrics: Any, paired: bool, store: Any, watch: Watch
    ):
        self.groups, self.mesh, self.metrics, self.paired = groups, mesh, metrics, paired
        self.watch = watch
        self.memory: dict[Unit, Arrays] = {}
        self.seconds = (0.0, 0.0)
        self.how: set[str] = set()
        self.store: Any = None  # in process 0, where there is one
        self.stored = store is not None
        self.manifest = self.asked = asked
        self.path = located(store) if store is not None else None

        def opened() -> Any:
            self.store = Store(self.path or Path(), asked)
            return self.store.extend(asked).to_json()

        if self.stored:
            self.manifest = Manifest.from_json(devices.agree(opened))

    @property
    def layout(self) -> Layout:
        """The layout of what was asked for."""
        return self.manifest.layout

    def run(self, progress: bool | None, limit: int | None, chunk: int | None) -> xr.Dataset:
        """Run what is to be run; the dataset of what was asked for."""
        runs = sum(len(group.cells) for group in self.groups) * len(self.asked.layout.seeds)
        show = progress if jax.process_index() == 0 else False
        engines = [Engine(group, self.asked.layout.seeds, self.paired, self.mesh) for group in self.groups]
        with self._told(), Display(show, runs, len(self.groups), self.layout.rounds[-1]) as display:
            go = lambda: sum(self._units(g, engine, display, limit, chunk) for g, engine in enumerate(engines))
            go()
            while (found := self._found(display)) is None:
                if not go():
                    time.sleep(PAUSE)
            return found

    def _units(self, g: int, engine: Engine, display: Display, limit: int | None, chunk: int | None) -> int:
        """Run the units of a group that are to be run and that no other process has claimed; how many these were."""
        display.program(g + 1, self.groups[g].label)
        if self.layout.programs[g].shape is None:
            self._fit(g, engine, limit, chunk)
        todo = self._todo(g)
        if todo and not engine.shape.cells:
            self._fit(g, engine, limit, chunk)
        self._there(g, todo, display)
        count = 0
        for k, unit in enumerate(todo):
            display.chunk(k + 1, len(todo))
            if self.stored and not devices.agree(lambda unit=unit: self.store.begin(unit)):
                continue
            self._look()
            with suppress(Lost):
                self._unit(unit, engine, display)
            count += 1
            if self.stored:
                devices.agree(lambda unit=unit: self.store.end(unit))
        engine.release()
        return count

    def _todo(self, g: int) -> list[Unit]:
        """The units of a group that are still to be run."""
        if self.stored:
            return [Unit(*unit) for unit in devices.agree(lambda: self.store.todo(g))]
        return [unit for unit in self.layout.units(g) if unit not in self.memory]

    def _look(self) -> None:
        """Take note of what other sessions have changed in the store."""
        if self.stored and jax.process_count() == 1:
            self.manifest = self.store.of_sweep(self.asked)
        elif self.stored:
            self.manifest = Manifest.from_json(devices.agree(lambda: self.store.of_sweep(self.asked).to_json()))

    def _there(self, g: int, todo: list[Unit], display: Display) -> None:
        """Show what there is of a group: what others have run is not ours to count."""
        sizes = lambda units: sum(
            int(np.prod(self.layout.size(u))) * (self.layout.stretch(u.stretch)[1] - self.layout.stretch(u.stretch)[0])
            for u in units
        )
        display.there(g, sizes(self.layout.units(g)) - sizes(todo))

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Where a sweep with a store is stopped, say what is stored and how to go on; and give up all claims."""
        if not self.stored:
            yield
            return
        try:
            with terminable():
                yield
        except (KeyboardInterrupt, Terminated):
            if self.store is not None:
                units = [unit for g, p in enumerate(self.layout.programs) if p.shape for unit in self.layout.units(g)]
                there = sum(self.store.marked(unit) for unit in units)
                said = f"stopped: {there} of {len(units)} chunks are stored in {self.path}; the same call goes on"
                Console(stderr=True).print(said, markup=False, highlight=False, soft_wrap=True)
            raise
        finally:
            if self.store is not None:
                self.store.close()

    def _horizon(self, rounds: int, whole: bool) -> Horizon:
        """Of a segment, which may be the whole of a unit and then needs no state for a next one."""
        states = self.manifest.states or not whole
        return Horizon(rounds, self.layout.every, self.metrics, self.paired, states)

    def _length(self, rounds: int) -> int:
        if self.watch.stretch:
            return self.watch.stretch
        return segment_length(rounds, self.layout.every) if self.stored or self.watch.callbacks else rounds

    def _fit(self, g: int, engine: Engine, limit: int | None, chunk: int | None) -> None:
        """The shape of a group's units, kept where there is a store, and how much of one to run at once."""
        known = self.layout.programs[g]
        shape, at_once = known.shape, known.at_once
        if shape is None or at_once is None or chunk or limit:
            allowed = limit or devices.agree(lambda: devices.free(self.mesh))
            rounds = self.layout.rounds[0]
            resumed = self._length(rounds) < rounds
            horizon = self._horizon(self._length(rounds), whole=not resumed)
            most = STORED_SEEDS if self.stored else len(self.layout.seeds)
            strict = limit is not None
            fit = engine.fit(horizon, chunk=chunk, limit=allowed, strict=strict, resumed=resumed, most=most)
            shape = shape or fit
            at_once = Shape(*map(min, fit, at_once or shape))
        self._shaped(g, shape, at_once)
        engine.shape = self.layout.programs[g].at_once or at_once

    def _shaped(self, g: int, shape: Shape, at_once: Shape) -> None:
        if self.stored:
            shape, at_once = (Shape(*of) for of in devices.agree(lambda: self.store.shaped(g, shape, at_once)))
        self.manifest = replace(self.manifest, layout=self.layout.with_shape(g, shape, at_once))

    def _unit(self, unit: Unit, engine: Engine, display: Display) -> None:
        """Run a unit, from the start or from the states of the one before, and keep what it gives."""
        layout, size, runs = self.layout, self.layout.size(unit), self.layout.runs(unit)
        which, seeds = layout.cells_of(unit), layout.seeds[layout.seeds_of(unit)]
        cells, (begin, end) = range(which.start, which.stop), layout.stretch(unit.stretch)
        length, d = self._length(end - begin), self.groups[unit.group].cells[0].experiment[1].d
        display_rounds = lambda rounds: display.rounds_done(size.cells * size.seeds * rounds)
        before = self._before(unit, engine) if unit.stretch else None

        def piece(t: int, more: int, so_far: SoFar | None) -> tuple[dict[str, Any], list[Any]]:
            carry, past = before or (None, None)
            past: dict[str, Any] | None
            if so_far is not None:
                carry = engine.carry(so_far.state, size, f"partial/{unit}")
                spent = {name: so_far.records[name] for name in Cost._fields}
                past = spent if past is None else _ends(past, spent)
            horizon = self._horizon(more, whole=more == end - begin)
            if carry is None and more < end:
                start = engine.block(cells, seeds, horizon._replace(rounds=0))
                trace = joined(start, engine.block(cells, seeds, horizon, (0, start.carry)), axis=2)
            else:
                trace = engine.block(cells, seeds, horizon, None if carry is None else (t, carry))
            display_rounds(more)
            until = (t, Cost._make(past[name] for name in Cost._fields)) if past else None
            spent = costs.total(trace.start, trace.spent, more, layout.every, d, until)
            return {**trace.metrics, **spent._asdict()}, jax.tree.leaves(trace.carry)

        kept = None
        if self.stored and length < end - begin:
            kept = Kept(self.store and self.store.partial(unit, runs), end, lambda: self._mine(unit))
            if (there := kept.last()) is not None:
                display_rounds(there.t - begin)
        tell = lambda new: self._tell(self.groups[unit.group].cells[which], seeds, size, new)
        done, _ = advance(piece, kept, begin=begin, end=end, length=length, tell=tell)
        program = layout.programs[unit.group]
        if engine.shape != program.at_once:
            self._shaped(unit.group, program.shape or engine.shape, engine.shape)
        seconds = engine.seconds()
        self.seconds = self.seconds[0] + seconds[0], self.seconds[1] + seconds[1]
        self.how.add(engine.how)
        if self.stored:
            state = done.state if self.manifest.states else None
            self._mine(unit)
            devices.agree(lambda: self.store.write(unit, runs, done.records, state, seconds, engine.how))
        else:
            self.memory[unit] = done.records
        if metrics := [name for name in done.records if name not in Cost._fields]:
            metric = "loss" if "loss" in metrics else metrics[0]
            names = [cell.name for cell in self.groups[unit.group].cells[which]]
            display.done(names, done.records, metric, seconds)

    def _tell(self, cells: Sequence[Cell], seeds: Sequence[int], size: Shape, new: SoFar) -> None:
        """Tell the callbacks of new records, in process 0; end here if one asks to stop."""
        if not self.watch.callbacks:
            return
        labels = [{"configuration": cell.name} | cell.labels for cell in cells]
        of, axes = self.layout, (size.seeds, size.cells)
        tell = lambda: self.watch.tell(labels, seeds, new.t, of.every, of.rounds[-1], new.records, axes)
        if reason := devices.agree(tell):
            raise Stopped(f"{reason}; a sweep has runs of one length, and ends here without a result")

    def _mine(self, unit: Unit) -> None:
        if not devices.agree(lambda: self.store.mine(unit)):
            raise Lost

    def _before(self, unit: Unit, engine: Engine) -> tuple[Carry, dict[str, Any]]:
        """What a unit goes on from: its runs' carry, and what had been spent at round 0 and until then."""
        first, before = unit._replace(stretch=0), unit._replace(stretch=unit.stretch - 1)
        leaves = shared(lambda: self.store.state(before))
        past = shared(lambda: _ends(self.store.of(first), self.store.of(before)))
        return engine.carry(list(leaves.values()), self.layout.size(unit), f"states/{before}"), past

    def _found(self, display: Display) -> xr.Dataset | None:
        """The dataset of what was asked for, in every process; None where units are missing that others run."""
        if self.stored:
            devices.agree(lambda: self.store.look())
            self._look()
        left = sum(len(self._todo(g)) for g in range(len(self.groups)))
        found = [] if left else self._read() if self.stored else list(self.memory.items())
        if left or len(found) < sum(len(self.layout.units(g)) for g in range(len(self.groups))):
            display.waiting(left)
            return None
        dataset = assemble(self.layout, found).sel(seed=list(self.asked.layout.seeds))
        how = set(devices.agree(lambda: sorted(self.store.took()[1]))) if self.stored else self.how
        return dataset.assign_attrs(attributes(self.manifest, dataset, self.seconds, how))

    def _read(self) -> list[tuple[Unit, Arrays]]:
        """The units that are stored with their arrays."""
        if jax.process_count() == 1:
            return list(self.store.read())
        flat = lambda: {f"{u.name}/{k}": a for u, arrays in self.store.read() for k, a in arrays.items()}
        found: dict[Unit, Arrays] = {}
        for key, array in shared(flat).items():
            place, _, variable = key.partition("/")
            unit: Any = Unit.parse(place)
            found.setdefault(unit, {})[variable] = array
        return list(found.items())


class Kept:
    """Where the segments of a unit are kept: process 0 does, and all get what it read."""

    def __init__(self, partial: Any, end: int, check: Callable[[], None]):
        self.partial, self.end, self.check = partial, end, check

    def last(self) -> SoFar | None:
        def read() -> Arrays:
            found = self.partial.last()
            if found is None:
                return {}
            state = {f"state/{k}": leaf for k, leaf in enumerate(found.state)}
            return {"t": np.asarray(found.t), **state, **{f"records/{k}": a for k, a in found.records.items()}}

        found = shared(read)
        of = lambda kind: {k.partition("/")[2]: a for k, a in found.items() if k.startswith(kind)}
        return SoFar(int(found["t"]), of("records/"), list(of("state/").values())) if found else None

    def due(self, t: int) -> bool:
        """Where a unit is whole it is stored as such."""
        return t < self.end and devices.agree(lambda: self.partial.due())

    def add(self, begin: int, new: SoFar) -> None:
        self.check()
        devices.agree(lambda: self.partial.add(begin, new))


def _ends(first: Arrays, last: Arrays) -> dict[str, Any]:
    """What had been spent at the first record of the one, and at the last of the other."""
    return {name: np.concatenate([first[name][..., :1], last[name][..., -1:]], -1) for name in Cost._fields}


def shared(produce: Callable[[], Arrays]) -> Arrays:
    """The arrays that process 0 produces, in every process."""
    return produce() if jax.process_count() == 1 else unpack(devices.share(lambda: pack(produce())))
