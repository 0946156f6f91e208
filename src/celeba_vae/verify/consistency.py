"""Checks of what is committed that need neither data nor a run, and take seconds.

Each check takes the top folder of a project and returns its findings, one line each.
"""

import ast
import json
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from celeba_vae.params import load_params
from celeba_vae.runtime.files import write_bytes
from celeba_vae.runtime.strict_yaml import read_yaml
from celeba_vae.verify.commands import call, last_line
from celeba_vae.verify.pages import check_pages
from celeba_vae.verify.tiny_params import set_params

_FIX = "run `dvc repro`, commit dvc.lock and data/metrics"
# The keys of a stage in dvc.yaml that name what it writes.
OUT_KINDS = ("outs", "metrics", "plots")


def find_inconsistencies(root: Path) -> list[str]:
    """Return all that does not fit together in the project at `root`, one line each.

    Raises:
        UserError: params.yaml cannot be read, or holds what is not allowed.
    """
    load_params(root / "params.yaml")
    return [
        *check_lock(root),
        *check_dependencies(root),
        *check_pages(root),
        *check_params_file(root),
        *check_requirements(root),
    ]


def check_lock(root: Path) -> list[str]:
    """Compare dvc.lock with dvc.yaml, params.yaml, code and metrics, and with itself.

    Without the data, an out that is hashed wrongly and that no stage reads is not found out.
    """
    declared = _pipeline(root)
    if not (root / "dvc.lock").exists():
        return [f"dvc.lock: is missing; {_FIX}"]
    recorded = read_yaml(root / "dvc.lock")["stages"]
    findings = [
        f"dvc.lock: stage {name} is in {'dvc.yaml' if name in declared else 'dvc.lock'} only; "
        f"{_FIX}"
        for name in sorted(declared.keys() ^ recorded.keys())
    ]
    for name in declared.keys() & recorded.keys():
        findings += _compare_names(name, declared[name], recorded[name])
    findings += _compare_read_with_made(recorded)
    return sorted({*findings, *_dvc_status(root, declared)})


def _compare_names(stage: str, declared: dict[str, Any], recorded: dict[str, Any]) -> list[str]:
    # DVC itself does not notice what was taken out of dvc.yaml.
    given = {
        "dep": _paths(declared["deps"]),
        "out": _paths([entry for kind in OUT_KINDS for entry in declared.get(kind, [])]),
        "parameter": {*declared["params"]},
    }
    noted = {
        "dep": _paths(recorded["deps"]),
        "out": _paths(recorded["outs"]),
        "parameter": {*recorded["params"]["params.yaml"]},
    }
    return [
        f"dvc.lock: {stage}: {kind} {name} is in "
        f"{'dvc.yaml' if name in given[kind] else 'dvc.lock'} only; {_FIX}"
        for kind in given
        for name in sorted(given[kind] ^ noted[kind])
    ]


def _compare_read_with_made(recorded: dict[str, Any]) -> Iterator[str]:
    made = {out["path"]: (maker, out) for maker, stage in recorded.items() for out in stage["outs"]}
    for reader, stage in recorded.items():
        for dep in stage["deps"]:
            maker, out = made.get(dep["path"], (reader, dep))
            if {**out, "cache": None} != {**dep, "cache": None}:
                yield (
                    f"dvc.lock: {reader} read another {dep['path']} than {maker} made "
                    f"({dep['md5']}, not {out['md5']}); {_FIX}"
                )


def _dvc_status(root: Path, declared: dict[str, Any]) -> Iterator[str]:
    done = call(sys.executable, "-m", "dvc", "status", "--json", folder=root)
    if done.returncode:
        yield f"dvc.yaml: `dvc status` says {last_line(done.stderr)}"
        return
    data = {name for stage in declared.values() for name in _paths(stage["outs"])}
    for stage, entries in json.loads(done.stdout).items():
        for entry in entries:
            if isinstance(entry, str):
                yield f"dvc.lock: {stage}: {entry} since then; {_FIX}"
                continue
            for name, state in _flat(entry.values()):
                # Results that are in no git are not looked at: often they are not there.
                if not _lies_in(name, data):
                    yield f"dvc.lock: {stage}: {name} is {state} since then; {_FIX}"


def _flat(changed: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    for group in changed:
        for name, state in group.items():
            # {"params.yaml": {"train.epochs": "modified"}}, but {"src/file.py": "modified"}
            if isinstance(state, dict):
                yield from ((f"parameter {key}", how) for key, how in state.items())
            else:
                yield name, state


def check_dependencies(root: Path) -> list[str]:
    """Compare each stage's deps and params in dvc.yaml with what its code imports and reads."""
    stages = _pipeline(root)
    imported = {stage: imported_code(root, f"stages/{stage}.py") for stage in stages}
    findings = []
    for stage, described in stages.items():
        rooms = [dep for dep in described["deps"] if dep.startswith(("src/", "stages"))]
        # The report holds the hashes of all code that makes results.
        needed = set().union(*imported.values()) if stage == "report" else imported[stage]
        findings += [
            f"dvc.yaml: {stage}: {file} is imported, but not among the deps"
            for file in sorted(needed)
            if not _lies_in(file, rooms)
        ]
        findings += [
            f"dvc.yaml: {stage}: {room} is among the deps, but nothing of it is imported"
            for room in rooms
            if not any(_lies_in(file, [room]) for file in needed)
        ]
        read, groups = _parameters_read(root / f"stages/{stage}.py"), {*described["params"]}
        findings += [
            f"dvc.yaml: {stage}: parameter {name} is "
            + ("read, but not declared" if name in read else "declared, but not read")
            for name in sorted(read ^ groups)
        ]
    return findings


def imported_code(root: Path, start: str) -> set[str]:
    """Return the project's source files that `start` imports, with it, at any remove.

    Imports within functions count, because stages load libraries late. `__init__.py` is left out,
    for packages hold a docstring alone; so is params.py, with what it imports for its checks: it
    makes no values, and what it hands on are DVC's params.
    """
    found, unread = set(), [start]
    while unread:
        name = unread.pop()
        if name not in found and name != "src/celeba_vae/params.py":
            found.add(name)
            unread += _imports(root, name)
    return found


def _imports(root: Path, name: str) -> Iterator[str]:
    for node in ast.walk(ast.parse((root / name).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            # In `from a.b import c`, c may be a module or a name in b.
            modules = [f"{node.module}", *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for module in modules:
            for top in ("src", ""):
                file = Path(top, *module.split(".")).with_suffix(".py")
                if (root / file).is_file():
                    yield str(file)


def _parameters_read(stage: Path) -> set[str]:
    read = {
        node.attr
        for node in ast.walk(ast.parse(stage.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "params"
    }
    return read - {"run"}  # It changes no byte of any result.


def check_params_file(root: Path) -> list[str]:
    """Let DVC rewrite params.yaml as `-S` does, and look whether anything else changes."""
    before = (root / "params.yaml").read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "params.yaml"
        write_bytes(copy, before)
        set_params(copy.parent, f"threads={load_params(copy).threads}")
        after = copy.read_text(encoding="utf-8").splitlines()
    pairs = zip([*before.decode("utf-8").splitlines(), ""], [*after, ""], strict=False)
    changed = [(row, old, new) for row, (old, new) in enumerate(pairs, 1) if old != new]
    return [
        f"params.yaml, line {row}: `dvc exp run -S` turns {old!r} into {new!r}; write it so"
        for row, old, new in changed[:1]
    ]


def check_requirements(root: Path) -> list[str]:
    """Ask pip whether requirements.lock is what is installed here, and hold other locks to it."""
    versions = _locked_versions(root / "requirements.lock")
    findings = [
        f"{lock.name}: {name} is not as in requirements.lock; run `make lock`"
        for lock in sorted(root.glob("requirements-*.lock"))
        for name, others in _locked_versions(lock).items()
        if not others <= versions.get(name, others)
    ]
    lock = ["--require-hashes", "--requirement", "requirements.lock"]
    # Neither an index nor local wheels: what is not installed must not be found elsewhere.
    offline = ["--isolated", "--no-index", "--no-deps", "--dry-run", "--quiet", "--report", "-"]
    done = call(sys.executable, "-m", "pip", "install", *offline, *lock, folder=root)
    if done.returncode:
        missing = last_line(done.stderr).removeprefix("ERROR: ")
        findings.append(
            f"requirements.lock: is not what is installed ({missing}); run `make setup`"
        )
    return findings


def _locked_versions(lock: Path) -> dict[str, set[str]]:
    """Return the versions of each package; several, where they depend on Python's."""
    versions: dict[str, set[str]] = {}
    for name, version in re.findall(r"(?m)^([\w.-]+)==(\S+)", lock.read_text(encoding="utf-8")):
        versions.setdefault(name, set()).add(version)
    return versions


def _pipeline(root: Path) -> dict[str, Any]:
    stages = read_yaml(root / "dvc.yaml")["stages"]
    return dict(stages)


def _lies_in(name: str, places: Iterable[str]) -> bool:
    return any(Path(name).is_relative_to(place) for place in places)


def _paths(entries: Sequence[Any]) -> set[str]:
    """Return the paths of dvc.yaml's or dvc.lock's entries: "a", {"a": {...}}, {"path": "a"}."""
    return {
        entry if isinstance(entry, str) else entry.get("path") or next(iter(entry))
        for entry in entries
    }
