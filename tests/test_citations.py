"""What `jaxdec cite` prints: BibTeX of jaxdec, and of the paper of every method."""

import re

import pytest
from typer.testing import CliRunner

import jaxdec
from jaxdec import algorithms, catalogue, citations, cli

# What refers to a lecture or a paper without a number, or to code that cites none: the reference is a comment.
COMMENTS = {"AdaGrad", "RMSProp", "SimpleGT"}


def keys(text):
    return re.findall(r"^@\w+\{(.+),$", text, re.MULTILINE)


@pytest.mark.parametrize("name", sorted({*algorithms.__all__} - COMMENTS))
def test_every_method_has_a_paper_in_the_bibliography(name):
    found = citations.cite([name])
    assert keys(found)[0] == "jaxdec"
    assert len(keys(found)) > 1
    assert "%" not in found
    numbers = set(re.findall(r"arXiv:(\d{4}\.\d{4,5})", citations.reference(getattr(algorithms, name))))
    assert numbers <= set(keys(found))


def test_every_other_reference_is_an_entry_or_a_comment():
    entries = [e for part in catalogue.listed().values() for e in part if citations.reference(e.thing)]
    assert len(entries) > 60
    commented = {e.name for e in entries if "\n\n%" in citations.cite([f"{e.home}.{e.name}"])}
    assert commented == COMMENTS


def test_the_entries_are_whole():
    text = "\n".join(citations.entries().values())
    assert len(keys(text)) == len(set(keys(text))) == len(citations.entries()) > 60
    for key, entry in citations.entries().items():
        assert entry.count("{") == entry.count("}"), key
        assert {"author", "title", "year"} <= set(re.findall(r"^  (\w+) = \{", entry, re.MULTILINE)), key
        assert "eprint" not in entry or f"eprint = {{{key}}}" in entry


def test_the_command_prints_each_paper_once_and_the_version():
    said = CliRunner().invoke(cli.app, ["cite", "KGT", "kgt", "MCM", "networks.ring"]).output
    assert sorted(keys(said)) == sorted({"jaxdec", *keys(citations.cite(["KGT", "MCM"]))})
    assert f"version = {{{jaxdec.__version__}}}" in said
    assert "% networks.ring refers to no paper" in said


def test_a_method_that_is_not_there_is_refused_with_the_nearest():
    found = CliRunner().invoke(cli.app, ["cite", "KGTT"])
    assert found.exit_code != 0
    assert "did you mean 'KGT'" in found.output
