"""From shards to a trained model on disk."""

from pathlib import Path

from celeba_vae.errors import UserError
from celeba_vae.files import write_json, write_tsv
from celeba_vae.model.vae import VAE
from celeba_vae.params import ModelParams, TrainParams, check_batch_size
from celeba_vae.pretrained import save
from celeba_vae.scratch import scratch_folder
from celeba_vae.shards.read import open_split, read_manifest
from celeba_vae.training.fit import HISTORY_COLUMNS, fit

HISTORY_FILE = "history.tsv"


def train_model(
    shards: Path,
    folder: Path,
    metrics: Path,
    *,
    model: ModelParams,
    train: TrainParams,
    threads: int,
) -> None:
    """Fit a VAE and write weights, architecture, history and metrics.

    Args:
        shards: the folder of shards.
        folder: where the model and HISTORY_FILE are written.
        metrics: the JSON file of metrics: parameters of Encoder and Decoder, images, steps, and
            the last row of the history (nats per image).
        model: the architecture.
        train: the parameters of the fit.
        threads: TensorFlow's threads within an operation, kept beside the weights.

    Raises:
        UserError: shards that cannot be read or do not fit the parameters, or a loss that is not
            finite.
    """
    manifest = read_manifest(shards)
    training, validation = open_split(shards, "train"), open_split(shards, "validation")
    try:
        check_batch_size(train.batch_size, len(training))
    except ValueError as error:
        raise UserError(str(error)) from None
    size = training.image_shape[0]
    vae = VAE(model, size=size, seed=train.seed, learned_sigma=train.sigma == "learned")
    watch = scratch_folder("train")
    for left_by_another_run in watch.glob("epoch-*.png"):
        left_by_another_run.unlink()
    print(f"A grid of faces after every epoch, to watch: {watch}/epoch-*.png", flush=True)
    history = fit(vae, training, validation, train, watch_folder=watch)
    save(vae, model, manifest=manifest, threads=threads, folder=folder)
    rows = [[int(row["epoch"]), *(row[key] for key in HISTORY_COLUMNS[1:])] for row in history]
    write_tsv(folder / HISTORY_FILE, HISTORY_COLUMNS, rows)
    last = {key: history[-1][key] for key in HISTORY_COLUMNS[1:]}
    write_json(
        metrics,
        {
            "encoder_parameters": vae.encoder.count_params(),
            "decoder_parameters": vae.decoder.count_params(),
            "training_images": len(training),
            "epochs": train.epochs,
            **last,
        },
    )
