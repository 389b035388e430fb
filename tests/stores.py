"""A small sweep that tests store, and what they do to it."""

import hashlib
import os

import pytest

from jaxdec import algorithms as A
from jaxdec import compressors, networks, problems, sweep
from jaxdec.metrics import consensus, loss
from jaxdec.sweeps import execute

PROBLEM, RING = problems.quadratic(6, 3, noise=0.2), networks.ring(6)
# Random messages, whose bits are counted in the loop, and a state of two arrays.
COMPRESSED = A.ChocoSGD(lr=0.1, consensus_lr=0.3, compressor=compressors.Scaled(compressors.RandP(0.5)))
GRID = [0.05, 0.1, 0.15, 0.2, 0.25]


@pytest.fixture(autouse=True, scope="module")
def one_seed_in_a_unit():
    """So that there are more units than such small runs would make."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(execute, "CPU_FULL", 0)
        yield


def go(path=None, algorithms=None, **change):
    horizon = {"over": {"lr": GRID}, "seeds": 2, "rounds": 6, "every": 3, "metrics": (loss, consensus), "chunk": 2}
    return sweep(algorithms or A.DSGD(lr=0.1), PROBLEM, RING, store=path, **(horizon | {"progress": False} | change))


def contents(path):
    """Digests of all files of a directory."""
    return {
        str(f.relative_to(path)): hashlib.sha256(f.read_bytes()).hexdigest() for f in path.rglob("*") if f.is_file()
    }


def units_run(monkeypatch):
    """A list that grows with each block that is computed."""
    blocks, block = [], execute.Engine.block
    monkeypatch.setattr(execute.Engine, "block", lambda self, *a: blocks.append(a[:2]) or block(self, *a))
    return blocks


def fail_after(monkeypatch, writes, error):
    """From now on so many files are written, and then none."""
    written, fsync = [], os.fsync

    def failing(file):
        written.append(file)
        if len(written) > writes:
            raise error
        fsync(file)

    monkeypatch.setattr(os, "fsync", failing)
