"""From a trained model and shards to z-points, their statistics and fitted samplers on disk."""

import csv
import itertools
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from celeba_vae.faces.layout import ATTRIBUTES, SPLITS
from celeba_vae.latent.distances import energy_distance, subsample
from celeba_vae.latent.fitting import fit_samplers
from celeba_vae.latent.samplers import SAMPLERS_FILE, draw, save_samplers
from celeba_vae.model.pretrained import load
from celeba_vae.params import ZpointsParams
from celeba_vae.plots.energy_distances import plot_cube, plot_samplers
from celeba_vae.runtime.errors import UserError
from celeba_vae.runtime.files import atomic_path, write_bytes, write_json
from celeba_vae.shards.read import Split, index_rows, open_split
from celeba_vae.zpoints import describe as report
from celeba_vae.zpoints import region
from celeba_vae.zpoints.encode import encode_split

INDEX_FILE = "rows.csv"


def describe_zpoints(
    model: Path, shards: Path, folder: Path, metrics: Path, *, params: ZpointsParams
) -> None:
    """Encode every split once and write arrays, figures, tables, plots and samplers.

    Args:
        model: the folder of the trained model.
        shards: the folder of shards.
        folder: where the arrays (see `encode_split`), INDEX_FILE (which image each row of them
            belongs to, and its attributes), zpoints.json (all figures, see
            `zpoints.schema.json`), tables, plots and SAMPLERS_FILE are written.
        metrics: the JSON file of metrics: a group for each split, samplers and region.
        params: the parameters of the stage.

    Raises:
        UserError: the model or the shards cannot be read or do not fit together.
    """
    pretrained = load(model)
    images = {split: open_split(shards, split) for split in SPLITS}
    attributes = _write_index(shards, images, folder / INDEX_FILE)
    splits = {
        split: encode_split(pretrained, each, split=split, seed=params.seed, folder=folder)
        for split, each in images.items()
    }
    plots = folder / "plots"
    fitted, choice = fit_samplers({n: each.z for n, each in splits.items()}, seed=params.seed)
    save_samplers(folder / SAMPLERS_FILE, fitted)
    write_bytes(plots / "samplers.png", plot_samplers(choice))

    figures, tables = report.describe_splits(splits, params=params)
    report.write_tables(folder, splits, tables)
    report.write_plots(plots, splits, figures, tables, attributes, params=params)

    points = subsample(splits["train"].z, count=report.ENERGY_POINTS, seed=params.seed)
    cubes = region.scan_cubes(points, seed=params.seed)
    references = {
        name: energy_distance(
            draw(fitted, name, len(points), seed=params.seed, temperature=1).astype(np.float64),
            points,
        )
        for name in ("normal", "gaussian")
    }
    labels = {"N(0, I)": references["normal"], "fitted Gaussian": references["gaussian"]}
    write_bytes(plots / "cube.png", plot_cube(cubes, labels))
    region.write_cube_faces(
        plots / "cubes.png", pretrained, best_b=cubes["best_b"], seed=params.seed
    )
    scales = region.write_scaled_faces(plots / "scales.png", pretrained, splits["validation"].z)
    write_json(
        folder / "zpoints.json",
        {
            "tests": params.tests,
            "splits": figures,
            "samplers": choice,
            "region": {"cube": cubes | {"references": references}, "scales": scales},
        },
    )
    best = choice["validation"]
    write_json(
        metrics,
        {
            **report.metrics_of(figures),
            "samplers": {
                "best": choice["best"],
                "temperature": choice["temperature"],
                **{f"{name}_energy_distance": best[name]["energy_distance"] for name in best},
                "test_energy_distance": choice["test_energy_distance"],
                "test_floor": choice["test_floor"],
            },
            "region": {key: cubes[key] for key in ("best_b", "best_energy_distance", "radius_b")},
        },
    )


def _write_index(
    shards: Path, splits: Mapping[str, Split], path: Path
) -> dict[str, NDArray[np.bool_]]:
    """Write which image each row belongs to; return the attributes of the training images."""
    rows = index_rows(shards)
    first = next(rows, None)
    known = [name for name in ATTRIBUTES if first and name in first]
    counts = dict.fromkeys(splits, 0)
    train: list[list[bool]] = []
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("split", "row", "file_name", *known))
        # Row by row: the whole index of CelebA as texts would take more memory than z does.
        for row in itertools.chain([first] if first else [], rows):
            split, values = row["split"], [row[name] for name in known]
            if split not in counts:
                continue
            table.writerow((split, counts[split], row["file_name"], *values))
            counts[split] += 1
            if split == "train":
                train.append([value == "1" for value in values])
        for split, images in splits.items():
            if counts[split] != len(images):
                raise UserError(
                    f"{shards}: the index has {counts[split]} rows of the split {split}, the "
                    f"shards have {len(images)} images; run `dvc repro prepare`"
                )
    return dict(zip(known, np.array(train, bool).reshape(len(train), len(known)).T, strict=True))
