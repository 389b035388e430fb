"""What a release is made of agrees with itself: versions, the recipe for conda-forge, who is cited."""

import hashlib
import importlib.util
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from jaxdec import citations

ROOT = Path(__file__).parents[1]
_spec = importlib.util.spec_from_file_location("release", ROOT / "scripts" / "release.py")
release = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(release)

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
RECIPE = yaml.safe_load((ROOT / "conda" / "recipe.yaml").read_text())
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
ELSEWHERE = {"matplotlib": "matplotlib-base"}  # what conda-forge calls what has extras, or parts, of its own
EXTRAS = {"pooch[progress]": ["tqdm"]}  # what an extra brings, which conda-forge does not have


def test_the_recipe_needs_what_the_package_needs():
    wanted = []
    for needed in PROJECT["dependencies"]:
        name, bound = re.fullmatch(r"([\w.\[\]-]+)(>=[\d.]+)", needed).groups()
        bare = name.partition("[")[0]
        wanted += [f"{ELSEWHERE.get(bare, bare)} {bound}", *EXTRAS.get(name, [])]
    assert RECIPE["requirements"]["run"] == ["python >=${{ python_min }}", *wanted]
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    assert RECIPE["requirements"]["host"][2:] == [re.sub("(>=)", r" \1", needed) for needed in build]


def test_the_recipe_says_of_the_package_what_the_package_does():
    assert RECIPE["context"]["version"] == PROJECT["version"]
    assert RECIPE["context"]["python_min"] == PROJECT["requires-python"].removeprefix(">=")
    assert (RECIPE["about"]["summary"], RECIPE["about"]["license"]) == (PROJECT["description"], PROJECT["license"])
    (command,) = PROJECT["scripts"].items()
    assert RECIPE["build"]["python"]["entry_points"] == [" = ".join(command)]


def test_the_recipe_gets_the_checksum_of_the_archive():
    made = yaml.safe_load(release.recipe(ROOT, b"an archive"))
    assert made["source"]["sha256"] == hashlib.sha256(b"an archive").hexdigest()
    assert {**made, "source": None} == {**RECIPE, "source": None}


@pytest.mark.parametrize("paper", CITATION["references"], ids=lambda paper: paper["identifiers"][0]["value"])
def test_a_paper_is_cited_as_in_the_bibliography(paper):
    number = paper["identifiers"][0]["value"].removeprefix("arXiv:")
    entry = citations.entries()[number]
    assert f"title = {{{{{paper['title']}}}}}" in entry
    assert f"year = {{{paper['year']}}}" in entry
    people = [f"{one['family-names']}, {one['given-names']}" for one in paper["authors"]]
    assert f"author = {{{' and '.join(people)}}}" in entry
    assert paper["url"] == f"https://arxiv.org/abs/{number}"


def test_the_papers_that_jaxdec_began_with_are_cited():
    cited = {paper["identifiers"][0]["value"].removeprefix("arXiv:") for paper in CITATION["references"]}
    of = lambda name: set(re.findall(r"^@misc\{(\d{4}\.\d{5}),", citations.cite([name]), re.MULTILINE))
    for name in ("KGT", "MomentumTracking", "MCM", "QuantizedPushSum", "SAVIC"):
        assert cited & of(name), name
    assert len(cited) == 5


def test_the_build_is_checked_where_every_change_is():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "tests.yml").read_text())
    steps = [step.get("run", "") for step in workflow["jobs"]["package"]["steps"]]
    assert "python scripts/release.py" in steps
