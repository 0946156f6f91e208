"""From a trained model and shards to z-points, their statistics and a fitted sampler on disk."""

from pathlib import Path

from celeba_vae.files import write_json
from celeba_vae.latent.encode import encode_split
from celeba_vae.latent.report import write_zpoint_report
from celeba_vae.latent.samplers import GAUSSIAN_FILE, fit_gaussian, save_gaussian
from celeba_vae.params import ZpointsParams
from celeba_vae.pretrained import load
from celeba_vae.shards.read import open_split

SPLITS = ("train", "validation", "test")


def describe_zpoints(
    model: Path, shards: Path, folder: Path, metrics: Path, *, params: ZpointsParams
) -> None:
    """Encode every split once and write arrays, tables, plots, a sampler and metrics.

    Args:
        model: the folder of the trained model.
        shards: the folder of shards.
        folder: where the arrays (see `encode_split`), tables, plots and GAUSSIAN_FILE are written.
        metrics: the JSON file of metrics, a group for each split.
        params: the parameters of the stage.
    """
    pretrained = load(model)
    arrays = {
        split: encode_split(
            pretrained, open_split(shards, split), split=split, seed=params.seed, folder=folder
        )
        for split in SPLITS
    }
    save_gaussian(folder / GAUSSIAN_FILE, fit_gaussian(arrays["train"]["z"]))
    summary = write_zpoint_report(
        folder,
        {split: (each["mu"], each["log_var"], each["z"]) for split, each in arrays.items()},
        active_variance=params.active_variance,
    )
    write_json(metrics, summary)
