"""Pages as the site shows them: Markdown with what is made from the source put in.

A line `<!-- made: NAME -->` is replaced by what the maker of that name gives. On a page read
elsewhere it is invisible.
"""

import re
from collections.abc import Callable
from pathlib import Path

from docs.generator.command_line import make_cli
from docs.generator.files import make_factors, make_files, make_zpoints_json
from docs.generator.notebook import make_notebook_file
from docs.generator.parameters import make_parameters
from docs.generator.stages import make_stages

MAKERS: dict[str, Callable[[Path], str]] = {
    "cli": make_cli,
    "factors": make_factors,
    "files": make_files,
    "notebook-file": make_notebook_file,
    "parameters": make_parameters,
    "stages": make_stages,
    "zpoints-json": make_zpoints_json,
}

_MADE = re.compile(r"^<!-- made: (?P<name>[\w-]+) -->$", re.MULTILINE)


def expand(text: str, root: Path) -> str:
    """Return a page's Markdown with all that is made from the source in it.

    Args:
        text: the Markdown.
        root: the top of the project.

    Raises:
        KeyError: a maker that is not known.
    """
    return _MADE.sub(lambda found: MAKERS[found["name"]](root), text)
