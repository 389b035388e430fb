"""Every example on a page of the site runs, and gives what the page shows."""

import doctest
import re
from pathlib import Path

import matplotlib as mpl
import pytest

mpl.use("Agg")

DOCS = Path(__file__).parents[1] / "docs"
FENCE = re.compile(r"^```(python|pycon)\n(.*?)^```", re.DOTALL | re.MULTILINE)
NEEDS = re.compile(r"^<!-- needs: (\w+) -->$", re.MULTILINE)  # what is no dependency of jaxdec
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
PAGES = [
    page for page in sorted([*DOCS.glob("*.md"), *DOCS.glob("guide/*.md")]) if FENCE.search(page.read_text("utf-8"))
]


@pytest.mark.thinned(3)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_examples_of_a_page_run_one_after_the_other(page, tmp_path, monkeypatch):
    for package in NEEDS.findall(page.read_text("utf-8")):
        pytest.importorskip(package, reason=f"the examples of {page.name} need {package}")
    monkeypatch.chdir(tmp_path)
    names = {"__name__": page.stem}
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    for kind, code in FENCE.findall(page.read_text("utf-8")):
        if kind == "python":
            exec(compile(code, page.name, "exec"), names)
            continue
        shown = doctest.DocTestParser().get_doctest(code, {}, page.name, str(page), 0)
        shown.globs = names  # not a copy: what one example names the next ones use
        assert shown.examples, "a session shows what is typed"
        told = []
        runner.run(shown, out=told.append, clear_globs=False)
        assert runner.failures == 0, "".join(told)
