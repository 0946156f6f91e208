"""A trained model for programs and notebooks: photographs, new faces, morphs and edits."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from operator import index
from pathlib import Path

import numpy as np

from celeba_vae.faces.local import is_image
from celeba_vae.latent import interpolation
from celeba_vae.latent.directions import (
    DIRECTIONS_FILE,
    Direction,
    load_directions,
    total_push,
)
from celeba_vae.latent.samplers import SAMPLERS, SAMPLERS_FILE, FittedSamplers, draw, load_samplers
from celeba_vae.model import pretrained
from celeba_vae.params import Sampler
from celeba_vae.runtime.arrays import Pixels
from celeba_vae.runtime.errors import UserError, reason_of
from celeba_vae.shards.transform import BadImage, to_square

# One photo, a folder of photos, or several of both.
Photos = str | Path | Iterable[str | Path]


@dataclass(frozen=True)
class FaceModel(pretrained.Pretrained):
    """A trained model, see `load`.

    Images are stacks, also of one: uint8 (n, size, size, 3), RGB, in and out. Latent codes are
    float32 (n, z_dim).

    Attributes:
        size: side of the square images, in pixels.
        crop: how the images it was trained on were cut, see `shards.transform.to_square`.
        filter: how they were resized.
        z_dim: dimensions of the latent space.
        trained_on: the images that it learned from: `source`, `images` (how many), `manifest`.
        vae: the Keras model, with `encoder` and `decoder`.
        folder: where it was loaded from. What the later stages made of the same model is looked
            for beside it: samplers in `../zpoints`, directions in `../attributes`.
    """

    folder: Path

    def read(self, photos: Photos) -> Pixels:
        """Return photographs, cut and resized as the training images were.

        Args:
            photos: a file, a folder (all images in it, by name), or several of them. A photo
                should show a face as CelebA does: upright, in the middle, filling half the height.

        Returns:
            uint8 (n, size, size, 3).

        Raises:
            UserError: a file is missing or no image, or a folder holds none.
        """
        return read_photos(photos, size=self.size, crop=self.crop, filter=self.filter)

    def generate(
        self,
        n: int,
        seed: int = 1,
        sampler: Sampler | None = None,
        temperature: float | None = None,
    ) -> Pixels:
        """Return new faces, decoded from random latent codes.

        Args:
            n: how many.
            seed: the same seed gives the same faces, and those of a smaller n first.
            sampler: "normal" for N(0, I), or what was fitted to the training images' latent codes:
                "gaussian", "gmm", "ellipse"; None for the one closest to the validation images'.
            temperature: factor on the distance from the sampler's centre, above 0; less than 1
                gives plainer faces. None for the one closest to the validation images'.

        Returns:
            uint8 (n, size, size, 3).

        Raises:
            UserError: there are no fitted samplers beside the model.
            ValueError: another sampler, temperature, seed or number.
        """
        # NumPy takes 1.5 for the seed 1, and None for any.
        n, seed = index(n), index(seed)
        if n < 0 or not 0 <= seed < 2**128:
            raise ValueError(
                f"n must be 0 or more and seed from 0 to 2**128 - 1, not {n} and {seed}"
            )
        if sampler not in (None, *SAMPLERS):
            raise ValueError(f"sampler must be one of {', '.join(SAMPLERS)}, not {sampler}")
        if temperature is not None and not 0 < temperature < np.inf:
            raise ValueError(f"temperature must be a finite number above 0, not {temperature}")
        fitted = self.samplers()
        name, factor = fitted.chosen(sampler, temperature)
        return self.decode(draw(fitted, name, n, seed=seed, temperature=factor))

    def samplers(self) -> FittedSamplers:
        """Return the samplers that were fitted to the latent codes of the training images.

        Raises:
            UserError: there are none beside the model.
        """
        return samplers_of(self.folder, z_dim=self.z_dim)

    def interpolate(self, a: Pixels, b: Pixels, steps: int = 8) -> Pixels:
        """Return the faces on the way from images to others.

        Args:
            a: uint8 (n, size, size, 3), where the walks begin.
            b: as many images, where they end.
            steps: faces of each walk, the reconstructions at both ends included; at least 2.

        Returns:
            uint8 (n, steps, size, size, 3): decoded on the straight line from mu to mu.

        Raises:
            ValueError: other shapes or dtypes, or fewer steps.
        """
        if len(a) != len(b) or steps < 2:
            raise ValueError(f"{len(a)} and {len(b)} images, {steps} steps: give pairs, 2 or more")
        walks = interpolation.interpolate(self.encode(a)[0], self.encode(b)[0], steps=steps)
        faces = self.decode(walks.reshape(-1, self.z_dim))
        return faces.reshape(len(a), steps, *faces.shape[1:])

    def edit(self, images: Pixels, /, **steps: float) -> Pixels:
        """Return images with attributes changed: `edit(images, Eyeglasses=2, Male=-1)`.

        Args:
            images: uint8 (n, size, size, 3).
            steps: for each attribute how far to go, in standard deviations of the training images;
                below 0 away from it. 2 is much, beyond 3 faces fall apart.

        Returns:
            uint8 (n, size, size, 3), decoded.

        Raises:
            UserError: there are no directions beside the model, or none of such an attribute.
            ValueError: no attribute, another shape or dtype.
        """
        if not steps:
            raise ValueError("name an attribute to change, such as Eyeglasses=2")
        push = total_push(self._directions(), steps)
        return self.decode(self.encode(images)[0] + push)

    @property
    def attributes(self) -> dict[str, float]:
        """The attributes that `edit` knows, best first, each with the AUC of its linear probe.

        0.5 is guessing; below 0.8 much of what an edit changes is chance.
        """
        return aucs_of(self._directions())

    def _directions(self) -> dict[str, Direction]:
        return directions_of(self.folder, z_dim=self.z_dim)


def load(folder: str | Path = "data/model") -> FaceModel:
    """Load a trained model.

    In a process that has not imported TensorFlow yet, TensorFlow is configured as in training,
    so that the same images and latent codes give the same bits as in the pipeline.

    Args:
        folder: the out of the stage `train`.

    Raises:
        UserError: no model there, or one that cannot be read.
    """
    return FaceModel(**vars(pretrained.load(folder)), folder=Path(folder))


def samplers_of(model: Path, *, z_dim: int) -> FittedSamplers:
    """Return the samplers that lie beside a model.

    Raises:
        UserError: as `load_samplers`.
    """
    return load_samplers(_beside(model, "zpoints") / SAMPLERS_FILE, z_dim=z_dim)


def directions_of(model: Path, *, z_dim: int) -> dict[str, Direction]:
    """Return the directions of attributes that lie beside a model.

    Raises:
        UserError: as `load_directions`.
    """
    return load_directions(_beside(model, "attributes") / DIRECTIONS_FILE, z_dim=z_dim)


def aucs_of(directions: dict[str, Direction]) -> dict[str, float]:
    """Return the AUC of each attribute, best first."""
    best_first = sorted(directions.items(), key=lambda item: -item[1].auc)
    return {name: direction.auc for name, direction in best_first}


def photo_files(photos: Photos) -> list[Path]:
    """Return the files of photos; of a folder all images in it, by name, but none below it.

    Raises:
        UserError: a file is missing, or a folder holds no image or cannot be looked into.
    """
    files: list[Path] = []
    for given in map(Path, [photos] if isinstance(photos, str | Path) else photos):
        try:
            folder = given.is_dir()
            inside = (
                [path for path in given.iterdir() if is_image(path.name)] if folder else [given]
            )
            for path in inside:
                if not path.is_file():  # Opening a pipe would wait for ever.
                    fault = "is no regular file" if path.exists() else "no such file"
                    raise UserError(f"{path}: {fault}")
        except OSError as error:
            raise UserError(f"{given}: {reason_of(error)}") from None
        if not inside:
            raise UserError(f"{given}: this folder holds no images")
        files += sorted(inside)
    return files


def read_photos(photos: Photos, *, size: int, crop: int | None, filter: str) -> Pixels:
    """Return photographs, cut and resized as `shards.transform.to_square` does.

    Returns:
        uint8 (n, size, size, 3).

    Raises:
        UserError: a file is missing or no image, or a folder holds none.
    """
    files = photo_files(photos)
    squares = np.empty((len(files), size, size, 3), np.uint8)
    for row, path in enumerate(files):
        try:
            squares[row] = to_square(path.read_bytes(), size=size, crop=crop, filter=filter)
        except (OSError, BadImage) as error:
            raise UserError(f"{path}: cannot be read as an image: {reason_of(error)}") from None
    return squares


def _beside(model: Path, out: str) -> Path:
    # By the names alone: where data/model is a link, the others lie beside the link.
    return Path(os.path.normpath(model / ".." / out))
