"""All figures of quality of a trained model, as tables, pictures and metrics."""

import csv
import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from celeba_vae.latent.samplers import SAMPLERS, FittedSamplers, draw
from celeba_vae.metrics.features import random_features, thumbnails
from celeba_vae.metrics.frechet import features_of, frechet_distance, load_inception
from celeba_vae.metrics.likelihood import fit_sigma, likelihood_bounds
from celeba_vae.metrics.neighbours import manifold_scores, nearest
from celeba_vae.metrics.quality import image_quality, summary
from celeba_vae.metrics.similarity import ms_ssim, pair_similarity
from celeba_vae.metrics.wasserstein import pyramid_distance, pyramid_sides
from celeba_vae.model.losses import bits_per_dimension
from celeba_vae.model.pretrained import Pretrained
from celeba_vae.params import EvaluateParams, EvaluationSizes, Sampler
from celeba_vae.plots.grids import labelled_grid, png
from celeba_vae.runtime.errors import UserError
from celeba_vae.runtime.files import atomic_path, sha256_of, write_bytes, write_tsv
from celeba_vae.runtime.progress import progress_bar
from celeba_vae.shards.read import Split, file_names, open_split, read_manifest, shard_sums

Images = NDArray[np.uint8]

# How many z-points to draw, and the seed: to z-points (n, z_dim).
Draw = Callable[[int, int], np.ndarray]


@dataclass(frozen=True)
class Drawing:
    """A way to draw z-points: the function, and the temperature that it draws at."""

    draw: Draw
    temperature: float


RECONSTRUCTIONS_FILE = "reconstructions.csv"
BOUNDS_FILE = "bounds.tsv"
SAMPLES_FILE = "samples.tsv"

# Images of a split that are in memory at once.
_BLOCK = 512

# Faces in a row of a grid.
_SHOWN = 10


def drawings_of(fitted: FittedSamplers, *, every: bool) -> dict[str, Drawing]:
    """Return the samplers to compare, by name.

    Args:
        fitted: the samplers, with the best of them and the best temperature of each, both chosen
            on validation.
        every: all samplers, or only normal and the best.

    Returns:
        normal at temperature 1, which is N(0, I) itself; each other one at its best temperature.
    """
    names = [name for name in SAMPLERS if every or name in ("normal", fitted.best)]
    drawings: dict[str, Drawing] = {}
    for name in names:
        temperature = 1.0 if name == "normal" else fitted.chosen(name, None)[1]
        drawings[name] = Drawing(_drawing(fitted, name, temperature), temperature)
    return drawings


def evaluate_model(
    model: Pretrained,
    shards: Path,
    drawings: Mapping[str, Drawing],
    folder: Path,
    params: EvaluateParams,
) -> dict[str, Any]:
    """Measure a trained model, and write tables and pictures.

    Args:
        model: the trained model.
        shards: the folder of shards; what is measured is measured on test.
        drawings: the samplers to compare, by name; see `drawings_of`.
        folder: where RECONSTRUCTIONS_FILE (a row for each test image), BOUNDS_FILE (the
            importance-weighted bound by the number of samples; not for a plain autoencoder),
            SAMPLES_FILE (what was compared) and in `plots` the grids best_and_worst.png and
            nearest_SAMPLER.png are written.
        params: the parameters of the stage.

    Returns:
        reconstruction: `summary` of MSE, PSNR, SSIM and MS-SSIM over all test images.
        likelihood: sigma, ELBO and importance-weighted bound in bits for each value of a pixel,
            with the number of images and of samples; not for a plain autoencoder.
        samples: for each sampler, for real faces of validation and for their reconstructions,
            the figures of `_compared`; for test those that need no other faces.
        fid: with the network of `params.fid` only.

    Raises:
        UserError: the shards cannot be read, or are too few for the parameters.
    """
    test, validation = open_split(shards, "test"), open_split(shards, "validation")
    compared = min(sizes_of(params).images, len(test), len(validation))
    if compared <= params.neighbours:
        raise UserError(
            f"{shards}: {compared} images of test and of validation are too few for "
            f"evaluate.neighbours = {params.neighbours}: it must be below their number"
        )
    train = open_split(shards, "train")
    measured: dict[str, Any] = {
        "reconstruction": _reconstruct(model, test, file_names(shards, "test"), folder)
    }
    if model.variational:
        measured["likelihood"] = _likelihood(model, train, test, folder, params)
    else:
        print("No likelihood: a plain autoencoder has none")
    measured["samples"] = _compare(
        model, drawings, (train, validation, test), folder, params, images=compared
    )
    if params.fid is None:
        print("No FID: evaluate.fid names no Inception network")
    else:
        measured["fid"] = _fid(model, drawings, shards, Path(params.fid), seed=params.seed)
    return measured


def sizes_of(params: EvaluateParams) -> EvaluationSizes:
    """Return how much is compared at the chosen level."""
    return params.quick if params.level == "quick" else params.full


def _reconstruct(
    model: Pretrained, test: Split, names: list[str], folder: Path
) -> dict[str, float | int]:
    blocks = []
    with progress_bar(len(test), label="reconstruct", unit="images") as bar:
        for rows in _row_blocks(np.arange(len(test))):
            originals = test.take(rows)
            reconstructions = _reconstructed(model, originals)
            block = image_quality(originals, reconstructions)
            blocks.append(block | {"ms_ssim": ms_ssim(originals, reconstructions)})
            bar.update(len(rows))
    quality = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
    path = folder / RECONSTRUCTIONS_FILE
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("row", "file_name", *quality))
        for row, (name, *values) in enumerate(zip(names, *quality.values(), strict=True)):
            table.writerow((row, name, *(f"{value:.6g}" for value in values)))
    # Not by MSE, which would show dark images as the best and bright ones as the worst.
    order = np.argsort(quality["ms_ssim"], kind="stable")
    worst, best = test.take(order[:_SHOWN]), test.take(order[::-1][:_SHOWN])
    grid = (
        ("best of test", best),
        ("reconstructed", _reconstructed(model, best)),
        ("worst of test", worst),
        ("reconstructed", _reconstructed(model, worst)),
    )
    _save_rows(folder / "plots/best_and_worst.png", grid, caption="Test images by MS-SSIM")
    return summary(blocks, values=math.prod(test.image_shape))


def _likelihood(
    model: Pretrained, train: Split, test: Split, folder: Path, params: EvaluateParams
) -> dict[str, float | int]:
    sizes = sizes_of(params)
    fitted_on = _some_rows(train, sizes.images, params.seed)
    sigma = fit_sigma(model, train, fitted_on, seed=params.seed)
    images = test.take(_some_rows(test, sizes.likelihood_images, params.seed))
    elbo, bounds = likelihood_bounds(
        model, images, samples=sizes.importance_samples, sigma=sigma, seed=params.seed
    )
    values = images[0].size

    def bits(nats: float) -> float:
        return bits_per_dimension(-nats, values=values, density=False)

    rows = [(samples, bits(bound)) for samples, bound in bounds.items()]
    write_tsv(folder / BOUNDS_FILE, ("samples", "bits_per_dimension"), rows)
    return {
        "images": len(images),
        "importance_samples": sizes.importance_samples,
        "sigma": sigma,
        "elbo_bits_per_dimension": bits(elbo),
        "bound_bits_per_dimension": bits(bounds[sizes.importance_samples]),
    }


def _compare(
    model: Pretrained,
    drawings: Mapping[str, Drawing],
    splits: tuple[Split, Split, Split],
    folder: Path,
    params: EvaluateParams,
    *,
    images: int,
) -> dict[str, Any]:
    """Compare equally many real and drawn faces; what is drawn is in memory one set at a time."""
    train, validation, test = splits
    real = test.take(_some_rows(test, images, params.seed))
    held_out = validation.take(_some_rows(validation, images, params.seed))
    real_features = random_features(real, seed=params.seed)
    real_distances, real_rows = _nearest_of_train(real, train, label="nearest test")
    real_distance = float(np.median(real_distances))
    compared: dict[str, Any] = {
        "images": images,
        "test": {"pair_similarity": pair_similarity(real), "train_distance": real_distance},
    }
    sides = pyramid_sides(real.shape[1])
    for name in ("validation", "reconstructions", *drawings):
        if name == "validation":
            faces = held_out
        elif name == "reconstructions":
            faces = _reconstructed(model, held_out)
        else:
            faces = model.decode(drawings[name].draw(images, params.seed))
        swd = {}
        with progress_bar(len(sides), label=f"patches {name}", unit="levels") as bar:
            for level, side in enumerate(sides):
                swd[f"swd_{side}"] = pyramid_distance(real, faces, level=level, seed=params.seed)
                bar.update()
        features = random_features(faces, seed=params.seed)
        distances, rows = _nearest_of_train(faces, train, label=f"nearest {name}")
        distance = float(np.median(distances))
        compared[name] = {
            "swd": float(np.mean(list(swd.values()))),
            **swd,
            "pair_similarity": pair_similarity(faces),
            **manifold_scores(real_features, features, neighbours=params.neighbours),
            "train_distance": distance,
            "memorisation_ratio": distance / real_distance,
        }
        if name in drawings:
            compared[name]["temperature"] = drawings[name].temperature
            closest, real_closest = (
                np.argsort(values, kind="stable")[:_SHOWN] for values in (distances, real_distances)
            )
            grid = (
                ("drawn", faces[:_SHOWN]),
                ("nearest of train", train.take(rows[:_SHOWN])),
                ("drawn, closest", faces[closest]),
                ("nearest of train", train.take(rows[closest])),
                ("test, closest", real[real_closest]),
                ("nearest of train", train.take(real_rows[real_closest])),
            )
            caption = f"Faces drawn by the sampler {name}, and the training images nearest to them"
            _save_rows(folder / f"plots/nearest_{name}.png", grid, caption=caption)
    _write_samples(folder / SAMPLES_FILE, compared)
    return compared


def _fid(
    model: Pretrained, drawings: Mapping[str, Drawing], shards: Path, weights: Path, *, seed: int
) -> dict[str, Any]:
    inception = load_inception(weights)
    test = open_split(shards, "test")
    sums = "".join(digest for _, digest in shard_sums(shards, "test"))
    manifest = read_manifest(shards)
    described = {
        "images": len(test),
        "size": manifest["image_shape"][0],
        "crop": manifest["crop"],
        "filter": manifest["filter"],
        "reference_sha256": hashlib.sha256(sums.encode()).hexdigest(),
        "network_sha256": sha256_of(weights),
    }
    print("FID against the test images: " + ", ".join(f"{k} {v}" for k, v in described.items()))

    def features(faces: Callable[[NDArray[np.int64]], Images], name: str) -> NDArray[np.float64]:
        blocks = []
        with progress_bar(len(test), label=f"FID {name}", unit="images") as bar:
            for rows in _row_blocks(np.arange(len(test))):
                blocks.append(features_of(inception, faces(rows)))
                bar.update(len(rows))
        return np.concatenate(blocks)

    real = features(test.take, "test")
    for name, drawing in drawings.items():
        z = drawing.draw(len(test), seed)
        drawn = features(lambda rows, z=z: model.decode(z[rows]), name)  # type: ignore[misc]
        described[name] = frechet_distance(real, drawn)
        print(f"FID {name}: {described[name]:.2f}")
    return described


def _drawing(fitted: FittedSamplers, name: Sampler, temperature: float) -> Draw:
    return lambda n, seed: draw(fitted, name, n, seed=seed, temperature=temperature)


def _reconstructed(model: Pretrained, images: Images) -> Images:
    mu, _ = model.encode(images)
    return model.decode(mu)


def _nearest_of_train(
    images: Images, train: Split, *, label: str
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    with progress_bar(len(train), label=label, unit="images") as bar:

        def blocks() -> Iterator[NDArray[np.float32]]:
            for rows in _row_blocks(np.arange(len(train))):
                yield thumbnails(train.take(rows))
                bar.update(len(rows))

        return nearest(thumbnails(images), blocks())


def _some_rows(split: Split, wanted: int, seed: int) -> NDArray[np.int64]:
    """Return rows of a split in random order, each once; the first of more are the same."""
    generator = np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, len(split)))))
    return generator.permutation(len(split))[:wanted]


def _row_blocks(rows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    for start in range(0, len(rows), _BLOCK):
        yield rows[start : start + _BLOCK]


def _save_rows(path: Path, rows: Sequence[tuple[str, Images]], *, caption: str) -> None:
    labels, faces = zip(*rows, strict=True)
    grid = labelled_grid(
        np.concatenate(faces), columns=len(faces[0]), labels=labels, caption=caption
    )
    write_bytes(path, png(grid))


def _write_samples(path: Path, compared: Mapping[str, Any]) -> None:
    figures = [*compared["validation"], "temperature"]
    rows = [
        (name, *(row.get(figure, "") for figure in figures))
        for name, row in compared.items()
        if name != "images"
    ]
    write_tsv(path, ("faces", *figures), rows)
