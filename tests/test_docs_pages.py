"""The pages that are made from the sources: every public name is on one, and no method's page lacks a part."""

import doctest
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import pytest
from sitepages import choosing, docstrings, figures, links, mathematics, methods, reference

from benchmarks import gallery
from jaxdec import algorithms

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"

mpl.use("Agg")


def public(module: str) -> list[str]:
    """The public modules below a module, itself among them; of papers each is a line on one page."""
    if module == "jaxdec.papers":
        return [module]
    below = filter(None, (reference.submodule(module, name) for name in reference.names(module)))
    return [module, *(name for found in below if found != module for name in public(found))]


def on_no_page() -> list[str]:
    documented, modules = reference.homes(), list(dict.fromkeys(public("jaxdec")))
    return [f"{m}.{name}" for m in modules for name in reference.names(m) if f"{m}.{name}" not in documented]


def test_every_public_name_is_on_a_page():
    assert len(set(public("jaxdec"))) > 15
    assert on_no_page() == []


def test_a_name_that_is_on_no_page_is_told(monkeypatch):
    monkeypatch.setattr(reference, "MODULES", tuple(name for name in reference.MODULES if name != "jaxdec.live"))
    assert "jaxdec.live.JSONLines" in on_no_page()


@pytest.mark.parametrize("module", reference.MODULES)
def test_the_page_of_a_module_has_each_of_its_names(module):
    page = reference.page(module)
    assert not [name for name in reference.names(module) if not re.search(rf"(?:\.|:: ){name}\b", page)]


@pytest.mark.parametrize("name", methods.names())
def test_no_part_of_a_methods_page_is_missing(name):
    thing = getattr(algorithms, name)
    assert methods.lacking(thing) == []
    page = methods.page(name)
    code = docstrings.source(thing.step if methods.is_method(thing) else thing)
    assert '"""' not in code or not methods.is_method(thing)
    assert not [line for line in code.split("\n") if line.strip() and line.strip() not in page]
    assert "<math>" in page or not methods.is_method(thing)
    assert f".. auto{'class' if inspect.isclass(thing) else 'function'}:: jaxdec.algorithms.{name}" in page
    assert f":doc:`{name}`" in methods.index()


def test_a_page_that_lacks_a_part_is_told():
    class Bare:
        """A step.

        Symbols: x.
        """

        requires = "symmetric"

        def step(self):
            """Do nothing."""

    assert methods.lacking(Bare) == ["update", "cost", "law of the network", "guarantee", "reference"]


def test_every_arxiv_number_that_a_method_refers_to_is_in_the_bibliography():
    bibliography = (ROOT / "jaxdec" / "references.bib").read_text(encoding="utf-8")
    texts = {name: docstrings.parts(inspect.getdoc(getattr(algorithms, name)) or "") for name in algorithms.__all__}
    cited = {n for found in texts.values() for n in docstrings.cited("\n".join(found.sections["Reference"]))}
    assert len(cited) > 30
    assert not [number for number in cited if f"@misc{{{number}," not in bibliography]


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("X+ = W X", "<msup><mi>X</mi><mrow><mo>+</mo></mrow></msup>"),
        ("X' = X", "<msup><mi>X</mi><mrow><mo>′</mo></mrow></msup>"),
        ("X- - lr G", '<mrow><mo>−</mo></mrow></msup><mo>−</mo><mi class="name" mathvariant="normal">lr</mi>'),
        ("D_i = C_up(g)", "<msub><mi>D</mi><mi>i</mi></msub>"),
        ("xhat", '<mover accent="true"><mi>x</mi><mo stretchy="false">^</mo></mover>'),
        ("tau <= b", "<mi>τ</mi><mo>≤</mo><mi>b</mi>"),
        ("(1 + tau)^(-a)", '<msup><mo stretchy="false">)</mo><mrow><mo>−</mo><mi>a</mi></mrow></msup>'),
        ("Σ_{i in S} v", "<munder><mo>Σ</mo><mrow><mi>i</mi><mo>∈</mo><mi>S</mi></mrow></munder>"),
        ('form = "atc"', "<mtext>&quot;atc&quot;</mtext>"),
    ],
)
def test_an_update_is_set_as_mathematics(text, inside):
    assert inside in mathematics.formula(text, {"lr"})


def test_what_stands_below_each_other_in_a_docstring_does_in_the_table():
    table = mathematics.table(["X = 1     if a", "      Y   else"])
    assert table.count("<tr>") == 2
    assert [int(span) for span in re.findall(r'colspan="(\d+)"', table)] == [2, 1, 1, 1, 1]


def test_plain_text_is_no_markup():
    assert docstrings.escaped("x* of |S|, c_ and `a*b`[i]") == r"x\* of \|S\|, c\_ and `a*b`\ [i]"


def test_the_gallery_has_every_figure_and_its_code():
    assert (DOCS / "gallery.md").read_text(encoding="utf-8") == gallery.page()
    assert {path.stem for path in DOCS.glob("gallery/*.png")} == {figure.__name__ for figure in gallery.FIGURES}
    assert len(gallery.FIGURES) >= 25
    assert all(inspect.getdoc(figure) for figure in gallery.FIGURES)


def test_the_example_of_every_method_makes_a_figure_of_its_page():
    assert [name for name in methods.names() if not figures.runs(name)] == []
    assert f".. image:: figures/{figures.file('KGT')}" in methods.page("KGT")
    names = [name for name in methods.names() if methods.page(name).count(".. image::") != 1]
    assert names == []


def test_every_method_on_the_map_has_a_page_and_fits_into_it():
    names = choosing.on_the_map()
    assert len(names) == len(set(names)) > 40
    assert not set(names) - set(methods.names())
    drawn = choosing.drawing()
    assert all(f'href="methods/{name}.html"' in drawn for name in names)
    for _, branches in choosing.MAP:
        for what, those in branches:
            assert choosing.COLUMNS[2] + 6.6 * len(what) < choosing.ENDS[2]
            assert choosing.COLUMNS[3] + sum(choosing.LETTER * len(name) + 18 for name in those) < 1180


def test_a_figure_shows_the_runs_of_the_example():
    (ax,) = figures.draw("DSGDm").axes
    assert len(ax.lines) == 4  # two runs, each with a distance and a consensus error
    assert any("momentum=0.9" in line.get_label() for line in ax.lines)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # some show what is warned of
@pytest.mark.parametrize("figure", gallery.FIGURES, ids=lambda figure: figure.__name__)
def test_a_figure_of_the_gallery_can_be_drawn(figure, tmp_path):
    gallery.drawn(figure, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 3000


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path):
    pytest.importorskip("sphinx", reason="needs the extra `docs`")
    command = [sys.executable, "-m", "sphinx", "-W", "-q", "-b", "html", str(DOCS), str(tmp_path)]
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "methods" / "KGT.html").exists()
    assert links.dead_in_site(tmp_path) == []
    assert "Plotly" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_no_link_of_a_page_written_by_hand_leads_nowhere():
    pages = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    pages += [*DOCS.glob("*.md"), *DOCS.glob("guide/*.md")]
    made = [DOCS / "methods" / f"{name}.rst" for name in ("index", *methods.names())]
    made += [DOCS / "reference" / f"{module}.rst" for module in ("index", *reference.MODULES)]
    assert links.dead_in_markdown(pages, made) == []


def test_a_link_that_leads_nowhere_is_told(tmp_path):
    (tmp_path / "a.md").write_text(
        "# One\n[b](b.md) [c](c.md) [o](#one) [t](#two) [w](https://x.org) ![i](i.png) `[d](d.md)`"
    )
    (tmp_path / "b.md").write_text("[one](a.md#one) [two](a.md#two)")
    assert links.dead_in_markdown(sorted(tmp_path.glob("*.md"))) == [
        "a.md: c.md", "a.md: #two", "a.md: i.png", "b.md: a.md#two",
    ]  # fmt: skip
    (tmp_path / "a.html").write_text(
        '<p id="one"><a href="#one"><a href="#two"><a href="b.html#x%20y"><a href="c.html">'
    )
    (tmp_path / "b.html").write_text('<p id="x y"><a href="a.html#one"><img src="i.png"><a href="https://x.org">')
    assert links.dead_in_site(tmp_path) == ["a.html: #two", "a.html: c.html", "b.html: i.png"]


@pytest.mark.parametrize("module", [docstrings, links, mathematics], ids=lambda module: module.__name__)
def test_the_examples_of_what_makes_the_pages_hold(module):
    assert doctest.testmod(module).failed == 0


def test_every_page_written_by_hand_is_in_a_table_of_contents():
    pages = {page.relative_to(DOCS).with_suffix("") for page in [*DOCS.glob("*.md"), *DOCS.glob("guide/*.md")]}
    listed = set()
    for page in pages:
        text = (DOCS / page).with_suffix(".md").read_text(encoding="utf-8")
        for tree in re.findall(r"```\{toctree\}\n(.*?)```", text, re.DOTALL):
            listed |= {page.parent / line.strip() for line in tree.split("\n") if line.strip() and line[0] not in ":*"}
    assert {page for page in pages - listed if not page.name.endswith("papers")} == {Path("index")}
