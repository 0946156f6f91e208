"""Links of the pages lead somewhere, and the files that they name are there."""

import re
from pathlib import Path

import pytest

from tests.support import ROOT

PAGES = [
    path.relative_to(ROOT).as_posix()
    for path in sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
]

_CODE = re.compile(r"^(?P<fence> *```).*?^(?P=fence)$|`[^`\n]*`|<!--.*?-->", re.M | re.S)
_LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)|^\[[^\]]+\]: (?P<named>\S+)$", re.M)
_PATH = re.compile(r"`(?P<path>(?:src|stages|tests|docs|\.github|\.ci)/[\w./-]+)`")


def anchors_of(text: str) -> set[str]:
    """The anchors of a page's headings as GitHub makes them, and those that it sets itself."""
    headings = re.findall(r"^#+ (.+)$", _CODE.sub(_kept, text), re.M)
    slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return slugs | set(re.findall(r"^\((.+)\)=$", text, re.M))


def _kept(found: re.Match[str]) -> str:
    """Keep code within a line, whose words are part of a heading's anchor."""
    return "" if found["fence"] or found[0].startswith("<!--") else found[0]


def dead_links(page: Path, text: str) -> list[str]:
    dead = []
    for found in _LINK.finditer(_CODE.sub("", text)):
        target, _, anchor = (found["target"] or found["named"]).partition("#")
        if re.match(r"https?:|mailto:", found["target"] or found["named"]):
            continue
        file = (page.parent / target) if target else page
        if not file.exists():
            dead.append(f"{target}: no such file")
        elif anchor and file.suffix == ".md":
            there = text if not target else file.read_text()
            # What is made from the source has its headings when the site is built.
            if anchor not in anchors_of(there) and "<!-- made: " not in there:
                dead.append(f"{target}#{anchor}: no such heading")
    return dead


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    assert dead_links(ROOT / page, (ROOT / page).read_text()) == []


@pytest.mark.parametrize("page", PAGES)
def test_files_that_a_page_names_are_there(page: str) -> None:
    named = {found["path"] for found in _PATH.finditer((ROOT / page).read_text())}
    # A word in capitals stands for any.
    fixed = {path for path in named if not re.search(r"[A-Z]{2,}", path)}
    assert [path for path in sorted(fixed) if not (ROOT / path).exists()] == []


def test_dead_links_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.touch()
    (tmp_path / "other.md").write_text("# One `two` (three)\n\n(set-here)=\n\n```sh\n# no\n```\n")
    fine = "[a](other.md) [b](other.md#one-two-three) [c](https://x.org/no) [d](other.md#set-here)"
    assert (
        dead_links(page, fine + "\n# Here\n[e](#here) `[f](no.md)`\n\n```\n[g](no.md)\n```\n") == []
    )
    assert dead_links(page, "![a](no.png)") == ["no.png: no such file"]
    assert dead_links(page, "[a](other.md#no)") == ["other.md#no: no such heading"]
    assert dead_links(page, "[a]\n\n[a]: no.md\n") == ["no.md: no such file"]
