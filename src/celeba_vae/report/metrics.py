"""The metrics that the stages left, read and checked for what report and summary say of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from celeba_vae.runtime.errors import UserError, first_problem
from celeba_vae.runtime.reading import read_object

FIX = "`dvc repro` makes it anew"
# What is no set of faces among the samples of evaluate.json.
NO_FACES = ("images", "not_measured")
# The sets of real faces among them, and of reconstructions; the others are samplers.
REAL = ("test", "validation", "reconstructions")

_Cell = int | float | str | None


class _Read(BaseModel):
    """What is relied on; there is more in it, which is shown as it is."""

    model_config = ConfigDict(strict=True, extra="allow")


class _Train(_Read):
    encoder_parameters: int
    decoder_parameters: int
    step_bytes: int
    training_images: int
    epochs: int
    val_reconstruction: float
    val_kl: float


class _Split(_Read):
    images: int
    z_dim: int
    z_radius_mean: float
    z_radius_std: float
    chi_mean: float
    chi_std: float
    std_z_mean: float
    __pydantic_extra__: dict[str, _Cell]


class _Samplers(_Read):
    best: str
    __pydantic_extra__: dict[str, _Cell]


class _Zpoints(_Read):
    train: _Split
    validation: _Split
    test: _Split
    samplers: _Samplers
    region: dict[str, _Cell]


class _Generate(_Read):
    psnr_db_mean: float
    ssim_mean: float
    sampler: str
    temperature: float
    __pydantic_extra__: dict[str, _Cell]


class _Attributes(_Read):
    probes: int
    factors: dict[str, _Cell] = {}


class _Compared(_Read):
    swd: float
    __pydantic_extra__: dict[str, _Cell]


class _Samples(_Read):
    images: int
    not_measured: dict[str, str] = {}
    test: dict[str, _Cell]
    validation: _Compared
    reconstructions: _Compared
    __pydantic_extra__: dict[str, _Compared]


class _Likelihood(_Read):
    bound_bits_per_dimension: float
    __pydantic_extra__: dict[str, _Cell]


class _Evaluate(_Read):
    reconstruction: dict[str, _Cell]
    # May be left out, but is no null.
    likelihood: _Likelihood = _Likelihood.model_construct()
    samples: _Samples
    fid: dict[str, _Cell] = {}


_KINDS: Mapping[str, type[_Read]] = {
    "train": _Train,
    "zpoints": _Zpoints,
    "generate": _Generate,
    "attributes": _Attributes,
    "evaluate": _Evaluate,
}


def read_metrics(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the metrics of a run by the name of their file, with all that the report relies on.

    Raises:
        UserError: a file is missing or damaged, or lacks a value, or holds another kind of it.
    """
    metrics = {}
    for name, kind in _KINDS.items():
        path = folder / f"{name}.json"
        metrics[name] = read_object(path, fix=FIX)
        try:
            kind.model_validate(metrics[name])
        except ValidationError as error:
            raise UserError(f"{path}: {first_problem(error)}; {FIX}") from None
    return metrics
