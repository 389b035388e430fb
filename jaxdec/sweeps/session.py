"""A sweep under way: which units are run, in what order, and where their results are kept."""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxdec.loop import Trace, total_cost
from jaxdec.sweeps import devices, manifest
from jaxdec.sweeps.execute import Engine, Horizon, Shape
from jaxdec.sweeps.manifest import Arrays, Unit
from jaxdec.sweeps.plan import Group
from jaxdec.sweeps.progress import Display
from jaxdec.sweeps.store import Store
from jaxdec.types import Cost


class Session:
    """A sweep under way: its units one after the other, into memory or into a store."""

    def __init__(self, groups: list[Group], facts: Any, mesh: Any, metrics: Any, paired: bool, store: Any):
        self.groups, self.mesh, self.metrics, self.paired = groups, mesh, metrics, paired
        self.memory: dict[Unit, Arrays] = {}
        self.seconds = (0.0, 0.0)
        self.store: Any = None  # in process 0, where there is one
        self.stored = store is not None

        def opened() -> Any:
            self.store = Store(Path(store), facts)
            return self.store.extend(facts)

        self.facts = devices.agree(opened) if self.stored else facts

    def run(self, progress: bool | None, limit: int | None, chunk: int | None) -> None:
        """Run what is to be run."""
        runs = sum(len(group.cells) for group in self.groups) * len(self.facts["seeds"])
        show = progress if jax.process_index() == 0 else False
        with Display(show, runs, len(self.groups), self.facts["rounds"][-1]) as display:
            for g, group in enumerate(self.groups):
                engine = Engine(group, self.facts["seeds"], self.paired, self.mesh)
                self._shape(g, engine, limit, chunk)
                every = manifest.units(self.facts, g)
                todo = [Unit(*u) for u in devices.agree(lambda g=g: self.store.todo(g))] if self.stored else every
                there = sum(
                    self._runs(u) for u in every if u.segment == len(self.facts["rounds"]) - 1 and u not in todo
                )
                display.program(g + 1, group.label, there)
                for k, unit in enumerate(todo):
                    display.chunk(k + 1, len(todo))
                    self._unit(unit, engine, display)

    def _runs(self, unit: Unit) -> int:
        cells, seeds = manifest.cells_of(self.facts, unit), manifest.seeds_of(self.facts, unit)
        return (cells.stop - cells.start) * (seeds.stop - seeds.start)

    def _horizon(self, segment: int) -> Horizon:
        begin, end = manifest.stretch(self.facts, segment)
        return Horizon(end - begin, self.facts["every"], self.metrics, self.paired, self.facts["states"])

    def _shape(self, g: int, engine: Engine, limit: int | None, chunk: int | None) -> None:
        """The shape of a group's units, kept where there is a store, and how much of one to run at once."""
        known = self.facts["groups"][g]
        if known["shape"] is None or chunk or limit:
            allowed = limit or devices.agree(lambda: devices.free(self.mesh))
            fit = engine.fit(self._horizon(0), chunk=chunk, limit=allowed, strict=limit is not None)
            shape = known["shape"] or list(fit)
            known |= {
                "shape": shape,
                "at_once": [min(a, b) for a, b in zip(fit, known.get("at_once", shape), strict=True)],
            }
        engine.shape = Shape(*known["at_once"])
        self._keep_shape(g)

    def _keep_shape(self, g: int) -> None:
        known = self.facts["groups"][g]
        if self.stored:
            devices.agree(lambda: self.store.shaped(g, known["shape"], known["at_once"]))

    def _unit(self, unit: Unit, engine: Engine, display: Display) -> None:
        """Run a unit, from the start or from the states of the one before, and keep what it gives."""
        cells, seeds = manifest.cells_of(self.facts, unit), manifest.seeds_of(self.facts, unit)
        before = unit._replace(segment=unit.segment - 1)
        since = (manifest.stretch(self.facts, unit.segment)[0], self._state(before, engine)) if unit.segment else None
        trace = engine.block(
            range(cells.start, cells.stop), self.facts["seeds"][seeds], self._horizon(unit.segment), since
        )
        if list(engine.shape) != self.facts["groups"][unit.group]["at_once"]:
            self.facts["groups"][unit.group]["at_once"] = list(engine.shape)
            self._keep_shape(unit.group)
        metrics: Arrays = dict(trace.metrics)  # type: ignore[arg-type]
        seconds = engine.seconds()
        self.seconds = self.seconds[0] + seconds[0], self.seconds[1] + seconds[1]

        def store() -> None:
            past = self._past(unit) if unit.segment else None
            arrays = metrics | self._spent(unit, trace, past)
            state = jax.tree.leaves(trace.carry) if self.facts["states"] else None
            self.store.write(unit, arrays, state, seconds)

        if self.stored:
            devices.agree(store)
        else:
            self.memory[unit] = metrics | self._spent(unit, trace, None)
        if metrics:
            metric = "loss" if "loss" in metrics else next(iter(metrics))
            names = [cell.name for cell in self.groups[unit.group].cells[cells]]
            begin, end = manifest.stretch(self.facts, unit.segment)
            display.advance(names, end - begin, metrics, metric, seconds)

    def _state(self, unit: Unit, engine: Engine) -> Any:
        """The last states of a unit, leaves (seeds, cells, ...)."""
        data = devices.share(lambda: self.store.state(unit))
        cells, seeds = manifest.cells_of(self.facts, unit), manifest.seeds_of(self.facts, unit)
        leaves, structure = jax.tree.flatten(engine.states(self._horizon(0)))
        found, offset = [], 0
        for leaf in leaves:
            shape = (seeds.stop - seeds.start, cells.stop - cells.start, *leaf.shape)
            size = int(np.prod(shape)) * leaf.dtype.itemsize
            found.append(np.frombuffer(data[offset : offset + size], leaf.dtype).reshape(shape))
            offset += size
        return jax.tree.unflatten(structure, found)

    def _past(self, unit: Unit) -> Cost:
        """What had been spent at round 0, and when the unit before ended."""
        first, last = (self.store.arrays(unit._replace(segment=k)) for k in (0, unit.segment - 1))
        return Cost._make(np.concatenate([first[k][..., :1], last[k][..., -1:]], axis=-1) for k in Cost._fields)

    def _spent(self, unit: Unit, trace: Trace, past: Cost | None) -> Arrays:
        begin, end = manifest.stretch(self.facts, unit.segment)
        d = self.groups[unit.group].cells[0].experiment[1].d
        since = None if past is None else (begin, past)
        spent = total_cost(trace, end - begin, self.facts["every"], d, since)._asdict()
        if clash := set(spent) & set(trace.metrics):
            raise ValueError(
                f"a metric cannot be called {', '.join(clash)}, which is what was spent; name it otherwise"
            )
        return spent

    def found(self) -> list[tuple[Unit, Arrays]]:
        """All units with their arrays, in every process."""
        if not self.stored:
            return list(self.memory.items())
        if jax.process_count() == 1:
            return list(self.store.read())
        there = list(self.store.read()) if self.store is not None else []
        heads = devices.agree(lambda: [[u, {k: [a.dtype.name, a.shape] for k, a in of.items()}] for u, of in there])
        data = devices.share(
            lambda: b"".join(np.ascontiguousarray(a).tobytes() for _, of in there for a in of.values())
        )
        found, offset = [], 0
        for unit, arrays in heads:
            of = {}
            for name, (dtype, shape) in arrays.items():
                size = int(np.prod(shape)) * np.dtype(dtype).itemsize
                of[name] = np.frombuffer(data[offset : offset + size], dtype).reshape(shape)
                offset += size
            found.append((Unit(*unit), of))
        return found
