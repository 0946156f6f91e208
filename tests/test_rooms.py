"""The rooms of the package: none imports one above it, and no two import each other."""

import ast
import shutil
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.support import ROOT

PACKAGE = ROOT / "src/celeba_vae"
# What knows no stage.
PACKAGES = ("runtime", "faces", "shards", "model", "latent", "metrics", "plots")
BELOW = (*PACKAGES, "params", "backend", "machine", "pool", "face_model")
STAGES = ("training", "zpoints", "generate", "attributes", "evaluate", "report")
ABOVE = (*STAGES, "comparison", "verify", "profiling", "cli")


def imports(path: Path) -> Iterator[str]:
    """Give the names that a source file imports, also within functions and for types only."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module, f"{path}, line {node.lineno}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def rooms(package: Path) -> dict[str, set[str]]:
    """Return for each room, a package or a module beside them, the others that it imports.

    Without the package's own __init__.py: it is the way in, from which users import.
    """
    found: dict[str, set[str]] = {}
    for path in package.rglob("*.py"):
        room = path.relative_to(package).parts[0].removesuffix(".py")
        if room != "__init__":
            names = [name.split(".") for name in imports(path)]
            others = {parts[1] for parts in names if parts[0] == "celeba_vae" and len(parts) > 1}
            found.setdefault(room, set()).update(others - {room})
    return found


def faults(package: Path) -> list[str]:
    """Return what is wrong with the imports between rooms, a line each."""
    found = rooms(package)
    lines = [f"a room of no known place: {room}" for room in {*found} - {*BELOW, *ABOVE}]
    for room, others in found.items():
        forbidden = ABOVE if room in BELOW else STAGES if room in STAGES else ()
        lines += [f"{room} imports {other}" for other in sorted(others & {*forbidden})]
    try:
        TopologicalSorter(found).prepare()
    except CycleError as error:
        lines.append(f"a circle: {', '.join(error.args[1])}")
    return lines


def test_nothing_imports_upwards_or_in_a_circle() -> None:
    assert {*rooms(PACKAGE)} == {*BELOW, *ABOVE}
    assert faults(PACKAGE) == []


@pytest.mark.parametrize(
    ("file", "planted", "fault"),
    [
        ("latent/samplers.py", "from celeba_vae.zpoints.run import x", "latent imports zpoints"),
        ("machine.py", "from celeba_vae.training import parallel", "machine imports training"),
        ("shards/read.py", "def f():\n import celeba_vae.verify.run", "shards imports verify"),
        ("plots/grids.py", "if x:\n from celeba_vae import profiling", "plots imports profiling"),
        ("zpoints/run.py", "from celeba_vae.generate.run import x", "zpoints imports generate"),
        ("new/run.py", "", "a room of no known place: new"),
        ("params.py", "from celeba_vae.model.vae import VAE", "a circle: "),
        ("runtime/errors.py", "from celeba_vae.params import Params", "a circle: "),
    ],
)
def test_a_planted_import_is_found(tmp_path: Path, file: str, planted: str, fault: str) -> None:
    copy = Path(shutil.copytree(PACKAGE, tmp_path / "celeba_vae"))
    (copy / file).parent.mkdir(exist_ok=True)
    with (copy / file).open("a", encoding="utf-8") as source:
        source.write(f"\n{planted}\n")
    assert any(found.startswith(fault) for found in faults(copy))
