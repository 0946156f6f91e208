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
    """What is relied on; there is more in it, which is shown as it is.

    What has a default may be left out, but is no null.
    """

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
    kl_nats_per_image: float = 0
    __pydantic_extra__: dict[str, _Cell]


class _Samplers(_Read):
    best: str
    normal_energy_distance: float = 0
    gaussian_energy_distance: float = 0
    gmm_energy_distance: float = 0
    ellipse_energy_distance: float = 0
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
    auc: dict[str, float] = {}
    factors: dict[str, _Cell] = {}


class _Compared(_Read):
    swd: float
    pair_similarity: float = 0
    recall: float = 0
    memorisation_ratio: float = 0
    copies_of_train: int = 0
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
    likelihood: _Likelihood = _Likelihood.model_construct()
    samples: _Samples
    fid: dict[str, _Cell] = {}


class _Machine(_Read):
    packages: dict[str, str | None] = {}


class _Architecture(_Read):
    size: int
    made_by: _Machine


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
    return {name: _read(folder / f"{name}.json", kind) for name, kind in _KINDS.items()}


def read_architecture(path: Path) -> dict[str, Any]:
    """Return the architecture.json of a model: its size, and what trained it as `made_by`.

    Raises:
        UserError: as `read_metrics`.
    """
    return _read(path, _Architecture)


def _read(path: Path, kind: type[_Read]) -> dict[str, Any]:
    found = read_object(path, fix=FIX)
    try:
        kind.model_validate(found)
    except ValidationError as error:
        raise UserError(f"{path}: {first_problem(error)}; {FIX}") from None
    return found
