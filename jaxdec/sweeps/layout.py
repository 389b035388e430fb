"""How a sweep is laid out: its dimensions, where its cells stand, and in units of which shape they are run."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

__all__ = ["Index", "Layout", "Program", "Shape", "Unit"]


class Unit(NamedTuple):
    """What is stored as a whole: a chunk of a group's cells by a block of seeds, over a stretch of rounds."""

    group: int
    stretch: int  # 0 unless a stored sweep was extended by more rounds
    chunk: int
    block: int

    @classmethod
    def parse(cls, name: str) -> "Unit | None":
        """The unit of a name, or None where it is none's."""
        parts = name.split(".")
        return cls(*map(int, parts)) if len(parts) == 4 and all(part.isdecimal() for part in parts) else None

    @property
    def name(self) -> str:
        return ".".join(map(str, self))


class Shape(NamedTuple):
    """How much is run together: every call of a group's program has this shape, the last ones being padded."""

    cells: int
    seeds: int


Index = tuple[int, ...]


@dataclass(frozen=True)
class Program:
    """The cells of one compiled program."""

    label: str
    cells: Mapping[str, tuple[Index, ...]]  # where each stands along the dimensions, by its name
    shape: Shape | None = None  # of its units; None until that is decided
    at_once: Shape | None = None  # how much of a unit is run at once

    @property
    def places(self) -> list[tuple[Index, ...]]:
        return list(self.cells.values())


@dataclass(frozen=True)
class Layout:
    """The layout of a sweep. Nothing in it changes: what extends it is a new one."""

    dimensions: Mapping[str, int]
    coordinates: Mapping[str, Any]  # for each name its dims and values
    every: int
    rounds: tuple[int, ...]  # where each stretch ends
    seeds: tuple[int, ...]
    programs: tuple[Program, ...]

    def units(self, group: int) -> list[Unit]:
        """All units of a group, each after those it goes on from."""
        program = self.programs[group]
        chunks = -(-len(program.cells) // _shape(program).cells)
        blocks = -(-len(self.seeds) // _shape(program).seeds)
        stretches = range(len(self.rounds))
        return [Unit(group, k, c, b) for c in range(chunks) for b in range(blocks) for k in stretches]

    def cells_of(self, unit: Unit) -> slice:
        """The cells of a unit, among its group's."""
        program = self.programs[unit.group]
        size = _shape(program).cells
        return slice(unit.chunk * size, min((unit.chunk + 1) * size, len(program.cells)))

    def seeds_of(self, unit: Unit) -> slice:
        """The seeds of a unit, among all."""
        size = _shape(self.programs[unit.group]).seeds
        return slice(unit.block * size, min((unit.block + 1) * size, len(self.seeds)))

    def size(self, unit: Unit) -> Shape:
        """How many cells and seeds a unit has."""
        cells, seeds = self.cells_of(unit), self.seeds_of(unit)
        return Shape(cells.stop - cells.start, seeds.stop - seeds.start)

    def stretch(self, k: int) -> tuple[int, int]:
        """The rounds of a stretch: after which it begins, and where it ends."""
        return (self.rounds[k - 1] if k else 0), self.rounds[k]

    def records(self, k: int) -> slice:
        """The records of a stretch, among all; round 0 belongs to the first."""
        begin, end = self.stretch(k)
        return slice(begin // self.every + 1 if k else 0, end // self.every + 1)

    def runs(self, unit: Unit) -> dict[str, Any]:
        """The runs of a unit: its cells, in short, its seeds, and after which rounds it begins and ends."""
        names = list(self.programs[unit.group].cells)[self.cells_of(unit)]
        cells = hashlib.sha256(json.dumps(names).encode()).hexdigest()
        return {
            "cells": cells,
            "seeds": list(self.seeds[self.seeds_of(unit)]),
            "rounds": list(self.stretch(unit.stretch)),
        }

    def with_shape(self, group: int, shape: Shape, at_once: Shape) -> "Layout":
        """The layout where the units of a group have a shape, of which so much is run at once."""
        programs = list(self.programs)
        programs[group] = replace(programs[group], shape=shape, at_once=at_once)
        return replace(self, programs=tuple(programs))

    def extended(self, asked: "Layout") -> "Layout":
        """The layout with room for the seeds and rounds of another one, of the same sweep."""
        seeds = self.seeds + tuple(seed for seed in asked.seeds if seed not in self.seeds)
        rounds = self.rounds + asked.rounds[-1:] * (asked.rounds[-1] > self.rounds[-1])
        return replace(self, seeds=seeds, rounds=rounds)

    def until(self, stretches: int) -> "Layout":
        """The layout of the first stretches alone."""
        return replace(self, rounds=self.rounds[:stretches])

    def arranged(self, asked: "Layout") -> "Layout":
        """The layout with the dimensions and places of another one, which names things in another order."""
        programs = tuple(
            replace(new, shape=old.shape, at_once=old.at_once)
            for old, new in zip(self.programs, asked.programs, strict=True)
        )
        return replace(self, dimensions=asked.dimensions, coordinates=asked.coordinates, programs=programs)

    def to_json(self) -> dict[str, Any]:
        """What JSON can hold of the layout, which is all; lists where an order means something."""
        group = lambda p: {
            "program": p.label,
            "shape": p.shape and list(p.shape),
            "at_once": p.at_once and list(p.at_once),
            "cells": [
                {"cell": k, "name": name, "places": [list(place) for place in places]}
                for k, (name, places) in enumerate(p.cells.items())
            ],
        }
        return {
            "dimensions": [list(item) for item in self.dimensions.items()],
            "coordinates": [list(item) for item in self.coordinates.items()],
            "every": self.every,
            "rounds": list(self.rounds),
            "seeds": list(self.seeds),
            "groups": [group(program) for program in self.programs],
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> "Layout":
        """The layout that `to_json` gave.

        Raises:
            KeyError: if something is missing.
            ValueError: if cells are not where they say that they are.
        """
        shape = lambda sizes: sizes and Shape(*sizes)
        programs = tuple(
            Program(
                group["program"],
                {cell["name"]: tuple(map(tuple, cell["places"])) for cell in _in_order(group["cells"])},
                shape(group["shape"]),
                shape(group["at_once"]),
            )
            for group in found["groups"]
        )
        sizes = dict(found["dimensions"]), dict(found["coordinates"]), found["every"]
        return cls(*sizes, tuple(found["rounds"]), tuple(found["seeds"]), programs)


def _in_order(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if [cell["cell"] for cell in cells] != list(range(len(cells))):
        raise ValueError("cells are in another order than that of their numbers")
    return cells


def _shape(program: Program) -> Shape:
    if program.shape is None:
        raise ValueError(f"the units of {program.label} have no shape yet")
    return program.shape
