"""The report of a run as one HTML page: plots, faces, metrics, parameters and hashes.

It says which run it is, whether it is good and what to do next; then come the pictures, and folded
what few look for. It holds its pictures, needs no network and no script, and has no clock, no name
of a machine's owner and no path of a disk: the same run gives the same bytes. The curves of losses
and KL by epoch are drawn here, from the tables that the training left; all other plots are those of
their stages.
"""

import base64
import hashlib
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from celeba_vae.faces.layout import SPLITS
from celeba_vae.plots.curves import plot_kl_by_epoch, plot_losses
from celeba_vae.plots.grids import png, read_rows
from celeba_vae.report import texts
from celeba_vae.report.metrics import FIX, NO_FACES, REAL, read_architecture, read_metrics
from celeba_vae.report.readings import Step, next_steps, readings
from celeba_vae.report.texts import Kind
from celeba_vae.runtime.arrays import Floats, Pixels
from celeba_vae.runtime.errors import UserError
from celeba_vae.runtime.mappings import flatten
from celeba_vae.runtime.reading import Rows, read_object, read_tsv, reading
from celeba_vae.shards.read import shard_sums

_TEMPLATE = "page.html.jinja"
# What names a place on somebody's disk or network.
_PLACES = ("download.path", "download.url", "evaluate.fid")

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
    kind: Kind

    @property
    def half(self) -> bool:
        """Whether two of them fit side by side."""
        return self.kind != "panels"


class Strip(NamedTuple):
    """One row of a labelled grid: its label, and the PNG of its faces."""

    label: str
    source: str


@dataclass(frozen=True)
class Strips:
    """A labelled grid row by row, with its labels as text; width and height of a row in pixels."""

    text: texts.Text
    heads: Sequence[str]
    rows: Sequence[Strip]
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
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    meanings: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class Facts:
    """What is known, name by name; each with one text or several."""

    rows: Sequence[tuple[str, Sequence[str]]]
    command: str


@dataclass(frozen=True)
class Commands:
    """What to do next."""

    steps: Sequence[Step]


Part = Picture | Strips | Table | Facts | Commands


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        name: its address in the page.
        title: above it.
        intro: what is in it, or how to read it; empty where that is plain.
        parts: what everybody should see.
        more: what only some look for, folded.
        more_title: above that.
    """

    name: str
    title: str
    intro: str
    parts: Sequence[Part]
    more: Sequence[Part] = ()
    more_title: str = ""

    @property
    def more_counts(self) -> str:
        """How much is folded, in words."""
        tables = sum(isinstance(part, Table) for part in self.more)
        counts = ((len(self.more) - tables, "picture"), (tables, "table"))
        return ", ".join(_counted(n, thing) for n, thing in counts if n)


def build_report(data: Path, *, groups: Json, defaults: Json, code: Mapping[str, str]) -> str:
    """Return the report of a run as HTML.

    What the run lacks (KL of a plain autoencoder, attributes and factors of own images) is left
    out.

    Args:
        data: the folder with what the stages left: imported, shards, model, zpoints, samples,
            attributes, evaluation and metrics.
        groups: the parameters by group, those without a group by their name.
        defaults: the same by default.
        code: the sha256 of each source file that made the run, by the name that is shown.

    Raises:
        UserError: something that every run leaves is missing or damaged.
    """
    run = _read_run(data, groups, defaults, code)
    # What is only read comes before what is drawn: a missing file is then found at once.
    before = [_which(run), _good(run), _next(run), _faces(run)]
    after = [_zpoints(run), _attributes(run), _quality(run), _provenance(run)]
    sections = [*before, _training(run), *after]
    return render(run.name, [section for section in sections if section.parts or section.more])


def render(name: str, sections: Sequence[Section]) -> str:
    """Return the page of the run of that name; all texts are escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals["kind_of"] = lambda part: type(part).__name__
    page = environment.get_template(_TEMPLATE)
    return page.render(name=name, sections=sections, glossary=texts.GLOSSARY)


@dataclass(frozen=True)
class _Run:
    """What the stages left, as far as several sections need it."""

    data: Path
    metrics: Mapping[str, Any]
    groups: Json
    differing: Mapping[str, tuple[Any, Any]]
    code: Mapping[str, str]
    architecture: Json
    history: Mapping[str, Floats]

    @property
    def name(self) -> str:
        """The first digits of the md5 that dvc.lock gives for the metrics."""
        return folder_md5(self.data / "metrics")[:8]

    @property
    def variational(self) -> bool:
        """Whether it is no plain autoencoder."""
        return "kl_nats_per_image" in self.metrics["zpoints"]["validation"]

    @property
    def losses(self) -> list[float]:
        """The loss on validation images after each epoch, nats per image."""
        return list(map(float, self.history["val_loss"]))


def _read_run(data: Path, groups: Json, defaults: Json, code: Mapping[str, str]) -> _Run:
    metrics = read_metrics(data / "metrics")
    named = ["loss", "val_loss", "reconstruction", "val_reconstruction", "kl", "val_kl"]
    default = flatten(defaults)
    return _Run(
        data,
        metrics,
        groups,
        {
            key: (value, default[key])
            for key, value in flatten(groups).items()
            if value != default[key]
        },
        code,
        read_architecture(data / "model/architecture.json"),
        _columns(data / "model/history.tsv", ["epoch", *named], rows=metrics["train"]["epochs"]),
    )


def folder_md5(folder: Path) -> str:
    """Return the md5 by which DVC knows a folder of files, without its ending `.dir`."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    listing = [{"md5": _md5(path.read_bytes()), "relpath": path.name} for path in files]
    return _md5(json.dumps(listing).encode())


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _which(run: _Run) -> Section:
    train, validation = run.metrics["train"], run.metrics["zpoints"]["validation"]
    kind = "VAE" if run.variational else "plain autoencoder"
    source, size = run.groups["download"]["source"], run.architecture["size"]
    steps = math.ceil(train["training_images"] / run.groups["train"]["batch_size"])
    images = {"synthetic": "synthetic faces", "celeba": "CelebA", "local": "own images"}[source]
    differing = [
        f"{key} = {_exact(_hidden(key, value))} (default: {_exact(_hidden(key, default))})"
        for key, (value, default) in run.differing.items()
    ]
    rows = [
        (
            "Model",
            [
                f"{kind} with {_counted(validation['z_dim'], 'dimension')}; parameters: Encoder "
                f"{train['encoder_parameters']:,}, Decoder {train['decoder_parameters']:,}; a "
                f"training step holds {train['step_bytes'] / 1e6:.1f} MB"
            ],
        ),
        ("Changed", differing or ["nothing: all parameters are the defaults"]),
        (
            "Images",
            [
                f"{images}, {size}x{size}; train, validation, test: "
                f"{_counts(run.metrics['zpoints'])}"
            ],
        ),
        ("Training", [f"{_counted(train['epochs'], 'epoch')} of {_counted(steps, 'step')}"]),
        ("Trained by", [_machine(run.architecture["made_by"])]),
        (
            "Commit and date",
            [
                "This page is the same whenever it is made, and so holds neither. The last line "
                "that the command below prints is the commit or the experiment that brought this "
                "run, with its date; no line: none holds it yet."
            ],
        ),
    ]
    parts = [
        Facts(rows, texts.which_commit(run.name)),
        *_picture(run.data / "samples/overview.png", texts.OVERVIEW, "faces"),
    ]
    return Section("which", "Which run?", "", parts)


def _machine(made_by: Json) -> str:
    packages = made_by.get("packages", {})
    backend = "jax" if "jax" in packages else "tensorflow"
    known = {
        "": made_by.get("system"),
        "Python ": made_by.get("python"),
        f"{backend} ": packages.get(backend),
        "instructions ": made_by.get("instructions"),
        "threads ": made_by.get("threads"),
        "on ": made_by.get("device"),
    }
    return ", ".join(f"{label}{value}" for label, value in known.items() if value is not None)


def _good(run: _Run) -> Section:
    rows = readings(run.metrics, run.losses)
    table = Table("", ("metric", "value", "yardstick", "reads as"), rows)
    return Section("good", "Is it good?", "", [table])


def _next(run: _Run) -> Section:
    steps = next_steps(
        run.metrics,
        run.losses,
        {
            key: "/path/as/given" if key in _PLACES and value else value
            for key, (value, _) in run.differing.items()
        },
        run.groups,
    )
    return Section("next", "What next?", "", [Commands(steps)])


def _faces(run: _Run) -> Section:
    quality = run.metrics["generate"]
    intro = (
        f"The chosen sampler is {quality['sampler']}, at temperature {quality['temperature']:g}. "
        f"Faces on this page are rounded to multiples of {_STEP} of 255 grey levels, to keep it "
        "small; the originals are in data/samples."
    )
    first, second, *more = (
        part
        for name, text in texts.SAMPLES.items()
        for part in _picture(run.data / f"samples/{name}.png", text, "faces")
    )
    title = "Reconstructions and interpolations"
    return Section("faces", "Generated faces", intro, [first, second], more, title)


def _training(run: _Run) -> Section:
    panels = {"reconstruction": "Reconstruction loss"}
    if run.variational:
        panels = {"loss": "Loss", **panels, "kl": "KL loss, without its weight"}
    metrics = run.metrics["train"]
    parts: list[Part] = [_embedded(plot_losses(run.history, panels), texts.LOSSES, "plot")]
    if run.variational:
        file = run.data / "model/kl_per_dimension.tsv"
        by_name = _columns(file, ["epoch", "dimension_0"], rows=metrics["epochs"])
        kl = np.stack([v for name, v in by_name.items() if name != "epoch"], axis=1)
        parts.append(_embedded(plot_kl_by_epoch(kl), texts.KL, "plot"))
    known = {k: v for k, v in metrics.items() if run.variational or "kl" not in k.split("_")}
    intro = (
        "Losses are in nats per image, summed over pixels and channels. Those of training were "
        "taken during the epoch, while the weights changed; those of validation after it."
    )
    more = [_metrics("The epoch whose weights were kept", known)]
    return Section("training", "Training", intro, parts, more, "All metrics of the training")


def _zpoints(run: _Run) -> Section:
    folder, metrics = run.data / "zpoints/plots", run.metrics["zpoints"]
    parts = _plots(folder, texts.ZPOINTS)
    splits = [metrics[split] for split in SPLITS]
    rows = [(name, *(_shown(split.get(name)) for split in splits)) for name in splits[0]]
    more = [
        *_plots(folder, texts.MORE_ZPOINTS),
        Table("z-points of each split", ("metric", *SPLITS), rows, _meanings(rows)),
        _metrics("Samplers, as energy distances", metrics["samplers"]),
        _metrics("Uniform cubes", metrics["region"]),
    ]
    intro = (
        "z-points are the latent codes of the images; the KL loss moves them towards N(0, I). "
        "Dashed black is what N(0, I), or as many points of it, would give."
    )
    title = "The shape of their cloud, uniform cubes, all metrics"
    return Section("zpoints", "Where the z-points lie", intro, parts, more, title)


def _attributes(run: _Run) -> Section:
    folder, metrics = run.data / "attributes", run.metrics["attributes"]
    # The attribute that mu holds best comes first: there the direction can be seen at work.
    aucs = metrics.get("auc", {})
    pushed = sorted(
        folder.glob("plots/push_*.png"),
        key=lambda path: (-aucs.get(path.stem.removeprefix("push_"), 0), path),
    )
    faces: list[Part] = []
    for path in pushed:
        name = path.stem.removeprefix("push_")
        faces += _picture(path, texts.pushed(name, aucs.get(name)), "faces")
    more = faces[1:]
    if metrics["probes"]:
        more += _picture(folder / "plots/auc.png", texts.AUC, "plot")
    more += _table_of(folder / "attributes.tsv", "Attributes", ["attribute", "auc"])
    if "factors" in metrics:
        more += _picture(folder / "plots/factors.png", texts.FACTORS, "panels")
        more.append(_metrics("All factors together", metrics["factors"]))
        more += _table_of(folder / "factors.tsv", "True factors", ["factor", "mig"])
    intro = (
        "Which attributes a linear probe finds in mu, and how a face changes along their "
        "directions. Trust a direction as far as its probe: below an area of 0.8 much of it is "
        "chance."
    )
    title = "All attributes and factors"
    return Section("attributes", "Attributes", intro, faces[:1], more, title)


def _quality(run: _Run) -> Section:
    plots, metrics = run.data / "evaluation/plots", run.metrics["evaluate"]
    compared = {k: v for k, v in metrics["samples"].items() if k not in NO_FACES}
    measured = _rows(run.data / "evaluation/samples.tsv", ["faces", "swd"])
    if [row[0] for row in measured.rows] != list(compared):
        raise UserError(
            f"{run.data}/evaluation/samples.tsv: has other rows than the metrics; {FIX}"
        )
    samplers = sorted(
        {*compared} - {*REAL}, key=lambda name: name != run.metrics["zpoints"]["samplers"]["best"]
    )
    best, *others = [
        part
        for name in samplers
        for part in _picture(plots / f"nearest_{name}.png", texts.nearest(name), "faces")
    ]
    # Those that all but test have come first.
    ordered = (compared["validation"], *compared.values())
    columns = list(dict.fromkeys(name for values in ordered for name in values))
    rows = [
        (name, *(_shown(values[c]) if c in values else "-" for c in columns))
        for name, values in compared.items()
    ]
    compared_title = (
        f"Generated and real faces beside test, {metrics['samples']['images']:,} of each"
    )
    more: list[Part] = [
        *_picture(plots / "best_and_worst.png", texts.BEST_AND_WORST, "faces"),
        *others,
        Table(compared_title, ("faces", *columns), rows, note=texts.COMPARED),
        _metrics("Reconstructions of all test images", metrics["reconstruction"]),
    ]
    if "likelihood" in metrics:
        more.append(_metrics("Likelihood, test images", metrics["likelihood"]))
    if "not_measured" in metrics["samples"]:
        reasons = list(metrics["samples"]["not_measured"].items())
        more.append(Table("Not measured", ("measure", "why"), reasons))
    if "fid" in metrics:
        more.append(_metrics("FID", metrics["fid"]))
    intro = "Measured on the test images, on which no choice was made."
    title = "Best and worst reconstructions, all distances"
    return Section("quality", "How good the faces are", intro, [best], more, title)


def _provenance(run: _Run) -> Section:
    data = run.data
    shards = {
        path.name: digest for split in SPLITS for path, digest in shard_sums(data / "shards", split)
    }
    source = data / "imported/source.json"
    if "source" not in read_object(source, fix=FIX):
        raise UserError(f"{source}: names no source; {FIX}")
    parameters = _parameter_rows(run.groups)
    known = {
        "data: imported/source.json": _sum_of(source, begins=b"{"),
        "data: shards/manifest.json": _sum_of(data / "shards/manifest.json", begins=b"{"),
        "model: vae.weights.h5": _sum_of(data / "model/vae.weights.h5", begins=b"\x89HDF"),
        "code: the files listed below": _digest(run.code),
        "parameters: all that are listed below": _digest(dict(parameters)),
    }
    head = ("of what", "sha256")
    more = [
        Table("Data, code and parameters", head, list(known.items())),
        Table(
            "The machine that trained the model",
            ("what", "value"),
            _shown_rows(run.architecture["made_by"]),
            note="`celeba-vae machine` says in what yours differs from the one that made the "
            "committed results.",
        ),
        Table("All parameters", ("parameter", "value"), parameters),
        Table("Shards", head, list(shards.items())),
        Table("Source files", head, list(run.code.items())),
    ]
    intro = (
        "The same data, code, parameters and versions give the same bytes. DVC keeps the hashes of "
        "every file in dvc.lock, and params.yaml says what each parameter does."
    )
    title = "Hashes, machine, all parameters, source files"
    return Section("provenance", "Where it comes from", intro, [], more, title)


def _picture(path: Path, text: texts.Text, kind: Kind) -> list[Part]:
    """Return the picture in a PNG file; a list of one, to be added to others."""
    with reading(path, kind="a PNG", fix=FIX) as file:
        content = file.read()
        if kind != "faces":
            return [_embedded(content, text, kind)]
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            rows = read_rows(image)
            pixels = np.asarray(image.convert("RGB"))
        if rows is None:
            return [_embedded(_packed(pixels), text, kind)]
        strips = [
            Strip(label, _source(_packed(row)))
            for label, row in zip(rows.labels, rows.images, strict=True)
        ]
        _, height, width, _ = rows.images.shape
        return [Strips(text, rows.heads, strips, width, height)]


def _packed(pixels: Pixels) -> bytes:
    """Return faces as a small PNG."""
    levels = (pixels.astype(np.uint16) + _STEP // 2) // _STEP * _STEP
    return png(np.minimum(levels, 255).astype(np.uint8))


def _plots(folder: Path, named: Mapping[str, texts.Plot]) -> list[Part]:
    """Return the pictures NAME.png of a folder; of the optional ones, those that the run has."""
    return [
        part
        for name, plot in named.items()
        if not plot.optional or (folder / f"{name}.png").exists()
        for part in _picture(folder / f"{name}.png", plot.text, plot.kind)
    ]


def _embedded(content: bytes, text: texts.Text, kind: Kind) -> Picture:
    with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
        # A file that is cut short would show in half.
        image.load()
        width, height = image.size
    return Picture(text, _source(content), width, height, kind)


def _source(content: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(content).decode('ascii')}"


def _metrics(title: str, metrics: Json) -> Table:
    rows = _shown_rows(metrics)
    return Table(title, ("metric", "value"), rows, _meanings(rows))


def _meanings(rows: Sequence[Sequence[str]]) -> dict[str, str]:
    names = [row[0] for row in rows]
    known = {name: texts.MEANINGS.get(name.rpartition(".")[2]) for name in names}
    return {name: meaning for name, meaning in known.items() if meaning}


def _table_of(path: Path, title: str, named: Sequence[str]) -> list[Part]:
    """Return the table in a TSV file, or none where there is no row in it.

    Columns without a single text are left out.
    """
    head, rows = _rows(path, named)
    columns = [column for column in zip(head, *rows, strict=True) if any(column[1:])]
    if not columns:
        return []
    head, *rows = ([_shown_cell(cell) for cell in row] for row in zip(*columns, strict=True))
    return [Table(title, head, rows)]


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
    return [(key, _exact(_hidden(key, value))) for key, value in flatten(groups).items()]


def _hidden(key: str, value: Any) -> Any:
    """Return the value of a parameter, or that there is one where it names a place."""
    return "given" if key in _PLACES and value is not None else value


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


def _digest(value: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()
