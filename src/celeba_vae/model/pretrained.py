"""Save and load a trained model: from images to z-points, and back."""

import json
import math
import sys
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from scipy.special import expit

from celeba_vae.backend import configure_tensorflow
from celeba_vae.model.sizes import check_memory, count_weights
from celeba_vae.params import Crop, Filter, ModelParams, Side, Threads
from celeba_vae.runtime.errors import UserError, first_problem
from celeba_vae.runtime.files import atomic_path, reserve, write_json
from celeba_vae.runtime.reading import read_object, reading, size_of
from celeba_vae.runtime.switches import Instructions

WEIGHTS_FILE = "vae.weights.h5"
ARCHITECTURE_FILE = "architecture.json"

# Images that go through the network at once: enough to be fast, 0.5 GB of activations at 96x96.
_BATCH = 128
_LARGEST_FACTOR = 1000

_FIX = "`dvc repro train` makes it anew"


class TrainedOn(BaseModel):
    """The images that a model learned from.

    Attributes:
        source: `download.source`.
        images: how many they are.
        manifest: the sha256 of the shards' manifest, and so of all of them.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    source: str
    images: int
    manifest: str


class _Machine(BaseModel):
    """What computed the weights; there is more in it for people."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)

    threads: Threads
    instructions: Instructions


class Architecture(BaseModel):
    """What ARCHITECTURE_FILE holds: all that the weights do not say."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    size: Side
    crop: Crop | None
    filter: Filter
    learned_sigma: bool
    model: ModelParams
    trained_on: TrainedOn
    made_by: _Machine

    @model_validator(mode="after")
    def _strides_fit(self) -> "Architecture":
        if self.size % math.prod(self.model.strides):
            raise ValueError("the product of model.strides does not divide size")
        return self


@dataclass(frozen=True)
class Pretrained:
    """A trained VAE, or plain autoencoder, on uint8 images.

    Attributes:
        size: side of the square images, in pixels.
        crop: how the images it was trained on were cut, see `shards.transform.to_square`.
        filter: how they were resized.
        z_dim: dimensions of the latent space.
        trained_on: the images that it learned from.
        vae: the Keras model, with `encoder` and `decoder`.
    """

    size: int
    crop: int | None
    filter: str
    z_dim: int
    trained_on: TrainedOn
    vae: Any

    @property
    def variational(self) -> bool:
        """Whether the model has log_var and noise; the plain autoencoder has neither."""
        return bool(self.vae.variational)

    def encode(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Return mu and log_var of images.

        Args:
            images: uint8 (n, size, size, 3).

        Returns:
            mu, log_var: float32 (n, z_dim) each; the plain autoencoder has no log_var: None.

        Raises:
            ValueError: another shape or dtype.
        """
        images = np.asarray(images)
        expected = (self.size, self.size, 3)
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != expected:
            raise ValueError(
                f"images must be uint8 of shape (n, {self.size}, {self.size}, 3), "
                f"not {images.dtype} {images.shape}"
            )
        mu = np.empty((len(images), self.z_dim), np.float32)
        log_var = np.empty_like(mu) if self.variational else None
        for batch in _batches(len(images)):
            pixels = images[batch].astype(np.float32) / 255.0
            encoded = self.vae.encode(pixels, training=False)
            mu[batch] = _finite(encoded[0], "Encoder")
            if log_var is not None:
                log_var[batch] = _finite(encoded[1], "Encoder")
        return mu, log_var

    def sample_z(
        self,
        mu: np.ndarray,
        log_var: np.ndarray | None,
        noise: np.ndarray,
        *,
        factor: float | None = None,
    ) -> np.ndarray:
        """Return z = mu + factor * exp(log_var / 2) * noise; where log_var is None, mu.

        Args:
            mu: float32 (n, z_dim), from `encode`, as log_var is.
            log_var: float32 (n, z_dim), or None.
            noise: float32 (n, z_dim), from N(0, I).
            factor: 1 for a sample of q(z|x) whatever the model's own noise factor is; None for
                that, see `set_noise_factor`.

        Returns:
            float32 (n, z_dim).
        """
        from celeba_vae.model.vae import sample_z

        if log_var is None:
            return mu
        own = self.vae.noise_factor if factor is None else factor
        z: np.ndarray = np.asarray(sample_z(mu, log_var, noise, own))
        return z

    def set_noise_factor(self, factor: float) -> None:
        """Set the factor on the noise in z, at once and without building the model again.

        It is a weight of `vae`: `vae.save_weights` keeps it, and `load` finds it. What stages
        measure is q(z|x) and does not hang on it.

        Args:
            factor: 0 for z = mu, 1 for a sample of q(z|x) as in training; up to 1000.

        Raises:
            ValueError: another factor, or a plain autoencoder, which has no noise.
        """
        if not self.variational:
            raise ValueError("a plain autoencoder has no noise: its z is mu")
        if not 0 <= factor <= _LARGEST_FACTOR:  # also refuses what is not a number
            raise ValueError(f"the noise factor must be from 0 to {_LARGEST_FACTOR}, not {factor}")
        self.vae.noise_factor.assign(factor)

    def decode(self, z: np.ndarray) -> np.ndarray:
        """Return the images of z-points.

        Args:
            z: (n, z_dim).

        Returns:
            uint8 (n, size, size, 3).

        Raises:
            ValueError: another shape.
        """
        images = np.empty((len(z), self.size, self.size, 3), np.uint8)
        for batch, logits in self._logits(z):
            images[batch] = to_pixels(logits)
        return images

    def reconstruct(self, images: np.ndarray) -> np.ndarray:
        """Return what the model makes of images: decoded from mu, without noise.

        Args:
            images: uint8 (n, size, size, 3).

        Returns:
            uint8 (n, size, size, 3).

        Raises:
            ValueError: another shape or dtype.
        """
        mu, _ = self.encode(images)
        return self.decode(mu)

    def decode_mean(self, z: np.ndarray) -> np.ndarray:
        """Return the means that the Decoder gives the pixels of z-points: images not rounded yet.

        Args:
            z: (n, z_dim).

        Returns:
            float32 (n, size, size, 3) in [0, 1].

        Raises:
            ValueError: another shape.
        """
        means = np.empty((len(z), self.size, self.size, 3), np.float32)
        for batch, logits in self._logits(z):
            means[batch] = expit(logits)
        return means

    def _logits(self, z: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        z = np.asarray(z)
        if z.ndim != 2 or z.shape[1] != self.z_dim:
            raise ValueError(f"z must have the shape (n, {self.z_dim}), not {z.shape}")
        for batch in _batches(len(z)):
            points = z[batch].astype(np.float32)
            yield batch, _finite(self.vae.decoder(points, training=False), "Decoder")


def _finite(values: Any, part: str) -> np.ndarray:
    array = np.asarray(values)
    if not np.isfinite(array).all():
        raise UserError(
            f"the {part} gives NaN or infinity: its weights, or z-points, are too large"
        )
    return array


def to_pixels(logits: np.ndarray) -> np.ndarray:
    """Return the uint8 images of a Decoder's logits: 255 times their sigmoid, rounded."""
    # expit(l) = (1 + tanh(l / 2)) / 2 cannot overflow.
    return np.rint(127.5 * (1.0 + np.tanh(0.5 * logits.astype(np.float64)))).astype(np.uint8)


def save(
    vae: Any,
    params: ModelParams,
    *,
    manifest: Mapping[str, Any],
    sha256: str,
    machine: Mapping[str, Any],
    folder: Path,
) -> None:
    """Write the weights and what is needed to build and use the model again.

    Args:
        vae: the trained Keras model.
        params: its architecture.
        manifest: the manifest of the shards it was trained on.
        sha256: of the manifest.
        machine: what trained it, see `machine.training_machine`; `load` uses its threads and
            instructions again.
        folder: where WEIGHTS_FILE and ARCHITECTURE_FILE are written.
    """
    path = folder / WEIGHTS_FILE
    _check_figures(vae, path, fix="choose a smaller train.learning_rate")
    with atomic_path(path) as temporary:
        # HDF5 ends the process on a full disk.
        reserve(temporary, _largest_file(vae))
        vae.save_weights(temporary)
    description = Architecture(
        size=manifest["image_shape"][0],
        crop=manifest["crop"],
        filter=manifest["filter"],
        learned_sigma=vae.log_sigma is not None,
        model=params,
        trained_on=TrainedOn(
            source=manifest["source"]["source"],
            images=manifest["splits"]["train"]["images"],
            manifest=sha256,
        ),
        made_by=_Machine.model_validate(machine),
    )
    write_json(folder / ARCHITECTURE_FILE, description.model_dump())


def load(folder: str | Path = "data/model") -> Pretrained:
    """Load a trained model.

    In a process that has not imported TensorFlow yet, TensorFlow is configured as in training,
    so that the same images and z-points give the same bits as in the pipeline.

    Args:
        folder: the out of the stage `train`.

    Raises:
        UserError: no model there, or one that cannot be read.
    """
    folder = Path(folder)
    described, weights = read_architecture(folder), folder / WEIGHTS_FILE
    with reading(weights, kind="weights of a model", fix=_FIX) as file:
        held, needed = size_of(file), 4 * count_weights(described.model, size=described.size)
    if held < needed:
        raise UserError(
            f"{weights}: does not fit {ARCHITECTURE_FILE}: that model has {needed:,} bytes of "
            f"weights, the file {held:,} bytes; {_FIX}"
        )
    if "tensorflow" not in sys.modules:
        configure_tensorflow(described.made_by.threads, described.made_by.instructions)

    from celeba_vae.model.vae import VAE

    vae = VAE(described.model, size=described.size, seed=0, learned_sigma=described.learned_sigma)
    with reading(weights, kind="weights of a model", fix=_FIX):
        if _stored_shapes(weights) != sorted(tuple(weight.shape) for weight in vae.weights):
            raise UserError(
                f"{weights}: does not fit {ARCHITECTURE_FILE}: the shapes differ; {_FIX}"
            )
        with warnings.catch_warnings():
            # Keras warns of weights that do not fit, layer by layer, before it gives up.
            warnings.simplefilter("error", UserWarning)
            vae.load_weights(weights)
    _check_figures(vae, weights, fix=_FIX)
    return Pretrained(
        size=described.size,
        crop=described.crop,
        filter=described.filter,
        z_dim=described.model.z_dim,
        trained_on=described.trained_on,
        vae=vae,
    )


def read_architecture(folder: Path) -> Architecture:
    """Read what a model is, without its weights and without TensorFlow.

    Raises:
        UserError: no model there, or one that cannot be read, or that has no room in memory.
    """
    path = folder / ARCHITECTURE_FILE
    fix = "`dvc repro train` makes a model, or name another folder"
    try:
        # As text, in which an array may be a tuple.
        described = Architecture.model_validate_json(json.dumps(read_object(path, fix=fix)))
    except ValidationError as error:
        raise UserError(
            f"{path}: is not a description of a model: {first_problem(error)}; {fix}"
        ) from None
    try:
        check_memory(described.model, size=described.size)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    return described


def _stored_shapes(path: Path) -> list[tuple[int, ...]]:
    """Return the shapes of the arrays in an HDF5 file, sorted.

    Raises:
        ValueError: an array lies elsewhere than as it is in this file: packed, in pieces, in
            another file, or nowhere, which would be read as zeros of any number.
    """
    import h5py

    shapes = []

    def note(_: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            contiguous = item.id.get_create_plist().get_layout() == h5py.h5d.CONTIGUOUS
            if item.dtype != np.float32 or item.external or not contiguous:
                raise ValueError
            if item.id.get_storage_size() != item.nbytes:
                raise ValueError
            shapes.append(item.shape)

    with h5py.File(path) as file:
        file.visititems(note)
    return sorted(shapes)


def _check_figures(vae: Any, path: Path, *, fix: str) -> None:
    """Raise UserError, with the name of the layer, where weights are no possible ones."""
    for weight in vae.weights:
        values = np.asarray(weight)
        if not np.isfinite(values).all():
            raise UserError(f"{path}: the weights {weight.path} hold NaN or infinity; {fix}")
        if weight.name == "moving_variance" and values.min() < 0:
            raise UserError(f"{path}: the weights {weight.path} hold variances below 0; {fix}")
    if vae.variational and not 0 <= float(vae.noise_factor) <= _LARGEST_FACTOR:
        raise UserError(f"{path}: the noise factor must be from 0 to {_LARGEST_FACTOR}; {fix}")


def _largest_file(vae: Any) -> int:
    """Return the bytes that a file of the weights takes at most: HDF5 wants some for each."""
    return sum(4 * math.prod(weight.shape) + 2**13 for weight in vae.weights)


def _batches(images: int) -> Iterator[slice]:
    for start in range(0, images, _BATCH):
        yield slice(start, start + _BATCH)
