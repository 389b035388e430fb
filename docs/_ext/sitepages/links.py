"""Links that lead nowhere: of pages in Markdown, and of the site as it was built; without a connection."""

import re
from collections.abc import Iterable, Mapping
from html import unescape
from pathlib import Path
from urllib.parse import unquote

__all__ = ["anchors", "dead_in_markdown", "dead_in_site"]

_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.DOTALL | re.MULTILINE)
_SCRIPT = re.compile(r"(<script\b[^>]*>).*?(?=</script>)", re.DOTALL)
_ELSEWHERE = ("http:", "https:", "mailto:", "data:", "javascript:")


def anchors(text: str) -> set[str]:
    r"""The anchors of a page in Markdown, one for each heading.

    >>> sorted(anchors("# Who holds what?\n\n## A `W` of your own"))
    ['a-w-of-your-own', 'who-holds-what']
    """
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def dead_in_markdown(pages: Iterable[Path], made: Iterable[Path] = ()) -> list[str]:
    """The links of pages to files that are not there, or to headings that they do not have.

    Args:
        pages: to be looked at.
        made: files that are there when the site is built.
    """
    there, dead = {path.resolve() for path in made}, []
    for page in pages:
        for link in _LINK.finditer(_CODE.sub("", page.read_text(encoding="utf-8"))):
            target = link[1] or link[2]
            if target.startswith(_ELSEWHERE):
                continue
            name, _, anchor = target.partition("#")
            path = (page.parent / name).resolve() if name else page.resolve()
            missing = not path.exists() and path not in there
            if missing or (anchor and path.suffix == ".md" and anchor not in anchors(path.read_text(encoding="utf-8"))):
                dead.append(f"{page.name}: {target}")
    return dead


def dead_in_site(folder: Path) -> list[str]:
    """The links of a built site to files, or to places in pages, that are not there."""
    pages = [path for path in sorted(folder.rglob("*.html")) if "_static" not in path.parts]  # templates of the theme
    texts = {path.resolve(): _SCRIPT.sub(r"\1", path.read_text(encoding="utf-8")) for path in pages}
    places = {path: set(map(unescape, re.findall(r'\bid="([^"]+)"', text))) for path, text in texts.items()}
    return [dead for path in texts for dead in _dead(folder, path, texts[path], places)]


def _dead(folder: Path, page: Path, text: str, places: Mapping[Path, set[str]]) -> list[str]:
    found = []
    for given in sorted(set(re.findall(r'\b(?:href|src)="([^"]*)"', text))):
        target = unescape(given)
        if target.startswith((*_ELSEWHERE, "//")) or target in ("", "#"):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / unquote(name.partition("?")[0])).resolve() if name else page
        path = path / "index.html" if path.is_dir() else path
        if not path.exists() or (anchor and path in places and unquote(anchor) not in places[path]):
            found.append(f"{page.relative_to(folder.resolve())}: {target}")
    return found
