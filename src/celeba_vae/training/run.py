"""From shards to a trained model on disk, through states that outlive a kill."""

import json
import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from celeba_vae.machine import training_machine
from celeba_vae.model.pretrained import save
from celeba_vae.model.vae import VAE
from celeba_vae.params import ModelParams, RunParams, TrainParams, check_batch_size
from celeba_vae.runtime.errors import UserError
from celeba_vae.runtime.files import sha256_of, write_json, write_tsv
from celeba_vae.runtime.scratch import scratch_folder
from celeba_vae.shards.read import MANIFEST_FILE, open_split, read_manifest, shard_sums
from celeba_vae.training.fit import HISTORY_COLUMNS, Fitted, fit
from celeba_vae.training.parallel import from_lead, is_lead, largest, lead_bar, process_count
from celeba_vae.training.schedules import total_matters
from celeba_vae.training.state import (
    State,
    changes,
    clear_states,
    differing,
    from_bytes,
    load_state,
    make_room,
    own_folder,
    save_state,
    to_bytes,
)
from celeba_vae.training.watch import Watch, watch_in

HISTORY_FILE = "history.tsv"
KL_FILE = "kl_per_dimension.tsv"

_USED_SPLITS = ("train", "validation")
# So many differences from the last fit are named.
_NAMED = 4

Signature = dict[Path, tuple[int, int, int]]


def train_model(
    shards: Path,
    folder: Path,
    metrics: Path,
    *,
    model: ModelParams,
    train: TrainParams,
    threads: int,
    run: RunParams,
    code: Mapping[str, str],
) -> None:
    """Fit a VAE, or go on with one, and write weights, architecture, history and metrics.

    Where several processes train together, each must call it. Only process 0 writes, keeps states
    and finds them again; the others are given its state, and write nothing.

    Args:
        shards: the folder of shards.
        folder: where the model, HISTORY_FILE and KL_FILE are written.
        metrics: the JSON file of metrics: parameters of Encoder and Decoder, images, epochs, the
            epoch whose weights were written, and its row of the history (nats per image).
        model: the architecture.
        train: the parameters of the fit.
        threads: the backend's threads within an operation, kept beside the weights.
        run: how often the state is kept, and how much of the states.
        code: sha256 of each source file that trains, by name; other code starts afresh.

    Raises:
        UserError: shards that cannot be read, are damaged, do not fit the parameters or change
            during the fit; a loss that is not finite; another process does this very fit, or one
            that trains together with this one does another.
        OSError: a disk is full or a folder cannot be written; the last good state is kept.
    """
    manifest = read_manifest(shards)
    training, validation = open_split(shards, "train"), open_split(shards, "validation")
    try:
        check_batch_size(train.batch_size, len(training))
    except ValueError as error:
        raise UserError(str(error)) from None
    signature = _check_shards(shards)
    vae = VAE(
        model,
        size=training.image_shape[0],
        seed=train.seed,
        learned_sigma=train.sigma == "learned",
        precision=train.precision,
    )
    root = scratch_folder("train")
    identity = _identity(shards, model=model, train=train, threads=threads, code=code)
    _check_the_same({**identity, "epochs": train.epochs, "checkpoint_steps": run.checkpoint_steps})
    with own_folder(root, identity) if is_lead() else nullcontext() as place:
        state: State | None = None
        keep: Callable[[State], None] = _nothing
        watch: Watch = _nothing
        if place is not None:
            state = _find_state(root, place, identity, epochs=train.epochs)
            print(f"A grid of faces after every epoch, to watch: {place}/epoch-*.png", flush=True)
            keep = partial(save_state, place)
            watch = watch_in(place, vae, seed=train.seed, tensorboard=run.tensorboard)
        state = _of_lead(state)
        fitted = fit(
            vae,
            training,
            validation,
            train,
            checkpoint_steps=run.checkpoint_steps,
            state=state,
            keep=keep,
            check=lambda: _check_unchanged(signature),
            watch=watch,
        )
        if place is None:
            return
        clear_states(place, but=1)
        make_room(root, keep=place, limit=int(run.states_gb * 1e9))
        save(vae, model, manifest=manifest, threads=threads, folder=folder)
        _write_history(folder, fitted)
        _write_metrics(metrics, vae, fitted, images=len(training))


def _write_history(folder: Path, fitted: Fitted) -> None:
    rows = [
        [int(row["epoch"]), *(row[key] for key in HISTORY_COLUMNS[1:])] for row in fitted.history
    ]
    write_tsv(folder / HISTORY_FILE, HISTORY_COLUMNS, rows)
    if not fitted.kl_per_dimension[0]:
        return  # the plain autoencoder has no KL
    dimensions = [f"dimension_{index}" for index in range(len(fitted.kl_per_dimension[0]))]
    write_tsv(
        folder / KL_FILE,
        ["epoch", *dimensions],
        [[epoch, *row] for epoch, row in enumerate(fitted.kl_per_dimension, start=1)],
    )


def _write_metrics(path: Path, vae: VAE, fitted: Fitted, *, images: int) -> None:
    row = fitted.history[fitted.epoch - 1]
    write_json(
        path,
        {
            "encoder_parameters": vae.encoder.count_params(),
            "decoder_parameters": vae.decoder.count_params(),
            "training_images": images,
            "epochs": len(fitted.history),
            "chosen_epoch": fitted.epoch,
            **{key: row[key] for key in HISTORY_COLUMNS[1:]},
        },
    )


def _identity(
    shards: Path,
    *,
    model: ModelParams,
    train: TrainParams,
    threads: int,
    code: Mapping[str, str],
) -> dict[str, Any]:
    """Return all that the bits of a fit depend on; the fingerprint is made of it."""
    settings = train.model_dump()
    if not total_matters(train):
        # More epochs are then the same fit, gone on with.
        del settings["epochs"]
    return {
        "model": model.model_dump(),
        "train": settings,
        "data": sha256_of(shards / MANIFEST_FILE),
        "machine": training_machine(threads, train.backend),
        "code": dict(code),
    }


def _check_the_same(own: Mapping[str, Any]) -> None:
    """Check that all processes that train together do the same fit.

    Raises:
        UserError: they do not; in those that differ from process 0, with what differs.
    """
    if process_count() == 1:
        return
    of_lead = json.loads(from_lead(json.dumps(own).encode()))
    changed = changes(of_lead, own, label="here")
    if not largest(len(changed)):
        return
    if changed:
        raise UserError(f"this process differs from process 0: {_some(changed)}")
    raise UserError("another process differs from process 0; it says in what")


def _of_lead(state: State | None) -> State | None:
    """Return the state that process 0 found, in each process that trains together with it."""
    if process_count() == 1:
        return state
    data = from_lead(b"" if state is None else to_bytes(state))
    return from_bytes(data) if data else None


def _nothing(_: Any) -> None:
    """Do what a process does that writes nothing."""


def _find_state(
    root: Path, place: Path, identity: Mapping[str, Any], *, epochs: int
) -> State | None:
    """Return the state to go on from and say so; or None, and say why the fit starts afresh."""
    state, damaged = load_state(place)
    for line in damaged:
        print(f"warning: {line}", file=sys.stderr)
    if state is None:
        changed = differing(root, identity)
        reason = "no earlier state is kept"
        if changed:
            reason = f"changed since the last fit: {_some(changed)}"
        print(f"Training starts afresh: {reason}", flush=True)
        return None
    reached = f"epoch {state.epoch}, step {state.step}" if state.step else f"epoch {state.epoch}"
    if (state.epoch, state.step) > (epochs + 1, 0):
        clear_states(place)
        print(
            f"Training starts afresh: the kept state is at {reached}, beyond train.epochs = "
            f"{epochs}",
            flush=True,
        )
        return None
    if state.epoch > epochs:
        print(f"All {epochs} epochs are done already: the kept state has them", flush=True)
    else:
        print(f"Training goes on at {reached}, from the state in {place}", flush=True)
    return state


def _some(changed: list[str]) -> str:
    more = len(changed) - _NAMED
    return "; ".join(changed[:_NAMED]) + (f"; and {more} more" if more > 0 else "")


def _check_shards(shards: Path) -> Signature:
    """Check that the shards are those of the manifest, and return how their files look now."""
    sums = {path: sha256 for split in _USED_SPLITS for path, sha256 in shard_sums(shards, split)}
    signature = {}
    with lead_bar(len(sums), label="check", unit="shards") as bar:
        for path, sha256 in sums.items():
            signature[path] = _look(path)
            if sha256_of(path) != sha256:
                raise UserError(
                    f"{path}: the shard is damaged, its sha256 is not the manifest's; "
                    "run `dvc repro prepare`"
                )
            bar.update()
    return signature


def _check_unchanged(signature: Signature) -> None:
    for path, look in signature.items():
        try:
            same = _look(path) == look
        except FileNotFoundError:
            same = False
        if not same:
            raise UserError(
                f"{path}: the shard changed, or went away, while the model was trained on it; the "
                "last good state is kept; run `dvc repro` once it is as before"
            )


def _look(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns
