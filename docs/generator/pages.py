"""Pages as the site shows them: Markdown with what is made from the source put in.

A line `<!-- made: NAME -->` is replaced by what MAKERS makes, and {value}`...` by a value (see
`values`). On a page read elsewhere, the first is invisible and the second shows its key.
"""

import re
from collections.abc import Callable
from pathlib import Path

from docs.generator.values import substitute

MAKERS: dict[str, Callable[[Path], str]] = {}

_MADE = re.compile(r"^<!-- made: (?P<name>[\w-]+) -->$", re.MULTILINE)

_CODE = re.compile(r"^(?P<fence>```+).*?^(?P=fence)$", re.MULTILINE | re.DOTALL)


def expand(text: str, root: Path) -> str:
    """Return a page's Markdown with all that is made from the source in it.

    Blocks of code stay as they are.

    Raises:
        KeyError: a maker that is not known.
        MissingValueError: see `values.substitute`.
    """
    pieces, end = [], 0
    for code in _CODE.finditer(text):
        pieces += [_expand(text[end : code.start()], root), code[0]]
        end = code.end()
    return "".join([*pieces, _expand(text[end:], root)])


def _expand(text: str, root: Path) -> str:
    return substitute(_MADE.sub(lambda found: MAKERS[found["name"]](root), text), root)
