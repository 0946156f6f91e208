"""The notebook page: its cells run, and what they print and draw, put below them.

`python -m docs.generator.notebook`, at the top of the project after `make repro`, runs the cells on
the default model and writes what they print into the page, what they draw into
docs/images/notebook/, and a record of both. A test holds page and pictures to the record, the
record to the cells and to the model of dvc.lock, and runs the cells on a tiny model.
"""

import ast
import contextlib
import hashlib
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

PAGE = Path("docs/guides/notebook.md")
RECORD = Path("docs/guides/notebook.json")
PICTURES = Path("docs/images/notebook")

# A cell, and the text that it printed.
_CELL = re.compile(r"^```python\n(?P<code>.*?)^```\n(\n```text\n(?P<text>.*?)^```\n)?", re.M | re.S)


@dataclass(frozen=True)
class Output:
    """What a cell printed, and the picture that its last line gave, as the bytes of a WebP file."""

    text: str
    picture: bytes | None


def cells_of(page: str) -> list[str]:
    """Return the code of a page's cells."""
    return [found["code"] for found in _CELL.finditer(page)]


def printed_on(page: str) -> list[str]:
    """Return what the page says that each cell prints."""
    return [found["text"] or "" for found in _CELL.finditer(page)]


def run_cells(cells: Sequence[str]) -> list[Output]:
    """Run cells one after another in this process, as a notebook does, and keep what they give."""
    names: dict[str, Any] = {"__name__": "__main__"}
    outputs = []
    for number, cell in enumerate(cells, start=1):
        body = ast.parse(cell, f"cell {number}").body
        last = body.pop() if isinstance(body[-1], ast.Expr) else None
        with contextlib.redirect_stdout(io.StringIO()) as said:
            exec(compile(ast.Module(body, []), f"cell {number}", "exec"), names)  # noqa: S102
            value: Any = None
            if isinstance(last, ast.Expr):
                expression = compile(ast.Expression(last.value), f"cell {number}", "eval")
                value = eval(expression, names)  # noqa: S307
        picture = io.BytesIO()
        if hasattr(value, "save"):
            value.save(picture, "WEBP", quality=85, method=6)
        outputs.append(Output(said.getvalue(), picture.getvalue() or None))
    return outputs


def with_text(page: str, texts: Sequence[str]) -> str:
    """Return a page with other texts below its cells."""
    left = iter(texts)

    def cell(found: re.Match[str]) -> str:
        text = next(left)
        return f"```python\n{found['code']}```\n" + (f"\n```text\n{text}```\n" if text else "")

    return _CELL.sub(cell, page)


def model_of_lock(root: Path) -> str:
    """Return the hash of the trained model that the committed results come from."""
    lock = yaml.safe_load((root / "dvc.lock").read_text(encoding="utf-8"))
    return str(lock["stages"]["train"]["outs"][0]["md5"])


def record_of(cells: Sequence[str], outputs: Sequence[Output], *, model: str) -> dict[str, Any]:
    """Return what is to be remembered of a run: hashes of code and pictures, and what was said."""
    return {
        "model": model,
        "cells": [
            {
                "code": _sha256(cell.encode()),
                "text": output.text,
                "picture": output.picture and _sha256(output.picture),
            }
            for cell, output in zip(cells, outputs, strict=True)
        ],
    }


def as_ipynb(page: str) -> str:
    """Return a page as a Jupyter notebook without outputs."""
    # The page's own marks and pictures, and links to other pages, say nothing in a notebook.
    text = re.sub(r"^(<!-- .* -->|!\[.*\]\(.*\))\n\n?", "", with_text(page, [""] * 99), flags=re.M)
    text = re.sub(r"\[([^\]]+)\]\([^)]+\.md\)", r"\1", text)
    parts = re.split(r"^```python\n(.*?)^```\n", text, flags=re.M | re.S)
    cells: list[dict[str, Any]] = [
        {
            "id": f"cell-{number}",
            "cell_type": "code" if number % 2 else "markdown",
            "metadata": {},
            "source": part.strip(),
        }
        | ({"execution_count": None, "outputs": []} if number % 2 else {})
        for number, part in enumerate(parts)
        if part.strip()
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {"kernelspec": kernel},
        "cells": cells,
    }
    return json.dumps(notebook, indent=1) + "\n"


def make_notebook_file(root: Path) -> str:
    """Return the line that offers the page as a Jupyter notebook, which lies beside it."""
    return '<a href="notebook.ipynb" download>notebook.ipynb</a> holds the same cells for Jupyter.'


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def main() -> None:
    """Run the cells on the default model, and write page, pictures and record."""
    page = PAGE.read_text(encoding="utf-8")
    cells = cells_of(page)
    outputs = run_cells(cells)
    PAGE.write_text(with_text(page, [output.text for output in outputs]), encoding="utf-8")
    PICTURES.mkdir(parents=True, exist_ok=True)
    for number, output in enumerate(outputs, start=1):
        if output.picture is not None:
            (PICTURES / f"{number}.webp").write_bytes(output.picture)
    record = record_of(cells, outputs, model=model_of_lock(Path()))
    RECORD.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
