"""Computation of the stage `zpoints`: arrays, statistics, tables, plots and fitted samplers."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from celeba_vae.latent.distances import ENERGY_POINTS, energy_distance, subsample
from celeba_vae.latent.fitting import fit_samplers
from celeba_vae.latent.samplers import SAMPLERS_FILE, draw, sampler_arrays
from celeba_vae.latent.stored import array_file
from celeba_vae.model.pretrained import Pretrained
from celeba_vae.params import ZpointsParams
from celeba_vae.plots.energy_distances import plot_cube, plot_samplers
from celeba_vae.runtime.outs import Result
from celeba_vae.shards.read import Split
from celeba_vae.zpoints.describe import describe_splits, metrics_of
from celeba_vae.zpoints.encode import encode_split
from celeba_vae.zpoints.index import INDEX_FILE, Index, table_of_images
from celeba_vae.zpoints.pictures import plot_zpoints
from celeba_vae.zpoints.region import cube_faces, scaled_faces, scan_cubes
from celeba_vae.zpoints.tables import as_table, curves, table_of_dimensions


def describe_zpoints(
    model: Pretrained, images: Mapping[str, Split], index: Index, *, params: ZpointsParams
) -> Result:
    """Encode every split once, describe its z-points and fit samplers to them.

    Args:
        model: the trained model.
        images: the splits by name: train, validation and test.
        index: which image each row of them is.
        params: the parameters of the stage.

    Returns:
        Outs: the arrays SPLIT_mu.npy, SPLIT_log_var.npy (none for a plain autoencoder) and
        SPLIT_z.npy, see `Encoded`; INDEX_FILE, which image each row of them belongs to, and its
        attributes; zpoints.json, all values, see `zpoints.schema.json`; the tables zpoints.csv,
        radius.tsv, components.tsv and eigenvalues.tsv, see `tables`; SAMPLERS_FILE; and plots.
        Metrics: a group for each split, samplers and region.
    """
    splits = {n: encode_split(model, each, split=n, seed=params.seed) for n, each in images.items()}
    fitted, choice = fit_samplers({n: each.z for n, each in splits.items()}, seed=params.seed)
    described = describe_splits(splits, params=params)
    columns = curves(splits, described)
    attributes = index.attributes_of("train")
    plots = plot_zpoints(splits, described, columns, attributes, params=params)
    plots["samplers"] = plot_samplers(choice)

    points = subsample(splits["train"].z.points, count=ENERGY_POINTS, seed=params.seed)
    cubes = scan_cubes(points, seed=params.seed)
    normal, gaussian = (
        energy_distance(
            draw(fitted, name, len(points), seed=params.seed, temperature=1).astype(np.float64),
            points,
        )
        for name in ("normal", "gaussian")
    )
    plots["cube"] = plot_cube(cubes, {"N(0, I)": normal, "fitted Gaussian": gaussian})
    plots["cubes"] = cube_faces(model, best_b=cubes["best_b"], seed=params.seed)
    plots["scales"], scales = scaled_faces(model, splits["validation"].z.points)

    outs: dict[str, Any] = {
        array_file(split, name): array
        for split, encoded in splits.items()
        for name, array in encoded.arrays.items()
    }
    outs |= {
        INDEX_FILE: table_of_images(index),
        SAMPLERS_FILE: sampler_arrays(fitted),
        "zpoints.csv": table_of_dimensions(described),
        "zpoints.json": {
            "tests": params.tests,
            "splits": {name: split.values for name, split in described.items()},
            "samplers": choice,
            "region": {
                "cube": cubes | {"references": {"normal": normal, "gaussian": gaussian}},
                "scales": scales,
            },
        },
    }
    outs |= {f"{name}.tsv": as_table(table) for name, table in columns.items()}
    outs |= {f"plots/{name}.png": picture for name, picture in plots.items()}
    found = choice["validation"]
    metrics = {
        **metrics_of(described),
        "samplers": {
            "best": choice["best"],
            "temperature": choice["temperature"],
            **{f"{name}_energy_distance": each["energy_distance"] for name, each in found.items()},
            "test_energy_distance": choice["test_energy_distance"],
            "test_floor": choice["test_floor"],
        },
        "region": {key: cubes[key] for key in ("best_b", "best_energy_distance", "radius_b")},
    }
    return Result(outs, metrics)
