"""Values on README.md and the pages of docs/, held to the committed JSON files.

A page says in a comment, as Python format strings, how its next lines come out of them:

    <!-- values
    | reconstructions | {generate[psnr_db_mean]:.1f} dB PSNR |
    -->
    | reconstructions | 22.2 dB PSNR |

`generate` is data/metrics/generate.json; what is not of the committed run, such as times, is in
docs/values/NAME.json. `make values` writes the lines.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from celeba_vae.runtime.errors import UserError
from celeba_vae.runtime.files import write_text
from celeba_vae.runtime.reading import read_object
from celeba_vae.verify.commands import call


def check_pages(root: Path) -> list[str]:
    """Compare the pages' values with the JSON files that they are of, as they are or as committed.

    As committed, because a run leaves its own metrics in the work tree, and on another kind of
    machine they are others without any fault.
    """
    try:
        values = read_values(root)
    except UserError as error:
        return [str(error)]
    findings = _findings(root, values)
    committed = values | _committed_metrics(root)
    return [] if committed != values and not _findings(root, committed) else findings


def _findings(root: Path, values: Mapping[str, Any]) -> list[str]:
    findings = []
    for page in _pages(root):
        try:
            filled = _filled(root, page, values)
        except UserError as error:
            findings.append(str(error))
            continue
        lines = (root / page).read_text(encoding="utf-8").split("\n")
        findings += [
            f"{page}, line {row}: must be {new!r}; `make values` writes it"
            for row, (old, new) in enumerate(zip(lines, filled.split("\n"), strict=False), 1)
            if old != new
        ]
    return findings


def write_values(root: Path) -> None:
    """Write into all pages what they state.

    Raises:
        UserError: a page states what no file has.
    """
    values = read_values(root)
    for page in _pages(root):
        write_text(root / page, _filled(root, page, values))


def _filled(root: Path, page: Path, values: Mapping[str, Any]) -> str:
    try:
        return fill((root / page).read_text(encoding="utf-8"), values)
    except (LookupError, TypeError, ValueError) as error:
        raise UserError(
            f"{page}: data/metrics and docs/values do not have what it states "
            f"({type(error).__name__}: {error})"
        ) from None


def read_values(root: Path) -> dict[str, Any]:
    """Return the contents of data/metrics/*.json and docs/values/*.json by their names.

    Raises:
        UserError: a file holds something else than a JSON object.
    """
    made = "`dvc repro` makes it anew"
    read = {file.stem: read_object(file, fix=made) for file in root.glob("data/metrics/*.json")}
    fix = "`git restore docs/values` brings it back"
    return read | {
        file.stem: read_object(file, fix=fix) for file in root.glob("docs/values/*.json")
    }


def _committed_metrics(root: Path) -> dict[str, Any]:
    """Return the metrics of the last commit by their names, of those that there are now."""
    metrics = {}
    for file in root.glob("data/metrics/*.json"):
        shown = call("git", "show", f"HEAD:./{file.relative_to(root)}", folder=root)
        if shown.returncode == 0:
            metrics[file.stem] = json.loads(shown.stdout)
    return metrics


def fill(text: str, values: Mapping[str, Any]) -> str:
    """Return a page with the lines below each comment of templates as they must be.

    As many lines as there are templates; one empty line may stand between.
    """
    lines = text.split("\n")
    for start in [row for row, line in enumerate(lines) if line == "<!-- values"]:
        end = lines.index("-->", start)
        templates = lines[start + 1 : end]
        first = end + 1 if lines[end + 1] else end + 2
        lines[first : first + len(templates)] = [line.format_map(values) for line in templates]
    return "\n".join(lines)


def _pages(root: Path) -> list[Path]:
    return [
        Path("README.md"),
        *(page.relative_to(root) for page in sorted(root.glob("docs/**/*.md"))),
    ]


if __name__ == "__main__":
    try:
        write_values(Path())
    except UserError as error:
        sys.exit(f"error: {error}")
