"""The stages of dvc.yaml: what each one reads, which parameters, and what it leaves."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from celeba_vae.verify.consistency import OUT_KINDS


@dataclass(frozen=True)
class Stage:
    """A stage of the pipeline.

    Attributes:
        name: as in `dvc repro NAME`.
        description: one sentence.
        data: what it reads below data/, and the stages that wrote it by path.
        code: its other deps.
        parameters: groups of params.yaml, or single keys.
        outs: the folders it writes below data/.
        metrics: the JSON files it writes for git.
        before: the names of all stages that must have run before it.
    """

    name: str
    description: str
    data: list[str]
    code: list[str]
    parameters: list[str]
    outs: list[str]
    metrics: list[str]
    before: frozenset[str]

    @property
    def parameter_groups(self) -> set[str]:
        """The groups of params.yaml of which it reads at least one key."""
        return {name.partition(".")[0] for name in self.parameters}

    def follows(self, other: "Stage") -> bool:
        """Say whether a change of the other stage's outs runs this one again."""
        return other.name in self.before


def read_stages(root: Path) -> list[Stage]:
    """Return the stages in the order of dvc.yaml."""
    declared = yaml.safe_load((root / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    stages: list[Stage] = []
    for name, entry in declared.items():
        deps = _entries(entry["deps"])
        written = [one for kind in OUT_KINDS for one in _entries(entry.get(kind, []))]
        data = [dep for dep in deps if dep.startswith("data/")]
        before = {
            earlier
            for stage in stages
            if any(_within(dep, out) for dep in data for out in (*stage.outs, *stage.metrics))
            for earlier in (stage.name, *stage.before)
        }
        stages.append(
            Stage(
                name=name,
                description=entry["desc"],
                data=data,
                code=[dep for dep in deps if not dep.startswith("data/")],
                parameters=_entries(entry.get("params", [])),
                outs=[path for path in written if not path.endswith(".json")],
                metrics=[path for path in written if path.endswith(".json")],
                before=frozenset(before),
            )
        )
    return stages


def make_stages(root: Path) -> str:
    """Return the reference of all stages as Markdown, a section for each."""
    lines: list[str] = []
    for stage in read_stages(root):
        parameters = ", ".join(
            f"[`{name}`](parameters.md#{name.partition('.')[0]})" for name in stage.parameters
        )
        lines += [f"## {stage.name}", "", f"{stage.description}.", ""]
        lines += [f"- **Reads** {_listed(stage.data)}"] if stage.data else []
        lines += [f"- **Parameters** {parameters}"]
        for path in stage.outs:
            lines += [f"- **Writes** [`{path}`](files.md#{path.replace('/', '')})"]
        lines += [f"- **Metrics** {_listed(stage.metrics)}"] if stage.metrics else []
        lines += [f"- **Code** {_listed(stage.code)}", ""]
    return "\n".join(lines)


def _listed(paths: list[str]) -> str:
    return ", ".join(f"`{path}`" for path in paths)


def _entries(entries: list[Any]) -> list[str]:
    """Return the names in a list of dvc.yaml: "a" or {"a": {...}}."""
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")
