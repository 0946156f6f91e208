"""Tables of several runs: the parameters that differ, and the key metrics side by side."""

import json
import math
import statistics
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from celeba_vae.comparison.runs import Run
from celeba_vae.report.key_metrics import KEY_METRICS, reading, shown

SEED = "train.seed"

_SPREAD = (
    "± of a value: standard deviation over the seeds. ± of a difference: its standard error, from "
    "the deviations of all groups together."
)
_ONE_SEED = (
    "One seed each: to see what is chance, train each again with -S train.seed=2 and name all runs "
    "here."
)


@dataclass(frozen=True)
class Figure:
    """A key metric of a group of runs; None where it has none.

    Attributes:
        mean: over the runs.
        deviation: standard deviation over the runs, from two of them on.
        difference: of the mean from that of the first group.
        error: standard error of the difference, where any group has two runs.
    """

    mean: float | None
    deviation: float | None
    difference: float | None
    error: float | None


@dataclass(frozen=True)
class Comparison:
    """Runs by groups, whose runs differ in `train.seed` alone.

    Attributes:
        groups: the runs of each.
        parameters: those that differ between groups, with the value of each group; `code` and
            `images` among them, as hashes.
        figures: the key metrics that any run has, with one figure for each group.
    """

    groups: list[list[Run]]
    parameters: dict[str, list[Any]]
    figures: dict[str, list[Figure]]


def compare_runs(runs: Iterable[Run]) -> Comparison:
    """Put runs into groups, in the order in which they come, and compare these with the first."""
    groups: list[list[Run]] = []
    for run in runs:
        for group in groups:
            # Of the same seed it would be another code's run, and no other draw of chance.
            seeds = {member.parameters.get(SEED) for member in group}
            if _unseeded(run) == _unseeded(group[0]) and run.parameters.get(SEED) not in seeds:
                group.append(run)
                break
        else:
            groups.append([run])
    settings = [_unseeded(group[0]) for group in groups]
    names = dict.fromkeys(name for setting in settings for name in setting)
    parameters = {name: [setting.get(name, "-") for setting in settings] for name in names}
    return Comparison(
        groups,
        {name: values for name, values in parameters.items() if _differ(values)},
        {
            name: _figures([[run.metrics.get(name) for run in group] for group in groups])
            for name in KEY_METRICS
            if any(name in run.metrics for group in groups for run in group)
        },
    )


def as_text(comparison: Comparison) -> str:
    """Return the comparison as aligned columns for a terminal."""
    parts = [
        *_group_lines(comparison),
        *(
            [*_aligned(_parameter_rows(comparison), words=True), ""]
            if comparison.parameters
            else []
        ),
        *_aligned(_metric_rows(comparison), words=False),
        *(["", textwrap.fill(note, 100)] if (note := _note(comparison)) else []),
    ]
    return "\n".join(parts)


def as_markdown(comparison: Comparison) -> str:
    """Return the comparison as tables of Markdown."""
    several = len(comparison.groups) > 1
    parts = [*(["### Parameters that differ", ""] if several else []), *_group_lines(comparison)]
    if comparison.parameters:
        parts += [*_piped(_parameter_rows(comparison)), ""]
    parts += ["### Key metrics", "", *_piped(_metric_rows(comparison))]
    if note := _note(comparison):
        parts += ["", note]
    return "\n".join(parts)


def as_json(comparison: Comparison) -> str:
    """Return the comparison for programs: by group its runs, parameters that differ and metrics."""
    groups = [
        {
            "runs": [run.name for run in group],
            "seeds": [run.parameters.get(SEED) for run in group],
            "parameters": {name: values[at] for name, values in comparison.parameters.items()},
            "metrics": {
                name: {
                    "values": [run.metrics.get(name) for run in group],
                    **{key: _ten_digits(value) for key, value in vars(figures[at]).items()},
                }
                for name, figures in comparison.figures.items()
            },
        }
        for at, group in enumerate(comparison.groups)
    ]
    return json.dumps({"groups": groups}, indent=2)


def _unseeded(run: Run) -> dict[str, Any]:
    """Return what decides the results of a run but for chance."""
    return {name: value for name, value in run.parameters.items() if name != SEED} | run.inputs


def _differ(values: Sequence[Any]) -> bool:
    return any(value != values[0] for value in values)


def _figures(by_group: Sequence[Sequence[float | None]]) -> list[Figure]:
    measured = [[value for value in values if value is not None] for values in by_group]
    several = [values for values in measured if len(values) > 1]
    freedom = sum(len(values) - 1 for values in several)
    squares = sum((len(values) - 1) * statistics.variance(values) for values in several)
    first = measured[0]
    figures = []
    for at, values in enumerate(measured):
        difference = error = None
        if at and first and values:
            difference = statistics.fmean(values) - statistics.fmean(first)
            if freedom:
                error = math.sqrt(squares / freedom * (1 / len(values) + 1 / len(first)))
        figures.append(
            Figure(
                statistics.fmean(values) if values else None,
                statistics.stdev(values) if len(values) > 1 else None,
                difference,
                error,
            )
        )
    return figures


def _labels(comparison: Comparison) -> list[str]:
    return [
        group[0].name + (f" ({len(group)} seeds)" if len(group) > 1 else "")
        for group in comparison.groups
    ]


def _group_lines(comparison: Comparison) -> list[str]:
    """Return what the labels of several seeds stand for, and that nothing differs."""
    lines = []
    for label, group in zip(_labels(comparison), comparison.groups, strict=True):
        if len(group) > 1:
            members = ", ".join(f"{run.name} ({run.parameters.get(SEED)})" for run in group)
            lines.append(f"{label}: {members}")
    if len(comparison.groups) > 1 and not comparison.parameters:
        lines.append("No parameter differs, nor do code and images.")
    return [*lines, ""] if lines else []


def _parameter_rows(comparison: Comparison) -> list[list[str]]:
    rows = [["parameter", *_labels(comparison)]]
    for name, values in comparison.parameters.items():
        rows.append([name, *map(_parameter, values)])
    return rows


def _parameter(value: Any) -> str:
    """Return a value as params.yaml writes it; an empty one there is none."""
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value)


def _metric_rows(comparison: Comparison) -> list[list[str]]:
    first, *others = _labels(comparison)
    rows = [["metric", first, *(cell for label in others for cell in (label, "difference")), ""]]
    for name, figures in comparison.figures.items():
        cells = []
        for at, figure in enumerate(figures):
            cells.append(_with_spread(name, figure.mean, figure.deviation, signed=False))
            if at:
                cells.append(_with_spread(name, figure.difference, figure.error, signed=True))
        rows.append([name, *cells, reading(name)])
    return rows


def _with_spread(name: str, value: float | None, spread: float | None, *, signed: bool) -> str:
    if value is None:
        return "-"
    text = shown(name, value, signed=signed)
    return f"{text} ± {shown(name, spread)}" if spread else text


def _note(comparison: Comparison) -> str:
    if any(len(group) > 1 for group in comparison.groups):
        return _SPREAD
    return _ONE_SEED if len(comparison.groups) > 1 else ""


def _aligned(rows: Sequence[Sequence[str]], *, words: bool) -> list[str]:
    """Return rows in columns: the first and the last of words, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    last = len(widths) - 1
    return [
        "  ".join(
            cell.ljust(width) if words or at in (0, last) else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _piped(rows: Sequence[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in rows]
    return [lines[0], "|---" * len(rows[0]) + "|", *lines[1:]]


def _ten_digits(value: float | None) -> float | None:
    # Weights are counted in millions, and the last digits of a double are rounding.
    return None if value is None else float(f"{value:.10g}")
