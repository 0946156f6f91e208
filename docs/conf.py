"""Sphinx's configuration: Markdown pages, strict, and nothing fetched from a network."""

import sys
from pathlib import Path
from typing import Any

from sphinx.util import logging

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from docs.generator import notebook  # noqa: E402
from docs.generator.offline import fetched_from_networks  # noqa: E402
from docs.generator.pages import expand  # noqa: E402

project = "celeba_vae"
html_title = "celeba_vae"
copyright = ""
language = "en"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["generator"]
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False
# An excerpt below each result is fetched, which `file://` forbids.
html_show_search_summary = False
nitpicky = True
default_role = "code"  # Docstrings write names in single backticks.
toc_object_entries_show_parents = "hide"

myst_enable_extensions = ["attrs_block", "attrs_inline", "colon_fence", "deflist"]
# Headings of three levels have the anchors that GitHub gives them.
myst_heading_anchors = 3

autodoc_mock_imports = ["keras", "tensorflow"]
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
napoleon_numpy_docstring = False
napoleon_use_ivar = True
# A docstring's `Returns:` says what it is in words, which are no names of types.
napoleon_use_rtype = False
# Other packages' pages are not asked for: building needs no network.
nitpick_ignore_regex = [
    (r"py:.*", r"(numpy|pathlib|collections)\..*"),
    (r"py:exc", "UserError|BadImage"),
]

html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["site.css"]
pygments_style = "friendly"
pygments_dark_style = "monokai"


def _expand_page(app: Any, name: str, source: list[str]) -> None:
    source[0] = expand(source[0], ROOT)


def _finish(app: Any, error: Exception | None) -> None:
    if error is not None:
        return
    page = (ROOT / notebook.PAGE).read_text(encoding="utf-8")
    place = Path(app.outdir) / notebook.PAGE.relative_to("docs").with_suffix(".ipynb")
    place.write_text(notebook.as_ipynb(page), encoding="utf-8")
    for found in fetched_from_networks(Path(app.outdir)):
        logging.getLogger(__name__).warning("asks a network: %s", found)


def setup(app: Any) -> None:
    """Let pages take what is made from the source, and look at what was built."""
    app.connect("source-read", _expand_page)
    app.connect("build-finished", _finish)
