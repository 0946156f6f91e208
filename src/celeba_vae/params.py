"""Typed parameters: what params.yaml may hold, and a one-line error for anything else.

This module checks values and makes none: it has no defaults, and no function whose result a stage
could compute with. A stage learns of a changed value through DVC's params, so this file is no
stage's dependency.
"""

import math
import re
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    model_validator,
)

from celeba_vae.faces.layout import ATTRIBUTES, split_counts
from celeba_vae.runtime.errors import UserError
from celeba_vae.runtime.places import check_outside
from celeba_vae.runtime.strict_yaml import parse_yaml, read_yaml
from celeba_vae.runtime.switches import Instructions

PARAMS_FILE = Path("params.yaml")

# Of a grid of faces: 0.8 GB in memory, of which a stage holds some at a time.
_GRID_PIXELS = 2**28

_SCHEDULER = re.compile(r"tcp://([\w.-]+|\[[0-9a-fA-F:.]+\]):(?P<port>[0-9]{1,5})")

# The names of files can be appended to it: no query, no fragment, nothing invisible.
_FOLDER_ADDRESS = re.compile(r"https?://[^/?#\s]+(/[^?#\s]*)?")


Number = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
# Far beyond any use, but not beyond what a machine can be asked for without harm.
Units = Annotated[int, Field(ge=1, le=16_384)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Side = Annotated[int, Field(ge=8, le=1024)]
Crop = Annotated[int, Field(ge=1, le=178)]
Threads = Annotated[int, Field(ge=1, le=1024)]


def _part(value: Any) -> int | float:
    if isinstance(value, float) and 0 < value < 1:
        return value
    if isinstance(value, int) and not isinstance(value, bool) and value >= 2:
        return value
    raise ValueError(
        f"{_shown(value)} is neither a fraction of the images, above 0 and below 1, nor a number "
        "of them, from 2"
    )


# A fraction of the images as a float, or a number of them as an integer.
Part = Annotated[int | float, PlainValidator(_part)]


def _sigma(value: Any) -> float | str:
    if value in ("learned", "optimal"):
        return str(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and 1e-3 <= value <= 1e3:
        return float(value)
    raise ValueError(
        f"{_shown(value)} is neither a number from 0.001 to 1000 nor learned nor optimal"
    )


# A standard deviation of pixels in [0, 1], or how it is found.
Sigma = Annotated[float | Literal["learned", "optimal"], PlainValidator(_sigma)]


def _place(value: str) -> str:
    if not PurePosixPath(value).is_absolute():
        raise ValueError(
            f"{_shown(value)} is relative: give an absolute path, because DVC runs experiments in "
            "other folders, where it would mean another place"
        )
    if "\0" in value:
        raise ValueError(f"{_shown(value)} holds the character 0, which no path does")
    return value


# An absolute path of a file or folder, there or not.
Place = Annotated[str, AfterValidator(_place)]
Sampler = Literal["normal", "gaussian", "gmm", "ellipse"]
Filter = Literal["area", "lanczos", "bicubic", "hamming", "bilinear", "box"]
Activation = Literal["leaky_relu", "relu", "selu", "gelu"]
AnyActivation = Literal["leaky_relu", "relu", "selu", "gelu", "linear"]


class _Group(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class DownloadParams(_Group):
    """Where the faces come from."""

    source: Literal["synthetic", "celeba", "local"]
    path: Place | None
    url: str | None
    images: Annotated[int, Field(ge=1, le=999_999)]
    seed: Seed

    @model_validator(mode="after")
    def _places_fit_source(self) -> "DownloadParams":
        if self.source == "local" and self.path is None:
            raise ValueError(
                "download.path is empty, but download.source is local: "
                "give the absolute path of an archive or a folder of images"
            )
        if self.path is not None and self.source == "synthetic":
            raise ValueError(
                "download.path is given, but download.source is synthetic: "
                "set download.source=local or celeba, or leave download.path empty"
            )
        if self.url is not None:
            if "@" in self.url:  # and the message must not show it either
                raise ValueError(
                    "download.url holds an @, as after user:password, which would stand in "
                    "params.yaml and dvc.lock: write machine HOST login USER password PASSWORD "
                    "into ~/.netrc (chmod 600), and an @ of the path as %40"
                )
            if self.source != "celeba":
                raise ValueError(
                    f"download.url is given, but download.source is {self.source}: "
                    "set download.source=celeba, or leave download.url empty"
                )
            if not _FOLDER_ADDRESS.fullmatch(self.url):
                raise ValueError(
                    f"download.url = {_shown(self.url)} is not the address of a folder: "
                    "give http(s)://host/folder, without ? and #; file names are appended to it"
                )
        return self


class PrepareParams(_Group):
    """How an image becomes a square of pixels in a shard."""

    size: Side
    crop: Crop | None
    filter: Filter
    shard_images: Count
    on_bad_image: Literal["fail", "skip"]
    split: Literal["given", "drawn"]
    split_by: Literal["image", "identity", "content"]
    validation: Part | None
    test: Part | None
    seed: Seed

    @model_validator(mode="after")
    def _split_is_possible(self) -> "PrepareParams":
        sizes = {"prepare.validation": self.validation, "prepare.test": self.test}
        if self.split == "given":
            unused = [name for name, value in sizes.items() if value is not None]
            unused += [f"prepare.split_by={self.split_by}"] if self.split_by != "image" else []
            if unused:
                raise ValueError(
                    f"prepare.split is given, which does not use {' or '.join(unused)}: set "
                    "prepare.split=drawn"
                )
        if len({type(value) for value in sizes.values()}) > 1:
            raise ValueError(
                f"prepare.validation = {self.validation} and prepare.test = {self.test} do not fit "
                "each other: give two fractions, two numbers of images, or leave both empty"
            )
        if isinstance(self.validation, float) and isinstance(self.test, float):
            total = self.validation + self.test
            if total >= 1:
                raise ValueError(
                    f"prepare.validation + prepare.test = {total:.6g} leaves nothing for train: "
                    "their sum must be below 1"
                )
        return self


class ModelParams(_Group):
    """The architecture of Encoder and Decoder."""

    filters: Annotated[list[Units], Field(min_length=1, max_length=8)]
    strides: Annotated[list[Annotated[int, Field(ge=1, le=8)]], Field(min_length=1, max_length=8)]
    kernel: Annotated[int, Field(ge=1, le=15)]
    z_dim: Units
    inter_dense: Units | None
    inter_activation: AnyActivation
    activation: Activation
    batch_norm: bool
    batch_norm_momentum: Annotated[Number, Field(ge=0, le=0.999999)]
    blocks: Literal["plain", "residual"]
    variational: bool
    log_var_bound: Annotated[Number, Field(ge=1e-3, le=1e3)] | None

    @model_validator(mode="after")
    def _a_stride_for_each_level(self) -> "ModelParams":
        if len(self.strides) != len(self.filters):
            raise ValueError(
                f"model.strides has {len(self.strides)} values, but model.filters has "
                f"{len(self.filters)}: give one stride for each filter"
            )
        return self


class TrainParams(_Group):
    """The fit."""

    epochs: Count
    batch_size: Count
    learning_rate: Annotated[Number, Field(gt=0, le=1e6)]
    learning_rate_schedule: Literal["constant", "cosine", "exponential"]
    learning_rate_decay: Annotated[Number, Field(gt=0, le=1)] | None
    loss: Literal["bernoulli", "gaussian"]
    sigma: Sigma | None
    kl_weight: Annotated[Number, Field(ge=0, le=1e6)]
    kl_schedule: Literal["constant", "linear", "cyclical"]
    kl_schedule_epochs: Count | None
    free_bits: Annotated[Number, Field(ge=0, le=1e3)]
    clip_norm: Annotated[Number, Field(ge=1e-9, le=1e9)] | None
    ema: Annotated[Number, Field(gt=0, le=0.999999)] | None
    select: Literal["last", "best"]
    early_stopping: Count | None
    backend: Literal["tensorflow", "jax"]
    precision: Literal["float32", "bfloat16"]
    accumulate: Count
    seed: Seed

    @model_validator(mode="after")
    def _schedules_have_what_they_need(self) -> "TrainParams":
        for schedule, value, key, needing in (
            (
                self.learning_rate_schedule,
                self.learning_rate_decay,
                "learning_rate_decay",
                ("exponential",),
            ),
            (
                self.kl_schedule,
                self.kl_schedule_epochs,
                "kl_schedule_epochs",
                ("linear", "cyclical"),
            ),
        ):
            needed = schedule in needing
            if needed and value is None:
                raise ValueError(f"train.{key} is empty, but the schedule {schedule} needs it")
            if not needed and value is not None:
                raise ValueError(
                    f"train.{key} = {value} is given, but the schedule {schedule} does not use it: "
                    f"leave it empty, or choose the schedule {' or '.join(needing)}"
                )
        return self

    @model_validator(mode="after")
    def _batches_can_be_cut(self) -> "TrainParams":
        if self.batch_size % self.accumulate:
            raise ValueError(
                f"train.accumulate = {self.accumulate} does not divide train.batch_size = "
                f"{self.batch_size}: micro-batches must be of one size"
            )
        return self

    @model_validator(mode="after")
    def _sigma_fits_loss(self) -> "TrainParams":
        if self.loss == "gaussian" and self.sigma is None:
            raise ValueError(
                "train.sigma is empty, but train.loss is gaussian: give a number from 0.001 to "
                "1000, learned or optimal"
            )
        if self.loss == "bernoulli" and self.sigma is not None:
            raise ValueError(
                f"train.sigma = {self.sigma} is given, but train.loss is bernoulli, which has "
                "none: set train.loss=gaussian, or leave train.sigma empty"
            )
        return self


class ZpointsParams(_Group):
    """Statistics of the z-points, which are latent codes."""

    seed: Seed
    active_variance: Annotated[Number, Field(gt=0, le=1e6)]
    tests: Literal["quick", "full"]


class GenerateParams(_Group):
    """The grids of faces."""

    seed: Seed
    sampler: Sampler | None
    temperature: Annotated[Number, Field(gt=0, le=100)] | None
    rows: Annotated[int, Field(ge=1, le=100)]
    columns: Annotated[int, Field(ge=1, le=100)]
    walks: Annotated[int, Field(ge=1, le=100)]
    walk_steps: Annotated[int, Field(ge=2, le=100)]


class AttributesParams(_Group):
    """Probes of attributes, and faces edited along them."""

    min_images: Count
    shown: list[str]
    rows: Annotated[int, Field(ge=1, le=100)]
    columns: Annotated[int, Field(ge=2, le=100)]
    push: Annotated[Number, Field(gt=0, le=100)]

    @model_validator(mode="after")
    def _shown_are_attributes_of_celeba(self) -> "AttributesParams":
        for name in self.shown:
            if name not in ATTRIBUTES:
                similar = get_close_matches(name, ATTRIBUTES, n=1)
                meant = f"did you mean {similar[0]}? " if similar else ""
                raise ValueError(
                    f"attributes.shown = {_shown(name)}: {meant}Allowed are CelebA's attributes "
                    f"{', '.join(ATTRIBUTES)}"
                )
        return self


class EvaluationSizes(_Group):
    """How much is compared, which decides how long it takes."""

    # The diversity of faces is that of pairs.
    images: Annotated[int, Field(ge=2)]
    likelihood_images: Count
    importance_samples: Annotated[int, Field(ge=1, le=2**16)]

    @model_validator(mode="after")
    def _samples_are_a_power_of_two(self) -> "EvaluationSizes":
        if self.importance_samples & (self.importance_samples - 1):
            raise ValueError(
                f"importance_samples = {self.importance_samples} is not a power of 2, "
                "such as 16, 32 or 64"
            )
        return self


class EvaluateParams(_Group):
    """Measures of quality."""

    level: Literal["quick", "full"]
    seed: Seed
    neighbours: Annotated[int, Field(ge=1, le=100)]
    fid: Place | None
    quick: EvaluationSizes
    full: EvaluationSizes


class RunParams(_Group):
    """How the work is done; changes no byte of any result."""

    workers: Annotated[int, Field(ge=1, le=1024)] | None
    scheduler: str | None
    checkpoint_steps: Count
    states_gb: Annotated[Number, Field(ge=0, le=1e6)]
    tensorboard: bool

    @model_validator(mode="after")
    def _scheduler_is_an_address(self) -> "RunParams":
        if self.scheduler is not None:
            address = _SCHEDULER.fullmatch(self.scheduler)
            if address is None or not 1 <= int(address["port"]) <= 65535:
                raise ValueError(
                    f"run.scheduler = {_shown(self.scheduler)} is not the address of a Dask "
                    "scheduler: give tcp://host:port, such as tcp://192.0.2.1:8786, or leave it "
                    "empty"
                )
        return self


class Params(_Group):
    """All of params.yaml."""

    download: DownloadParams
    prepare: PrepareParams
    model: ModelParams
    train: TrainParams
    zpoints: ZpointsParams
    generate: GenerateParams
    attributes: AttributesParams
    evaluate: EvaluateParams
    threads: Threads
    instructions: Instructions
    run: RunParams

    @model_validator(mode="after")
    def _groups_fit_each_other(self) -> "Params":
        shrink = math.prod(self.model.strides)
        if self.prepare.size % shrink:
            raise ValueError(
                f"prepare.size = {self.prepare.size} is not divisible by {shrink}, the product of "
                f"model.strides: the Decoder could not restore the size of the image"
            )
        if (self.train.precision, self.train.backend, self.instructions) == (
            "bfloat16",
            "tensorflow",
            "avx2",
        ):
            raise ValueError(
                "train.precision = 'bfloat16' on tensorflow needs instructions=native: AVX2 "
                "computes no bfloat16"
            )
        if self.download.source == "synthetic":
            _check_splits(self.download.images, self.prepare, self.train.batch_size)
        generate, attributes = self.generate, self.attributes
        for name, faces in (
            ("generate.rows x generate.columns", generate.rows * generate.columns),
            ("generate.walks x generate.walk_steps", generate.walks * generate.walk_steps),
            ("attributes.rows x attributes.columns", attributes.rows * attributes.columns),
        ):
            pixels = faces * self.prepare.size**2
            if pixels > _GRID_PIXELS:
                raise ValueError(
                    f"{name} = {faces:,} faces of prepare.size = {self.prepare.size} make a "
                    f"picture of {pixels:,} pixels: allowed are {_GRID_PIXELS:,}"
                )
        return self


def _check_splits(images: int, prepare: PrepareParams, batch_size: int) -> None:
    """Raise ValueError if the splits of so many drawn faces are too small, as far as it is known.

    How many a split by chance or by person gets, `prepare` finds out.
    """
    if prepare.split == "given":
        train, *others = split_counts(images)
        if min(train, *others) < 2:
            raise ValueError(
                f"download.images = {images} leaves a split with fewer than 2 images: draw at "
                "least 16"
            )
    elif isinstance(prepare.validation, int) and isinstance(prepare.test, int):
        train = images - prepare.validation - prepare.test
        if train < 2:
            raise ValueError(
                f"prepare.validation + prepare.test = {images - train} of download.images = "
                f"{images} leave fewer than 2 images for train"
            )
        if prepare.split_by == "identity":
            return
    else:
        return
    try:
        check_batch_size(batch_size, train)
    except ValueError as error:
        raise ValueError(f"{error}, or more with a larger download.images, now {images}") from None


def check_batch_size(batch_size: int, training_images: int) -> None:
    """Raise ValueError if a batch is larger than the training set."""
    if batch_size > training_images:
        raise ValueError(
            f"train.batch_size = {batch_size} is larger than the training set of "
            f"{training_images} images: allowed is 1 to {training_images}"
        )


def load_params(path: Path = PARAMS_FILE, overrides: Sequence[str] = ()) -> Params:
    """Read and check a params.yaml.

    Args:
        path: the file.
        overrides: texts of the form `group.key=value`, as after `dvc exp run -S`; the value is
            read as YAML.

    Raises:
        UserError: the file cannot be read, is not YAML, holds a key or value that is not allowed,
            or a path where DVC deletes. The message is one line: the key, what was given, what is
            allowed.
    """
    values = read_yaml(path)
    if not isinstance(values, dict):
        raise UserError(f"{path}: must hold groups of keys such as `train:`, not {_shown(values)}")
    for override in overrides:
        _apply(values, override)
    try:
        params = Params.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{path}: {_one_line(error)}") from None
    if params.download.path is not None:
        check_outside(Path(params.download.path), f"{path}: download.path", above=True)
    if params.evaluate.fid is not None:
        check_outside(Path(params.evaluate.fid), f"{path}: evaluate.fid")
    return params


def _apply(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    shown = f"-S {key}"
    if not equals:
        raise UserError(f"{shown}: must be of the form group.key=value")
    *groups, last = key.split(".")
    place: Any = values
    for group in groups:
        place = place.get(group) if isinstance(place, dict) else None
    if not isinstance(place, dict) or last not in place:
        raise UserError(f"{shown}: params.yaml has no such key")
    place[last] = parse_yaml(text, name=shown)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _one_line(error: ValidationError) -> str:
    problems = error.errors(include_url=False)
    first = problems[0]
    # pydantic appends the type it tried to the place of a union's error; keys are what users know.
    key = ".".join(str(part) for part in first["loc"] if "[" not in str(part)).removesuffix(".int")
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        text = f"{key}: unknown key; allowed {_siblings(first['loc'])}"
    elif first["type"] == "missing":
        text = f"{key}: missing; this key has no default, give it a value"
    elif first["type"] == "model_type":
        text = f"{key} = {_shown(first['input'])}: must be a group of keys"
    elif first["type"] == "value_error":
        text = message if not key or key in message else f"{key}: {message}"
    else:
        text = f"{key} = {_shown(first['input'])}: {message[0].lower()}{message[1:]}"
    more = len(problems) - 1
    return " ".join(text.split()) + (f" (and {more} more to fix)" if more else "")


def _siblings(location: tuple[int | str, ...]) -> str:
    fields = Params.model_fields
    for part in location[:-1]:
        annotation = fields[str(part)].annotation if str(part) in fields else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            break
        fields = annotation.model_fields
    return "are " + ", ".join(fields)
