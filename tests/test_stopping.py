"""Sweeps that are stopped: they say what is stored and how to go on, and end as signals have programs end."""

import os
import signal
import subprocess
import sys
import time

import pytest
from stores import PROBLEM, RING, go, one_seed_in_a_unit
from typer.testing import CliRunner

from jaxdec import algorithms as A
from jaxdec import cli, run
from jaxdec.metrics import loss
from jaxdec.sweeps import execute

__all__ = ["one_seed_in_a_unit"]  # a fixture of all tests here

SPEC = """
rounds = 200
every = 100
seeds = 20000
metrics = ["consensus"]
[algorithms.DSGD]
type = "DSGD"
lr = 0.1
[problem]
type = "quadratic"
n = 6
d = 3
noise = 0.1
[network]
type = "ring"
n = 6
"""


def stopping(monkeypatch, after, stop):
    blocks, block = [], execute.Engine.block

    def counted(self, *a):
        blocks.append(a)
        if len(blocks) > after:
            stop()
        return block(self, *a)

    monkeypatch.setattr(execute.Engine, "block", counted)


def interrupt():
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("stop", "error"), [(interrupt, KeyboardInterrupt), (lambda: os.kill(os.getpid(), signal.SIGTERM), SystemExit)]
)
def test_a_sweep_that_is_stopped_says_what_is_stored_and_gives_up_its_claims(
    tmp_path, monkeypatch, capsys, stop, error
):
    with monkeypatch.context() as patch:
        stopping(patch, 4, stop)
        with pytest.raises(error) as caught:
            go(tmp_path)
    assert error is KeyboardInterrupt or caught.value.code == 143
    assert f"stopped: 4 of 6 chunks are stored in {tmp_path}; the same call goes on" in capsys.readouterr().err
    assert not list((tmp_path / "claims").iterdir())
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert go(tmp_path).equals(go())


def test_a_handler_of_the_users_own_stays(tmp_path):
    heard = []
    before = signal.signal(signal.SIGTERM, lambda *_: heard.append(1))
    try:
        with pytest.MonkeyPatch.context() as patch:
            stopping(patch, 5, lambda: os.kill(os.getpid(), signal.SIGTERM))
            go(tmp_path)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [1]


def test_the_command_ends_with_the_status_of_an_interrupt(monkeypatch):
    monkeypatch.setattr(cli, "run_sweep", lambda **_: interrupt())
    monkeypatch.setattr(cli, "tune", lambda *_, **__: interrupt())
    for command in (["sweep", "--x64"], ["tune", "--x64"]):
        found = CliRunner().invoke(cli.app, command)
        assert found.exit_code == 130, found.output


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_program_ends_with_the_status_of_its_signal_and_goes_on(tmp_path, number, status):
    (tmp_path / "spec.toml").write_text(SPEC)
    command = [sys.executable, "-m", "jaxdec.cli", "sweep", str(tmp_path / "spec.toml"), "--store", "$STORE"]
    where = {"env": os.environ | {"STORE": str(tmp_path / "store")}, "stderr": subprocess.PIPE, "text": True}
    child = subprocess.Popen(command, **where)
    while child.poll() is None and not list(tmp_path.glob("store/done/*")):
        time.sleep(0.01)
    child.send_signal(number)
    _, said = child.communicate(timeout=60)
    assert child.returncode == status, said
    assert "chunks are stored in" in said
    done = len(list(tmp_path.glob("store/done/*")))
    child = subprocess.Popen(command, **where)
    while child.poll() is None and len(list(tmp_path.glob("store/done/*"))) <= done:
        time.sleep(0.01)
    child.send_signal(number)
    child.communicate(timeout=60)
    assert child.returncode == status


def test_checkpoints_of_a_run_are_named_by_home_and_variables_too(tmp_path, monkeypatch):
    monkeypatch.setenv("SCRATCH", str(tmp_path))
    run(A.DSGD(lr=0.1), PROBLEM, RING, rounds=4, metrics=(loss,), checkpoint="$SCRATCH/run")
    assert (tmp_path / "run/run.json").exists()
