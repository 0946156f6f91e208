"""The built site asks no network for anything: pages, styles and scripts name their own files."""

import re
from pathlib import Path

# What a browser fetches by itself; a link that a reader may follow is no such thing.
_FETCHED = re.compile(
    r"""<(?:script|img|iframe|source|video|audio)\b[^>]*\bsrc=["']?(?:https?:)?//"""
    r"""|<link\b(?![^>]*\brel=["']?(?:canonical|author|license))[^>]*\bhref=["']?(?:https?:)?//"""
    r"""|@import\s+["']?(?:url\()?["']?(?:https?:)?//"""
    r"""|url\(\s*["']?(?:https?:)?//""",
    re.IGNORECASE,
)


def fetched_from_networks(site: Path) -> list[str]:
    """Return what pages and styles of a built site would fetch, each with its file."""
    return [
        f"{path.relative_to(site)}: {found[0]}"
        for path in sorted(site.rglob("*"))
        if path.suffix in (".html", ".css", ".svg")
        for found in _FETCHED.finditer(path.read_text(encoding="utf-8"))
    ]
