"""profile.md: the tables and the plot of what was measured, and the article's findings."""

import math
from collections.abc import Sequence
from pathlib import Path

from celeba_vae.params import Params
from celeba_vae.plots.memory import plot_memory
from celeba_vae.profiling.cases import BATCHES, CURRENT, HEADS, LEVELS, LEVERS, Case
from celeba_vae.profiling.run import LargestBatch, MeasuredCase
from celeba_vae.runtime.files import write_bytes, write_text

# The article's training images.
EPOCH_IMAGES = 170_000

_TITLES = {
    CURRENT: "The current parameters",
    HEADS: "The extra Dense layer and z_dim (batch 128)",
    LEVELS: "Levels (batch 128)",
    BATCHES: "Batch size",
    LEVERS: "What saves memory (batch 128)",
}

_HEAD = (
    "Counted from the shapes: weights, gradients, the optimizer's slots, and activations, the "
    "outputs of all layers for the images that are computed at once. Measured: the peak of "
    "anonymous memory of a process that trains on random images (on a GPU the peak of its "
    "allocator); of that, what Python, TensorFlow and the weights take before the first step; "
    "pages of files apart, which the system can drop. Seconds: the median step; for 170,000 "
    "images as many steps as they need."
)


def write_profile(
    folder: Path, rows: Sequence[MeasuredCase], batches: Sequence[LargestBatch], *, machine: str
) -> Path:
    """Write profile.md and its plot profile.png and return the path of the first.

    Args:
        folder: where to write.
        rows: what was measured.
        batches: the largest batch for each memory.
        machine: what it was measured on, in words.
    """
    sizes = _of_one_model(rows)
    counted = sizes[0].measured.counted
    plot = plot_memory(
        _bars(rows),
        {row.case.params.train.batch_size: float(row.measured.memory) for row in sizes},
        (counted["activations"], sum(counted[part] for part in ("weights", "gradients", "slots"))),
    )
    write_bytes(folder / "profile.png", plot)
    parts = ["# What a step of training takes", "", machine, "", _HEAD, "", "![](profile.png)"]
    for group, title in _TITLES.items():
        members = [row for row in rows if row.case.group == group]
        if members:
            parts += ["", f"## {title}", "", *_table(members)]
    parts += ["", "## The largest batch", "", *_batches_table(batches)]
    findings = _findings(rows)
    if findings:
        parts += ["", "## What the article found", "", *findings]
    path = folder / "profile.md"
    write_text(path, "\n".join(parts) + "\n")
    return path


def _table(rows: Sequence[MeasuredCase]) -> list[str]:
    head = (
        "",
        "Encoder",
        "Decoder",
        "weights",
        "gradients",
        "slots",
        "activations",
        "peak, measured",
        "before the first step",
        "pages of files",
        "a step",
        "images/s",
        "170,000 images",
    )
    lines = []
    for case, measured in rows:
        counted, batch = measured.counted, case.params.train.batch_size
        rate = batch / measured.step_seconds
        lines.append(
            (
                case.name,
                f"{counted['encoder_parameters']:,}",
                f"{counted['decoder_parameters']:,}",
                *(_mb(counted[name]) for name in ("weights", "gradients", "slots")),
                _mb(_at_once(case) * counted["activations"]),
                _mb(measured.memory),
                _mb(measured.before),
                _mb(measured.file_backed),
                f"{1000 * measured.step_seconds:.0f} ms",
                f"{rate:.0f}",
                f"{EPOCH_IMAGES / rate:.0f} s",
            )
        )
    return _markdown(head, lines)


def _batches_table(batches: Sequence[LargestBatch]) -> list[str]:
    return _markdown(
        ("memory", "largest batch", "seen to take"),
        [
            (
                f"{found.limit / 1e9:g} GB",
                f"{found.batch:,}" if found.batch else "none",
                "not tried here" if found.memory is None else f"{found.memory / 1e9:.2f} GB",
            )
            for found in batches
        ],
    )


def _findings(rows: Sequence[MeasuredCase]) -> list[str]:
    """Return what the article says, with what was seen here; none without the sweep."""
    heads = {_head_key(row): row for row in rows if row.case.group == HEADS}
    levels = {row.case.name: row for row in rows if row.case.group == LEVELS}
    batches = {row.case.params.train.batch_size: row for row in rows if row.case.group == BATCHES}
    if not (heads and levels and batches):
        return []
    plain, extra = heads[256, None], heads[256, 256]
    params = plain.case.params
    units = break_even_units(params)
    ratio = extra.measured.step_seconds / plain.measured.step_seconds
    three, four = (
        _flat_units(row.case.params)
        for name, row in levels.items()
        if name in ("3 levels, (32, 64, 256)", "4 levels, (32, 64, 128, 256)")
    )
    saved = plain.measured.memory - extra.measured.memory
    rate = {size: size / row.measured.step_seconds for size, row in batches.items()}
    return [
        f"- The extra layer saves parameters at z_dim 256 up to and including {units} units "
        f"(the article's model: 485). Of memory inter_dense 256 saves {saved / 1e6:.0f} MB here, "
        f"of {_mb(plain.measured.memory)}.",
        f"- The time of an epoch does not change with the layer: with inter_dense 256 a step takes "
        f"{ratio:.2f} times as long here.",
        f"- Three levels with 256 inner maps quadruple the head: {three:,} units before it instead "
        f"of {four:,}, {three / four:.1f} times.",
        f"- Batch 256 gains little over 128: {rate[256] / rate[128]:.2f} times the images a second "
        f"here; batch 512 {rate[512] / rate[128]:.2f} times.",
    ]


def break_even_units(params: Params) -> int:
    """Return the most units of `inter_dense` with which the Encoder has fewer parameters.

    With F units before the heads, z_dim z and d units the direct heads have 2 z (F + 1) weights;
    with the layer between there are d (F + 1) + 2 z (d + 1).
    """
    flat, z_dim = _flat_units(params), params.model.z_dim
    direct = 2 * z_dim * (flat + 1)
    return (direct - 2 * z_dim - 1) // (flat + 1 + 2 * z_dim)


def _flat_units(params: Params) -> int:
    side = params.prepare.size // math.prod(params.model.strides)
    return side * side * params.model.filters[-1]


def _head_key(row: MeasuredCase) -> tuple[int, int | None]:
    return row.case.params.model.z_dim, row.case.params.model.inter_dense


def _bars(rows: Sequence[MeasuredCase]) -> dict[str, dict[str, float]]:
    """Return for each row the parts of its memory in bytes, bottom first."""
    bars = {}
    for case, measured in rows:
        counted = measured.counted
        parts = {name: float(counted[name]) for name in ("weights", "gradients", "slots")}
        parts["activations"] = float(_at_once(case) * counted["activations"])
        parts["the rest of the measured peak"] = max(0.0, measured.memory - sum(parts.values()))
        bars[case.name if case.group == CURRENT else f"{case.group}: {case.name}"] = parts
    return bars


def _at_once(case: Case) -> int:
    """Return the images whose activations are kept at the same time."""
    train = case.params.train
    return train.batch_size // train.accumulate


def _of_one_model(rows: Sequence[MeasuredCase]) -> list[MeasuredCase]:
    """Return the rows that differ in nothing but the batch size."""
    group = BATCHES if any(row.case.group == BATCHES for row in rows) else CURRENT
    return [row for row in rows if row.case.group == group]


def _mb(size: float) -> str:
    return f"{size / 1e6:,.0f} MB"


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]
