"""How far figures may be from the committed ones on another kind of machine, and why.

There the last bits of every product differ, and a training multiplies them: two runs are two
draws of the same model, as if the seed of the noise were another.
"""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from celeba_vae.gate.compare import Row

# Pattern of the figure's name, allowed difference as a share of the committed figure, and beside
# it as such; the first pattern that fits counts. What is no float fits none but by its own name,
# and must be equal: counts of images and parameters, names.
TOLERANCES: tuple[tuple[str, float, float], ...] = (("*", 0.05, 0.0),)

# Discrete choices by the smallest of several distances, which may be all but equal: a rounding
# error can turn them. They are reported, not judged; the distances that decide them are judged.
CHOICES = (
    "train.chosen_epoch",
    "zpoints.samplers.best",
    "zpoints.samplers.temperature",
    "generate.sampler",
    "generate.temperature",
)
# What is measured on that choice, and can only be compared where it is the same.
OF_THE_CHOSEN = (
    "zpoints.samplers.test_*",
    "evaluate.samples.gaussian.*",
    "evaluate.samples.gmm.*",
    "evaluate.samples.ellipse.*",
)


def compare_metrics(
    committed: Mapping[str, Any], here: Mapping[str, Any], *, rule: str
) -> list[Row]:
    """Compare figures within `TOLERANCES`, one row for each file.

    Args:
        committed: figures by the name of their file, nested as in the files.
        here: the same of the run that is judged.
        rule: what the table says of the rule.
    """
    wanted, got = _flat(committed), _flat(here)
    chosen_alike = all(wanted.get(name) == got.get(name) for name in CHOICES)
    rows = []
    for file in sorted({*committed, *here}):
        names = [name for name in {**wanted, **got} if name.startswith(f"{file}.")]
        choices = [name for name in names if name in CHOICES]
        free = [] if chosen_alike else [name for name in names if _fits(name, OF_THE_CHOSEN)]
        judged = [name for name in names if name not in choices and name not in free]
        # 1 is as far as allowed.
        far = {name: _distance(name, wanted.get(name), got.get(name)) for name in judged}
        failed = [name for name in judged if far[name] > 1]
        notes = [
            f"{name.partition('.')[2]} {wanted.get(name)}, here {got.get(name)}"
            for name in (*failed[:4], *choices)
            if wanted.get(name) != got.get(name)
        ]
        if len(failed) > 4:
            notes.append(f"and {len(failed) - 4} more")
        if not failed and judged:
            farthest = max(judged, key=lambda name: far[name])
            notes.insert(
                0,
                f"{len(judged)} figures agree; farthest {farthest.partition('.')[2]} "
                f"{wanted[farthest]}, here {got[farthest]}",
            )
        if free:
            notes.append(f"{len(free)} of the sampler chosen otherwise: not compared")
        rows.append(Row(f"data/metrics/{file}.json", rule, "; ".join(notes), passed=not failed))
    return rows


def _distance(name: str, wanted: Any, got: Any) -> float:
    """Return how far a figure is, in units of what is allowed."""
    if wanted == got:
        return 0.0
    for pattern, relative, absolute in TOLERANCES:
        exact = name != pattern and not (isinstance(wanted, float) and isinstance(got, float))
        if fnmatchcase(name, pattern) and not exact:
            return float(abs(got - wanted) / (relative * abs(wanted) + absolute))
    return float("inf")


def _fits(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, Mapping):
            flat.update(_flat(item, f"{prefix}{key}."))
        else:
            flat[prefix + key] = item
    return flat
