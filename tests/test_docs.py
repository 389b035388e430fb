"""What is written about the project holds: README, notebooks, style."""

import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import nbclient
import nbformat
import pytest

from jaxdec import algorithms

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=["sweep", "store", "failing network", "own algorithm"])
def test_the_examples_of_the_readme_run(example, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "README.md", "exec"), {"__name__": "readme"})


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=["sweep", "store", "failing network", "own algorithm"])
def test_no_example_of_the_readme_warns_in_a_fresh_interpreter(example, tmp_path):
    assert alone(["-c", example], tmp_path) == ""


def test_the_command_warns_of_nothing_in_a_fresh_interpreter(tmp_path):
    (tmp_path / "spec.toml").write_text(
        'rounds = 4\nseeds = 1\nover.lr = [0.1, 0.2]\n[algorithms."K-GT [/ours]"]\ntype = "KGT"\nlr = 0.1\n'
        'local_steps = 2\n[problem]\ntype = "quadratic"\nn = 4\nd = 2\n[network]\ntype = "ring"\nn = 4\n'
    )
    assert alone(["-m", "jaxdec.cli", "sweep", "spec.toml"], tmp_path) == ""
    assert {path.name for path in tmp_path.iterdir()} == {"spec.toml", "results.zarr", "figure.png"}


def alone(arguments, folder):
    """What an interpreter says on stderr, in which every warning is an error and nothing is set for tests."""
    given = {k: v for k, v in os.environ.items() if k not in ("XLA_FLAGS", "OMP_NUM_THREADS")}
    where = os.pathsep.join(filter(None, (str(ROOT), given.get("PYTHONPATH"))))
    command = [sys.executable, "-W", "error", *arguments]
    done = subprocess.run(
        command, cwd=folder, env=given | {"PYTHONPATH": where}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_every_exported_algorithm_has_a_row_in_the_readme():
    table = "\n".join(line.split("|")[1] for line in README.splitlines() if line.startswith("|"))
    missing = [name for name in algorithms.__all__ if not re.search(rf"`{name}[`(]", table)]
    assert not missing


def test_the_badges_of_the_readme_are_true():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"badge/python-{project['requires-python'].removeprefix('>=')}%2B-" in README
    assert f"badge/licence-{project['license'].replace('-', '--')}-" in README
    assert (ROOT / "LICENSE").read_text().strip().startswith("Apache License")
    assert README.count("img.shields.io") == 2


def test_the_table_of_peers_is_dated_and_whole():
    table = README.partition("## Peers")[2].partition("Speed is measured")[0]
    assert re.search(r"read on \d{4}-\d\d-\d\d", table)
    rows = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("|")]
    assert len(rows) >= 10
    assert {len(row) for row in rows} == {6}
    assert all(cell.strip() for row in rows[1:] for cell in row)


def test_the_readme_prints_the_command_that_ci_runs():
    commands = re.findall(r"```sh\n(.*?)\n```", README)
    assert len(commands) == 2
    assert commands[1] in (ROOT / ".ci" / "run").read_text()


def test_every_public_class_and_function_of_the_algorithms_cites_its_source():
    for name in algorithms.__all__:
        doc = inspect.getdoc(getattr(algorithms, name)) or ""
        assert "Reference:" in doc, name
        assert ">>>" in doc, name


NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_stored_with_what_they_show_and_are_on_the_site(notebook):
    content = nbformat.read(notebook, as_version=4)
    code = [cell for cell in content.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == [*range(1, len(code) + 1)], "python scripts/notebooks.py"
    shown = [output for cell in code for output in cell.outputs]
    assert not [output for output in shown if output.output_type == "error" or output.get("name") == "stderr"]
    assert not re.search(r"/(tmp|home|root|work|Users)/", json.dumps(shown)), "a file of somebody's machine"
    assert any("image/png" in output.get("data", {}) for output in shown)
    assert f"notebooks/{notebook.stem}\n" in (ROOT / "docs" / "notebooks.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run_from_top_to_bottom(notebook):
    content = nbformat.read(notebook, as_version=4)
    nbclient.NotebookClient(content, timeout=300, kernel_name="python3").execute()


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check"],
        ["ruff", "format", "--check"],
        ["pyrefly", "check", "--python-interpreter-path", sys.executable],
    ],
    ids=["ruff check", "ruff format", "pyrefly check"],
)
def test_the_code_is_formatted_linted_and_typed(command):
    program = shutil.which(command[0], path=str(Path(sys.executable).parent)) or shutil.which(command[0])
    done = subprocess.run([program, *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
