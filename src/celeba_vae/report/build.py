"""The report of a run as one HTML page: plots, faces, metrics, parameters and hashes.

It holds its pictures, needs no network and no script, and has no clock, no name of a machine's
owner and no path of a disk: the same run gives the same bytes. The curves of losses and KL by epoch
are drawn here, from the tables that the training left; all other plots are those of their stages.
"""

import base64
import hashlib
import io
import json
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from celeba_vae.faces.layout import SPLITS
from celeba_vae.machine import read_machine
from celeba_vae.plots.curves import plot_kl_by_epoch, plot_losses
from celeba_vae.report import texts
from celeba_vae.report.metrics import FIX, NO_FACES, REAL, read_metrics
from celeba_vae.runtime.arrays import Floats
from celeba_vae.runtime.errors import UserError
from celeba_vae.runtime.mappings import flatten
from celeba_vae.runtime.reading import Rows, read_object, read_tsv, reading
from celeba_vae.shards.read import shard_sums

_TEMPLATE = "page.html.jinja"
# What names a place on somebody's disk or network.
_PLACES = {("download", "path"), ("download", "url"), ("evaluate", "fid")}

# Grey levels of faces are multiples of this: hardly anything to the eye, but half the bytes, for
# PNG cannot pack the noise of their last bits.
_STEP = 6

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Picture:
    """A PNG in the page, with what is said about it; width and height in pixels."""

    text: texts.Text
    source: str
    width: int
    height: int


@dataclass(frozen=True)
class Table:
    """A table of ready texts.

    Attributes:
        title: above it.
        head: the names of the columns.
        rows: a text for each column.
        meanings: what the first texts of the rows mean, where that is not plain.
        note: how to read it.
        folded: whether it opens on demand only.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    meanings: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    folded: bool = False


@dataclass(frozen=True)
class Section:
    """A part of the page; `name` is its address in it."""

    name: str
    title: str
    intro: str
    parts: Sequence[Picture | Table]


def build_report(data: Path, *, groups: Json, code: Mapping[str, str]) -> str:
    """Return the report of a run as HTML.

    What the run lacks (KL of a plain autoencoder, attributes and factors of own images) is left
    out.

    Args:
        data: the folder with what the stages left: raw, shards, model, zpoints, samples,
            attributes, evaluation and metrics; and machine.json.
        groups: the parameters by group, those without a group by their name.
        code: the sha256 of each source file that made the run, by the name that is shown.

    Raises:
        UserError: something that every run leaves is missing or damaged.
    """
    sections = _sections(data, groups, code)
    return render([section for section in sections if section.parts])


def render(sections: Sequence[Section]) -> str:
    """Return the page; all texts are escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.tests["table"] = lambda part: isinstance(part, Table)
    return environment.get_template(_TEMPLATE).render(sections=sections)


def _sections(data: Path, groups: Json, code: Mapping[str, str]) -> list[Section]:
    metrics = read_metrics(data / "metrics")
    variational = "kl_nats_per_image" in metrics["zpoints"]["validation"]
    # What is only read comes before what is drawn: a missing file is then found at once.
    provenance = _provenance(data, groups, code)
    glance, faces = _glance(data, metrics), _faces(data, metrics["generate"])
    zpoints = _zpoints(data, metrics["zpoints"])
    attributes = _attributes(data, metrics["attributes"])
    quality = _quality(data, metrics["evaluate"])
    return [
        glance,
        faces,
        _training(data, metrics["train"], variational=variational),
        zpoints,
        attributes,
        quality,
        Section(
            "parameters",
            "Parameters",
            "Every parameter that a result depends on; params.yaml says what each does. Places on "
            "a disk or a network are not named here.",
            [Table("params.yaml", ("parameter", "value"), _parameter_rows(groups))],
        ),
        provenance,
    ]


def _glance(data: Path, metrics: Mapping[str, Any]) -> Section:
    train, quality, evaluated = metrics["train"], metrics["generate"], metrics["evaluate"]
    validation, compared = metrics["zpoints"]["validation"], metrics["evaluate"]["samples"]
    kind = "VAE" if "kl_nats_per_image" in validation else "plain autoencoder"
    rows = [
        ("images of train, validation, test", _counts(metrics["zpoints"])),
        ("reconstruction loss, validation", f"{_shown(train['val_reconstruction'])} nats/image"),
    ]
    if "kl_nats_per_image" in validation:
        rows.append(("KL loss, validation", f"{_shown(train['val_kl'])} nats/image"))
    rows += [
        (
            "reconstructions, validation",
            f"{quality['psnr_db_mean']:.1f} dB PSNR, {quality['ssim_mean']:.3f} SSIM",
        ),
        ("|z|, validation", _mean_and_std(validation, "z_radius")),
        ("|z| that N(0, I) gives", _mean_and_std(validation, "chi")),
    ]
    if "likelihood" in evaluated:
        bits = evaluated["likelihood"]["bound_bits_per_dimension"]
        rows.append(("bits for a value of a pixel, test", _shown(bits)))
    rows += [
        (f"distance of patches from test (SWD): {label}", _shown(compared[name]["swd"]))
        for name, label in _compared_names(compared).items()
    ]
    intro = (
        f"A {kind} with {validation['z_dim']} dimensions, trained on "
        f"{train['training_images']:,} images for {_counted(train['epochs'], 'epoch')}. "
        "What each metric means, and what to see in each picture, is said beside it."
    )
    parts: list[Picture | Table] = [
        *_picture(data / "samples/overview.png", texts.OVERVIEW, faces=True),
        Table("Key metrics", ("metric", "value"), rows),
    ]
    return Section("glance", "At a glance", intro, parts)


def _faces(data: Path, quality: Json) -> Section:
    intro = (
        f"The chosen sampler is {quality['sampler']}, at temperature {quality['temperature']:g}. "
        f"Faces on this page are rounded to multiples of {_STEP} of 255 grey levels, to keep it "
        "small; the originals are in data/samples."
    )
    parts: list[Picture | Table] = [
        *_pictures(data / "samples", texts.SAMPLES, of_faces=texts.SAMPLES, optional=())
    ]
    measured = {k: v for k, v in quality.items() if k not in ("sampler", "temperature")}
    parts.append(_metrics("Reconstructions of all validation images", measured))
    return Section("faces", "Faces", intro, parts)


def _training(data: Path, metrics: Json, *, variational: bool) -> Section:
    panels = {"reconstruction": "Reconstruction loss"}
    kl = None
    if variational:
        panels = {"loss": "Loss", **panels, "kl": "KL loss, without its weight"}
        file = data / "model/kl_per_dimension.tsv"
        by_name = _columns(file, ["epoch", "dimension_0"], rows=metrics["epochs"])
        kl = np.stack([v for name, v in by_name.items() if name != "epoch"], axis=1)
    named = [prefix + name for name in panels for prefix in ("", "val_")]
    history = _columns(data / "model/history.tsv", ["epoch", *named], rows=metrics["epochs"])
    parts: list[Picture | Table] = [_embedded(plot_losses(history, panels), texts.LOSSES)]
    if kl is not None:
        parts.append(_embedded(plot_kl_by_epoch(kl), texts.KL))
    known = {k: v for k, v in metrics.items() if variational or "kl" not in k.split("_")}
    parts.append(_metrics("The epoch whose weights were kept", known))
    intro = (
        "Losses are in nats per image, summed over pixels and channels. Those of training were "
        "taken during the epoch, while the weights changed; those of validation after it."
    )
    return Section("training", "Training", intro, parts)


def _zpoints(data: Path, metrics: Json) -> Section:
    parts: list[Picture | Table] = [
        *_pictures(
            data / "zpoints/plots",
            texts.ZPOINTS,
            of_faces=("scales", "cubes"),
            optional=texts.OPTIONAL_ZPOINTS,
        ),
    ]
    splits = [metrics[split] for split in SPLITS]
    rows = [(name, *(_shown(split.get(name)) for split in splits)) for name in splits[0]]
    parts.append(Table("z-points of each split", ("metric", *SPLITS), rows, _meanings(rows)))
    parts.append(_metrics("Samplers, as energy distances", metrics["samplers"]))
    parts.append(_metrics("Uniform cubes", metrics["region"]))
    intro = (
        "z-points are the latent codes of the images; the KL loss moves them towards N(0, I). "
        "Dashed black is what N(0, I), or as many points of it, would give."
    )
    return Section("zpoints", "Where the z-points lie", intro, parts)


def _attributes(data: Path, metrics: Json) -> Section:
    folder = data / "attributes"
    parts: list[Picture | Table] = []
    if metrics["probes"]:
        parts += _picture(folder / "plots/auc.png", texts.AUC)
    for path in sorted(folder.glob("plots/push_*.png")):
        text = texts.pushed(path.stem.removeprefix("push_"))
        parts += _picture(path, text, faces=True)
    parts += _table_of(folder / "attributes.tsv", "Attributes", ["attribute", "auc"])
    if "factors" in metrics:
        parts += _picture(folder / "plots/factors.png", texts.FACTORS)
        parts.append(_metrics("All factors together", metrics["factors"]))
        parts += _table_of(folder / "factors.tsv", "True factors", ["factor", "mig"])
    intro = (
        "Which attributes a linear probe finds in mu, and how a face changes along their "
        "directions. Trust a direction as far as its probe: below an area of 0.8 much of it is "
        "chance."
    )
    return Section("attributes", "Attributes and true factors", intro, parts)


def _quality(data: Path, metrics: Json) -> Section:
    plots = data / "evaluation/plots"
    parts: list[Picture | Table] = [
        *_picture(plots / "best_and_worst.png", texts.BEST_AND_WORST, faces=True),
        _metrics("Reconstructions of all test images", metrics["reconstruction"]),
    ]
    if "likelihood" in metrics:
        parts.append(_metrics("Likelihood, test images", metrics["likelihood"]))
    compared = {k: v for k, v in metrics["samples"].items() if k not in NO_FACES}
    measured = _rows(data / "evaluation/samples.tsv", ["faces", "swd"])
    if [row[0] for row in measured.rows] != list(compared):
        raise UserError(f"{data}/evaluation/samples.tsv: has other rows than the metrics; {FIX}")
    # Those that all but test have come first.
    ordered = (compared["validation"], *compared.values())
    columns = list(dict.fromkeys(name for values in ordered for name in values))
    rows = [
        (name, *(_shown(values[c]) if c in values else "-" for c in columns))
        for name, values in compared.items()
    ]
    title = f"Generated and real faces beside test, {metrics['samples']['images']:,} of each"
    parts.append(Table(title, ("faces", *columns), rows, note=texts.COMPARED))
    if "not_measured" in metrics["samples"]:
        reasons = list(metrics["samples"]["not_measured"].items())
        parts.append(Table("Not measured", ("measure", "why"), reasons))
    if "fid" in metrics:
        parts.append(_metrics("FID", metrics["fid"]))
    for name in sorted(set(compared) - {*REAL}):
        parts += _picture(plots / f"nearest_{name}.png", texts.nearest(name), faces=True)
    intro = "Measured on the test images, on which no choice was made."
    return Section("quality", "How good the faces are", intro, parts)


def _provenance(data: Path, groups: Json, code: Mapping[str, str]) -> Section:
    shards = {
        path.name: digest for split in SPLITS for path, digest in shard_sums(data / "shards", split)
    }
    source = data / "imported/source.json"
    if "source" not in read_object(source, fix=FIX):
        raise UserError(f"{source}: names no source; {FIX}")
    known = {
        "data: imported/source.json": _sum_of(source, begins=b"{"),
        "data: shards/manifest.json": _sum_of(data / "shards/manifest.json", begins=b"{"),
        "model: vae.weights.h5": _sum_of(data / "model/vae.weights.h5", begins=b"\x89HDF"),
        "code: the files listed below": _digest(code),
        "parameters: the table above": _digest(dict(_parameter_rows(groups))),
    }
    head = ("of what", "sha256")
    parts = [
        Table("Data, code and parameters", head, list(known.items())),
        Table("Shards", head, list(shards.items()), folded=True),
        Table("Source files", head, list(code.items()), folded=True),
        Table(
            "The machine recorded in data/machine.json",
            ("what", "value"),
            _shown_rows(read_machine(data / "machine.json")),
            note="It made the results of dvc.lock as committed; `celeba-vae machine` says in what "
            "yours differs.",
        ),
    ]
    intro = (
        "The same data, code, parameters and versions give the same bytes. DVC keeps the hashes of "
        "every file in dvc.lock."
    )
    return Section("provenance", "Where it comes from", intro, parts)


def _picture(path: Path, text: texts.Text, *, faces: bool = False) -> list[Picture]:
    """Return the picture in a PNG file; a list of one, to be added to others."""
    with reading(path, kind="a PNG", fix=FIX) as file:
        content = file.read()
        picture = _embedded(content, text)
        if not faces:
            return [picture]
        pixels = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"), np.uint16)
    levels = np.minimum((pixels + _STEP // 2) // _STEP * _STEP, 255).astype(np.uint8)
    packed = io.BytesIO()
    Image.fromarray(levels).save(packed, format="PNG")
    return [_embedded(packed.getvalue(), text)]


def _pictures(
    folder: Path,
    named: Mapping[str, texts.Text],
    *,
    of_faces: Container[str],
    optional: Container[str],
) -> Iterator[Picture]:
    """Give the pictures NAME.png of a folder; of the optional ones, those that the run has."""
    for name, text in named.items():
        path = folder / f"{name}.png"
        if name not in optional or path.exists():
            yield from _picture(path, text, faces=name in of_faces)


def _embedded(content: bytes, text: texts.Text) -> Picture:
    with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
        # A file that is cut short would show in half.
        image.load()
        width, height = image.size
    source = f"data:image/png;base64,{base64.b64encode(content).decode('ascii')}"
    return Picture(text, source, width, height)


def _metrics(title: str, metrics: Json) -> Table:
    rows = _shown_rows(metrics)
    return Table(title, ("metric", "value"), rows, _meanings(rows))


def _meanings(rows: Sequence[Sequence[str]]) -> dict[str, str]:
    names = [row[0] for row in rows]
    known = {name: texts.MEANINGS.get(name.rpartition(".")[2]) for name in names}
    return {name: meaning for name, meaning in known.items() if meaning}


def _table_of(path: Path, title: str, named: Sequence[str]) -> list[Table]:
    """Return the table in a TSV file, or none where there is no row in it.

    Columns without a single text are left out.
    """
    head, rows = _rows(path, named)
    columns = [column for column in zip(head, *rows, strict=True) if any(column[1:])]
    if not columns:
        return []
    head, *rows = ([_shown_cell(cell) for cell in row] for row in zip(*columns, strict=True))
    return [Table(title, head, rows, folded=True)]


def _rows(path: Path, named: Sequence[str]) -> Rows:
    """Return the table in a TSV file, which has the columns that are named."""
    table = read_tsv(path, fix=FIX)
    for name in named:
        if name not in table.header:
            raise UserError(f"{path}: has no column {name}; {FIX}")
    return table


def _columns(path: Path, named: Sequence[str], *, rows: int) -> dict[str, Floats]:
    """Return the columns of numbers in a TSV file, with so many rows."""
    table = _rows(path, named)
    try:
        values = np.array(table.rows, np.float64)
    except ValueError:
        raise UserError(f"{path}: holds something else than numbers; {FIX}") from None
    if len(values) != rows or not np.isfinite(values).all():
        raise UserError(f"{path}: must hold finite numbers in {rows} rows; {FIX}")
    return dict(zip(table.header, values.T, strict=True))


def _sum_of(path: Path, *, begins: bytes) -> str:
    """Return the sha256 of a file, which begins as its kind does."""
    with reading(path, kind="what the stages write", fix=FIX) as file:
        if file.read(len(begins)) != begins:
            raise ValueError
        file.seek(0)
        return hashlib.file_digest(file, "sha256").hexdigest()


def _parameter_rows(groups: Json) -> list[tuple[str, str]]:
    named = {
        group: {
            key: "given" if (group, key) in _PLACES and item is not None else item
            for key, item in value.items()
        }
        if isinstance(value, Mapping)
        else value
        for group, value in groups.items()
    }
    return [(key, _exact(value)) for key, value in flatten(named).items()]


def _shown_rows(values: Json) -> list[tuple[str, str]]:
    return [(name, _shown(value)) for name, value in flatten(values).items()]


def _exact(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_exact, value))
    if isinstance(value, bool):
        return str(value).lower()
    return "empty" if value is None else str(value)


def _shown(value: Any) -> str:
    """Return a value in four digits, as people read it."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return "none" if value is None else _exact(value)
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def _shown_cell(cell: str) -> str:
    try:
        value = float(cell)
    except ValueError:
        return cell
    return _shown(int(value) if value.is_integer() else value)


def _counts(zpoints: Json) -> str:
    return ", ".join(f"{zpoints[split]['images']:,}" for split in SPLITS)


def _counted(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _mean_and_std(metrics: Json, name: str) -> str:
    return f"{metrics[f'{name}_mean']:.2f} ± {metrics[f'{name}_std']:.2f}"


def _compared_names(compared: Json) -> dict[str, str]:
    """Return the sets of faces that were compared with test, with what to call them."""
    labels = {
        "validation": "other real faces, the floor",
        "reconstructions": "reconstructions",
    }
    others = [name for name in compared if name not in (*NO_FACES, *REAL)]
    return labels | {name: f"faces generated by {name}" for name in others}


def _digest(value: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()
