"""The notebook page: its cells run, and what stands below them is what they gave."""

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from PIL import Image

from docs.generator.notebook import (
    PAGE,
    PICTURES,
    RECORD,
    Output,
    as_ipynb,
    cells_of,
    model_of_lock,
    printed_on,
    record_of,
    run_cells,
    with_text,
)
from tests.support import ROOT

TEXT = (ROOT / PAGE).read_text()
CELLS = cells_of(TEXT)
AGAIN = "run `make repro`, then `python -m docs.generator.notebook`"

# Runs a page's cells where they are meant to run, and says what kind of output each one gave.
RUN = """
import json, sys
from pathlib import Path
from docs.generator.notebook import cells_of, run_cells
outputs = run_cells(cells_of(Path(sys.argv[1]).read_text()))
print(json.dumps([[bool(o.text), o.picture is not None] for o in outputs]))
"""


def test_cells_run_on_a_tiny_model(reproduced: Path, tmp_path: Path) -> None:
    shutil.copytree(reproduced / "data", tmp_path / "data", symlinks=True)
    done = subprocess.run(
        [sys.executable, "-P", "-c", RUN, str(ROOT / PAGE)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    record = json.loads((ROOT / RECORD).read_text())
    kinds = [[bool(cell["text"]), cell["picture"] is not None] for cell in record["cells"]]
    assert json.loads(done.stdout.splitlines()[-1]) == kinds


def test_page_and_pictures_are_those_of_the_last_run() -> None:
    record = json.loads((ROOT / RECORD).read_text())
    assert record["model"] == model_of_lock(ROOT), AGAIN
    assert len(record["cells"]) == len(CELLS)
    pictures = []
    for number, (cell, text, was) in enumerate(
        zip(CELLS, printed_on(TEXT), record["cells"], strict=True), start=1
    ):
        assert hashlib.sha256(cell.encode()).hexdigest() == was["code"], AGAIN
        assert text == was["text"], AGAIN
        if was["picture"]:
            picture = ROOT / PICTURES / f"{number}.webp"
            assert hashlib.sha256(picture.read_bytes()).hexdigest() == was["picture"], AGAIN
            assert f"](../images/notebook/{number}.webp)" in TEXT
            pictures.append(picture)
    assert sorted((ROOT / PICTURES).iterdir()) == sorted(pictures)


def test_a_cell_gives_what_it_prints_and_its_last_picture() -> None:
    drawing = "picture = Image.new('RGB', (3, 2))\nprint(x)\npicture\n"
    first, second, third = run_cells(["from PIL import Image\nx = 1\n", drawing, "x + 1\n"])
    assert first == Output("", None)
    assert third == Output("", None)
    assert second.text == "1\n"
    assert second.picture is not None
    assert Image.open(io.BytesIO(second.picture)).size == (3, 2)


def test_texts_are_put_below_their_cells() -> None:
    page = "A\n\n```python\nprint(1)\n```\n\nB\n\n```python\nx = 2\n```\n\n```text\nold\n```\n"
    assert cells_of(page) == ["print(1)\n", "x = 2\n"]
    assert printed_on(page) == ["", "old\n"]
    renewed = with_text(page, ["1\n", ""])
    assert renewed.startswith("A\n\n```python\nprint(1)\n```\n\n```text\n1\n```\n\nB\n")
    assert renewed.endswith("B\n\n```python\nx = 2\n```\n")
    outputs = [Output("1\n", b"x"), Output("", None)]
    record = record_of(cells_of(page), outputs, model="m")
    assert [cell["picture"] is None for cell in record["cells"]] == [False, True]


def test_the_page_is_a_jupyter_notebook() -> None:
    notebook = json.loads(as_ipynb(TEXT))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    cells = notebook["cells"]
    code = [cell["source"] for cell in cells if cell["cell_type"] == "code"]
    assert code == [cell.strip() for cell in CELLS]
    assert len({cell["id"] for cell in cells}) == len(cells)
    words = " ".join(cell["source"] for cell in cells if cell["cell_type"] == "markdown")
    assert "```" not in words
    assert "<!--" not in words
    assert ".md" not in words
    assert ".webp" not in words
