"""Every example on a page of the site runs, and gives what the page shows."""

import doctest
import re
from pathlib import Path

import matplotlib as mpl
import pytest

mpl.use("Agg")

DOCS = Path(__file__).parents[1] / "docs"
FENCE = re.compile(r"^```(python|pycon)\n(.*?)^```", re.DOTALL | re.MULTILINE)
INCLUDED = re.compile(
    r'^```\{include\} (\S+)\n:start-after: "(.*?)"\n:end-before: "(.*?)"\n.*?```', re.DOTALL | re.MULTILINE
)
WHOLE = "<!-- runs: what is included -->"  # of a page whose examples go on from what it includes
NEEDS = re.compile(r"^<!-- needs: (\w+) -->$", re.MULTILINE)  # what is no dependency of jaxdec
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
LONG = {"jobs"}  # compiles some thirty programs
PAGES = [
    pytest.param(page, marks=[pytest.mark.slow] if page.stem in LONG else [])
    for page in sorted([*DOCS.glob("*.md"), *DOCS.glob("guide/*.md")])
    if FENCE.search(page.read_text("utf-8"))
]


def text_of(page):
    """A page, with what it includes where its own examples go on from there."""
    text = page.read_text("utf-8")
    included = lambda m: (page.parent / m[1]).read_text("utf-8").partition(m[2])[2].partition(m[3])[0]
    return INCLUDED.sub(included, text) if WHOLE in text else text


@pytest.mark.thinned(3)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_examples_of_a_page_run_one_after_the_other(page, tmp_path, monkeypatch):
    for package in NEEDS.findall(text_of(page)):
        pytest.importorskip(package, reason=f"the examples of {page.name} need {package}")
    monkeypatch.chdir(tmp_path)
    names = {"__name__": page.stem}
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    for kind, code in FENCE.findall(text_of(page)):
        if kind == "python":
            exec(compile(code, page.name, "exec"), names)
            continue
        shown = doctest.DocTestParser().get_doctest(code, {}, page.name, str(page), 0)
        shown.globs = names  # not a copy: what one example names the next ones use
        assert shown.examples, "a session shows what is typed"
        told = []
        runner.run(shown, out=told.append, clear_globs=False)
        assert runner.failures == 0, "".join(told)
