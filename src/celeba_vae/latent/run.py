"""From a trained model and shards to z-points, their statistics and a fitted sampler on disk."""

import csv
from collections.abc import Mapping
from pathlib import Path

from celeba_vae.errors import UserError
from celeba_vae.faces.layout import SPLITS
from celeba_vae.files import atomic_path, write_json
from celeba_vae.latent.encode import encode_split
from celeba_vae.latent.report import write_zpoint_report
from celeba_vae.latent.samplers import GAUSSIAN_FILE, fit_gaussian, save_gaussian
from celeba_vae.params import ZpointsParams
from celeba_vae.pretrained import load
from celeba_vae.shards.read import Split, file_names, open_split

INDEX_FILE = "rows.csv"


def describe_zpoints(
    model: Path, shards: Path, folder: Path, metrics: Path, *, params: ZpointsParams
) -> None:
    """Encode every split once and write arrays, tables, plots, a sampler and metrics.

    Args:
        model: the folder of the trained model.
        shards: the folder of shards.
        folder: where the arrays (see `encode_split`), INDEX_FILE (which image each row of them
            belongs to), tables, plots and GAUSSIAN_FILE are written.
        metrics: the JSON file of metrics, a group for each split.
        params: the parameters of the stage.

    Raises:
        UserError: the model or the shards cannot be read or do not fit together.
    """
    pretrained = load(model)
    splits = {split: open_split(shards, split) for split in SPLITS}
    _write_index(shards, splits, folder / INDEX_FILE)
    arrays = {
        split: encode_split(pretrained, images, split=split, seed=params.seed, folder=folder)
        for split, images in splits.items()
    }
    save_gaussian(folder / GAUSSIAN_FILE, fit_gaussian(arrays["train"]["z"]))
    summary = write_zpoint_report(
        folder,
        {split: (each["mu"], each.get("log_var"), each["z"]) for split, each in arrays.items()},
        active_variance=params.active_variance,
    )
    write_json(metrics, summary)


def _write_index(shards: Path, splits: Mapping[str, Split], path: Path) -> None:
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("split", "row", "file_name"))
        for split, images in splits.items():
            names = file_names(shards, split)
            if len(names) != len(images):
                raise UserError(
                    f"{shards}: the index has {len(names)} rows of the split {split}, the shards "
                    f"have {len(images)} images; run `dvc repro prepare`"
                )
            table.writerows((split, row, name) for row, name in enumerate(names))
