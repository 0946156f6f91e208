"""What the trained model draws: random faces, reconstructions, walks between z-points."""

from pathlib import Path
from typing import Any

import numpy as np

from celeba_vae.latent.samplers import FittedSamplers, draw, draw_gaussian, draw_normal
from celeba_vae.metrics.quality import reconstruction_quality
from celeba_vae.model.pretrained import Pretrained
from celeba_vae.params import GenerateParams
from celeba_vae.plots.grids import alternate_rows, image_grid, labelled_grid, png
from celeba_vae.runtime.files import atomic_path, write_bytes
from celeba_vae.runtime.progress import progress_bar
from celeba_vae.shards.read import Split

_BLOCK = 512


def straight_walks(starts: np.ndarray, ends: np.ndarray, *, steps: int) -> np.ndarray:
    """Return points on straight lines between pairs of z-points.

    Args:
        starts: (n, z_dim), the first point of each walk.
        ends: (n, z_dim), the last point of each walk.
        steps: points on each walk, both ends included; at least 2.

    Returns:
        (n, steps, z_dim), equally spaced.
    """
    fractions = np.linspace(0.0, 1.0, steps, dtype=starts.dtype)[:, None]
    walks: np.ndarray = (1 - fractions) * starts[:, None] + fractions * ends[:, None]
    return walks


def write_samples(
    model: Pretrained,
    fitted: FittedSamplers,
    validation: Split,
    folder: Path,
    params: GenerateParams,
) -> dict[str, Any]:
    """Draw and write all grids, each as NAME.png with its faces beside it as NAME.npy.

    Args:
        model: the trained model.
        fitted: the samplers fitted to the training images' z-points.
        validation: validation images.
        folder: where the files are written: `random_normal` and `random_gaussian` (faces from
            N(0, I) and from the fitted Gaussian), `random_chosen` (from the sampler and at the
            temperature of the parameters, or where these are empty of what `fitted` found best),
            `reconstructions` (validation images, below each its
            reconstruction from mu), `walks` (straight walks between pairs of z-points of
            the Gaussian, a row each); and `overview.png`, a labelled row of each kind.
        params: the parameters of the stage.

    Returns:
        The quality of the reconstructions of all validation images, and sampler and temperature
        of `random_chosen`.
    """
    faces = params.rows * params.columns
    grid = {"rows": params.rows, "columns": params.columns}
    normal = model.decode(draw_normal(faces, model.z_dim, params.seed))
    _write(folder / "random_normal", normal, **grid)
    gaussian = model.decode(draw_gaussian(fitted.gaussian, faces, params.seed))
    _write(folder / "random_gaussian", gaussian, **grid)
    sampler, temperature = fitted.chosen(params.sampler, params.temperature)
    points = draw(fitted, sampler, faces, seed=params.seed, temperature=temperature)
    chosen = model.decode(points)
    _write(folder / "random_chosen", chosen, **grid)

    ends = draw_gaussian(fitted.gaussian, 2 * params.walks, params.seed + 1)
    walks = straight_walks(ends[: params.walks], ends[params.walks :], steps=params.walk_steps)
    frames = model.decode(walks.reshape(-1, model.z_dim))
    _write(folder / "walks", frames, rows=params.walks, columns=params.walk_steps)

    originals = validation.take(np.arange(len(validation)))
    reconstructions = _reconstruct(model, originals)
    pair_rows = max(params.rows // 2, 1)
    shown = _chosen_rows(len(validation), pair_rows * params.columns, seed=params.seed)
    pairs = alternate_rows(originals[shown], reconstructions[shown], columns=params.columns)
    _write(folder / "reconstructions", pairs, rows=2 * pair_rows, columns=params.columns)
    overview = {
        "images": originals[shown],
        "reconstructions": reconstructions[shown],
        "from N(0, I)": normal,
        "from the fitted Gaussian": gaussian,
        f"from {sampler}, temperature {temperature:g}": chosen,
    }
    _write_overview(folder / "overview.png", overview, columns=params.columns)
    quality = reconstruction_quality(originals, reconstructions)
    return {**quality, "sampler": sampler, "temperature": temperature}


def _write_overview(path: Path, rows: dict[str, np.ndarray], *, columns: int) -> None:
    faces = np.concatenate([images[:columns] for images in rows.values()])
    write_bytes(path, png(labelled_grid(faces, columns=columns, labels=list(rows))))


def _reconstruct(model: Pretrained, originals: np.ndarray) -> np.ndarray:
    reconstructions = np.empty_like(originals)
    with progress_bar(len(originals), label="reconstruct", unit="images") as bar:
        for start in range(0, len(originals), _BLOCK):
            block = slice(start, start + _BLOCK)
            mu, _ = model.encode(originals[block])
            reconstructions[block] = model.decode(mu)
            bar.update(len(mu))
    return reconstructions


def _chosen_rows(available: int, wanted: int, *, seed: int) -> np.ndarray:
    generator = np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, 2))))
    # A small split repeats its images rather than leave the grid half empty.
    return np.resize(generator.permutation(available), wanted)


def _write(path: Path, faces: np.ndarray, *, rows: int, columns: int) -> None:
    write_bytes(path.with_suffix(".png"), png(image_grid(faces, rows=rows, columns=columns)))
    with atomic_path(path.with_suffix(".npy")) as temporary:
        np.save(temporary, faces, allow_pickle=False)
