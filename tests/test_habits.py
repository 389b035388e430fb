"""Laws of the project around the code: the skeleton runs, the workflows can, changelog and versions are true."""

import ast
import doctest
import importlib
import importlib.util
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

from jaxdec import algorithms, networks, problems, run

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TEMPLATES = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
CHANGELOG = (ROOT / "CHANGELOG.md").read_text()


def module_of(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


release = module_of(ROOT / "scripts" / "release.py")


# CONTRIBUTING.md.


def test_the_skeleton_runs_and_is_the_method_that_it_says():
    (code,) = re.findall(r"```python\n(.*?)```", CONTRIBUTING, re.DOTALL)
    skeleton: dict[str, Any] = {"__name__": "skeleton"}
    exec(compile(code, "CONTRIBUTING.md", "exec"), skeleton)
    kind = skeleton["DIGing"]
    found = doctest.DocTestFinder().find(kind, "DIGing", module=False, globs=skeleton)
    (example,) = [test for test in found if test.examples]
    assert doctest.DocTestRunner().run(example) == (0, 3)
    parts = problems.quadratic(6, 3, zeta=1.0, noise=0.2), networks.ring(6)
    mine, theirs = (run(a, *parts, rounds=20) for a in (kind(lr=0.1), algorithms.GradientTracking(lr=0.1, form="cta")))
    np.testing.assert_array_equal(mine.state.x, theirs.state.x)
    assert np.array_equal(mine.cost.bits, theirs.cost.bits)


def test_the_skeletons_docstring_has_the_parts_of_the_checklist_in_their_order():
    parts = ("With ", "Symbols:", "Cost per round:", "W:", "Guarantee:", "Reference:", "Deviations:", ">>>")
    skeleton = re.search(r'r"""DIGing(.*?)"""', CONTRIBUTING, re.DOTALL)[1]
    places = [skeleton.index(f"\n    {part}") for part in parts]
    assert places == sorted(places)


def test_the_commands_of_the_readme_are_those_of_contributing():
    of = lambda text: re.findall(r"^python3 -m venv .*$", text, re.MULTILINE)
    assert sorted(of(CONTRIBUTING)) == sorted(of((ROOT / "README.md").read_text()))


def test_the_files_that_contributing_names_exist():
    named = set(re.findall(r"`((?:[\w.]+/)+[\w.]*)`|\b([A-Z]+\.md)", CONTRIBUTING))
    missing = [name for pair in named for name in pair if name and not (ROOT / name).exists()]
    assert len(named) > 5
    assert not missing


# Workflows and templates.


def steps() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in WORKFLOWS:
        for name, job in yaml.safe_load(path.read_text())["jobs"].items():
            yield from ((f"{path.name}: {name}", step) for step in job["steps"])


COMMANDS = sorted({line for _, step in steps() for line in step.get("run", "").splitlines()})


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_have_what_a_workflow_needs(path):
    workflow = yaml.safe_load(path.read_text())
    assert set(workflow) <= {"name", True, "permissions", "concurrency", "jobs"}  # YAML reads `on` as true
    assert workflow["permissions"] == {"contents": "read"}
    known = {"runs-on", "timeout-minutes", "strategy", "steps", "env"}
    for job in workflow["jobs"].values():
        assert {"runs-on", "timeout-minutes", "steps"} <= set(job) <= known
        assert all(len({"uses", "run"} & set(step)) == 1 for step in job["steps"])
        assert job["steps"][0]["uses"].startswith("actions/checkout@")
        asked = set(re.findall(r"matrix\.(\w+)", str(job)))
        assert asked == set(job.get("strategy", {}).get("matrix", {}))


def test_all_pythons_are_tested_with_the_oldest_and_the_newest_jax():
    matrix = yaml.safe_load((ROOT / ".github/workflows/tests.yml").read_text())["jobs"]["tests"]["strategy"]["matrix"]
    least = Version(PROJECT["requires-python"].removeprefix(">="))
    assert matrix["python"] == [f"3.{minor}" for minor in range(least.minor, 15)]
    oldest, newest = ([Requirement(part) for part in parts.split()] for parts in matrix["jax"])
    assert [(part.name, str(part.specifier)) for part in newest] == [("jax", ""), ("jaxlib", "")]
    allowed = {r.name: r.specifier for r in map(Requirement, PROJECT["dependencies"])}
    for part in oldest:
        (pin,), (bound,) = part.specifier, allowed[part.name]
        assert (pin.operator, bound.operator) == ("==", ">=")
        assert Version(pin.version) == Version(bound.version)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_of_the_workflows_exist(command):
    program, *arguments = shlex.split(re.sub(r"\$\{\{.*?\}\}", "", command))
    if program == "python" and arguments[0] == "-m":
        program = arguments[1]
        assert importlib.util.find_spec(program), program
    elif program == "python":
        ast.parse((ROOT / arguments[0]).read_text())
    else:
        brought = {"sphinx-build": "sphinx"}.get(program, program)
        assert brought in {Requirement(r).name.lower() for extra in ("test", "docs") for r in EXTRAS[extra]}
    for extra in re.findall(r"\.\[(\w+)\]", command):
        assert extra in EXTRAS
    for file in re.findall(r"[\w/]+\.py\b", command):
        assert (ROOT / file).is_file(), file


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_issue_templates_are_forms(path):
    form = yaml.safe_load(path.read_text())
    if path.stem == "config":
        assert set(form) == {"blank_issues_enabled"}
        return
    assert {"name", "description", "body"} <= set(form) <= {"name", "description", "labels", "body"}
    assert len({part["id"] for part in form["body"]}) == len(form["body"])
    for part in form["body"]:
        assert part["type"] in ("input", "textarea", "checkboxes", "dropdown")
        assert part["attributes"]["label"]


def test_the_run_of_the_bug_template_runs():
    form = yaml.safe_load((ROOT / ".github/ISSUE_TEMPLATE/bug.yml").read_text())
    exec(compile(form["body"][0]["attributes"]["value"], "bug.yml", "exec"), {"__name__": "bug"})


# CHANGELOG.md and versions.

MOVES = re.findall(r"^\| `(jaxdec[.\w]+)` \| `(jaxdec[.\w]+)` \|$", CHANGELOG, re.MULTILINE)


def test_what_has_moved_is_where_the_changelog_says_and_no_longer_where_it_was():
    assert len(MOVES) > 15
    for old, new in MOVES:
        importlib.import_module(new)
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module(old)


def test_everything_that_names_the_version_agrees():
    assert release.version(ROOT) == PROJECT["version"]


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("CITATION.cff", "version: 0.1.0", "version: 0.0.9", "CITATION.cff has 0.0.9"),
        ("CHANGELOG.md", "## [0.1.0] - 2026-11-21", "## [0.1.0]", "CHANGELOG.md has none"),
        ("jaxdec/__init__.py", '__version__ = "0.1.0"', '__version__ = "0.2.0"', "__init__.py has 0.2.0"),
        ("conda/recipe.yaml", 'version: "0.1.0"', 'version: "0.2.0"', "recipe.yaml has 0.2.0"),
    ],
)
def test_a_release_is_refused_where_versions_differ(tmp_path, file, old, new, said):
    for name in ("pyproject.toml", "CITATION.cff", "CHANGELOG.md", "conda/recipe.yaml", "jaxdec/__init__.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        text = (ROOT / name).read_text()
        if name == file:
            assert old in text
            text = text.replace(old, new)
        (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=f"pyproject.toml has version 0.1.0, but .*{re.escape(said)}.* same version"):
        release.version(tmp_path)


def test_a_release_lacks_nothing():
    release.lacking(["a", "b"], ["a"], "the wheel")
    with pytest.raises(ValueError, match="the wheel lacks c, d; see"):
        release.lacking(["a"], ["c", "a", "d"], "the wheel")


def test_a_command_that_fails_ends_the_release_with_what_it_said():
    with pytest.raises(SystemExit, match="bad luck\n\nfailed with status 3"):
        release.shell(sys.executable, "-c", "print('bad luck'); raise SystemExit(3)")
