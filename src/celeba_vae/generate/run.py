"""Faces that the trained model draws: random ones, reconstructions, interpolations."""

import numpy as np

from celeba_vae.latent.interpolation import interpolate
from celeba_vae.latent.samplers import FittedSamplers, draw, draw_gaussian, draw_normal
from celeba_vae.metrics.quality import image_quality, join_blocks, summary
from celeba_vae.model.pretrained import Pretrained
from celeba_vae.params import GenerateParams
from celeba_vae.plots.grids import alternate_rows, image_grid, labelled_rows, png
from celeba_vae.runtime.arrays import Floats, Pixels
from celeba_vae.runtime.outs import Outs, Result
from celeba_vae.runtime.progress import progress_bar
from celeba_vae.shards.read import Split


def generate_faces(
    model: Pretrained, samplers: FittedSamplers, validation: Split, params: GenerateParams
) -> Result:
    """Draw all grids, and measure the reconstructions of all validation images.

    Args:
        model: the trained model.
        samplers: fitted to the training images' z-points.
        validation: validation images.
        params: the parameters of the stage.

    Returns:
        outs: grids as NAME.png with their faces as NAME.npy, uint8 (faces, size, size, 3):
            `random_normal` and `random_gaussian` (from N(0, I) and from the fitted Gaussian),
            `random_chosen` (from the sampler and at the temperature of the parameters, or where
            these are empty the best ones of `samplers`), `walks` (linear interpolations between
            pairs of z-points of the Gaussian, a row each), `reconstructions` (validation images,
            below each its reconstruction from mu); and `overview.png`, a labelled row of each.
        metrics: `metrics.quality.summary` of the reconstructions of all validation images;
            sampler and temperature of `random_chosen`.
    """
    faces = params.rows * params.columns
    normal = model.decode(draw_normal(faces, model.z_dim, params.seed))
    gaussian = model.decode(draw_gaussian(samplers.gaussian, faces, params.seed))
    sampler, temperature = samplers.chosen(params.sampler, params.temperature)
    chosen = model.decode(draw(samplers, sampler, faces, seed=params.seed, temperature=temperature))

    ends = draw_gaussian(samplers.gaussian, 2 * params.walks, params.seed + 1)
    walks = interpolate(ends[: params.walks], ends[params.walks :], steps=params.walk_steps)
    frames = model.decode(walks.reshape(-1, model.z_dim))

    pairs = max(params.rows // 2, 1) * params.columns
    shown = _random_rows(len(validation), pairs, seed=params.seed)
    originals = validation.take(shown)
    quality, reconstructions = _reconstruct(model, validation, shown)
    columns = params.columns
    outs = {
        **_grid("random_normal", normal, columns=columns),
        **_grid("random_gaussian", gaussian, columns=columns),
        **_grid("random_chosen", chosen, columns=columns),
        **_grid("walks", frames, columns=params.walk_steps),
        **_grid(
            "reconstructions",
            alternate_rows(originals, reconstructions, columns=columns),
            columns=columns,
        ),
        "overview.png": labelled_rows(
            ("images", originals[:columns]),
            ("reconstructions", reconstructions[:columns]),
            ("from N(0, I)", normal[:columns]),
            ("from the fitted Gaussian", gaussian[:columns]),
            (f"from {sampler}, temperature {temperature:g}", chosen[:columns]),
        ),
    }
    metrics = summary(quality, values=originals[0].size)
    return Result(outs, {**metrics, "sampler": sampler, "temperature": temperature})


def _reconstruct(
    model: Pretrained, images: Split, shown: np.ndarray
) -> tuple[dict[str, Floats], Pixels]:
    """Return `image_quality` of all images, and the reconstructions of the rows `shown`."""
    blocks = []
    kept = np.empty((len(shown), *images.image_shape), np.uint8)
    with progress_bar(len(images), label="reconstruct", unit="images") as bar:
        for rows, originals in images.blocks():
            reconstructions = model.reconstruct(originals)
            blocks.append(image_quality(originals, reconstructions))
            here = np.isin(shown, rows)
            kept[here] = reconstructions[shown[here] - rows[0]]
            bar.update(len(rows))
    return join_blocks(blocks), kept


def _random_rows(available: int, wanted: int, *, seed: int) -> np.ndarray:
    generator = np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, 2))))
    # A small split repeats its images rather than leave the grid half empty.
    return np.resize(generator.permutation(available), wanted)


def _grid(name: str, faces: Pixels, *, columns: int) -> Outs:
    rows = len(faces) // columns
    return {
        f"{name}.png": png(image_grid(faces, rows=rows, columns=columns)),
        f"{name}.npy": faces,
    }
