"""Train a VAE: build it, find the state to go on from, fit, and return model, history and metrics.

States (checkpoints) of the fit are kept in a scratch folder, so that a killed training goes on from
the last of them.
"""

import json
import re
import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from celeba_vae.model.sizes import check_memory
from celeba_vae.model.vae import VAE
from celeba_vae.params import ModelParams, RunParams, TrainParams, check_batch_size
from celeba_vae.runtime.errors import UserError
from celeba_vae.runtime.mappings import changes
from celeba_vae.runtime.outs import Result, Table
from celeba_vae.training.data import TrainingData
from celeba_vae.training.fit import HISTORY_COLUMNS, FitResult, fit
from celeba_vae.training.parallel import from_main, is_main, largest, process_count
from celeba_vae.training.schedules import total_matters
from celeba_vae.training.state import (
    State,
    clear_states,
    differing,
    from_bytes,
    load_state,
    make_room,
    own_folder,
    save_state,
    to_bytes,
)
from celeba_vae.training.watch import OnEpochEnd, watch_in

HISTORY_FILE = "history.tsv"
KL_FILE = "kl_per_dimension.tsv"

# So many differences from the last fit are named.
_NAMED = 4


class Trained(NamedTuple):
    """What a training gives.

    Attributes:
        vae: the model with the trained weights.
        result: as outs HISTORY_FILE, and of a VAE KL_FILE (nats per image for each epoch and
            dimension); as metrics the parameters of Encoder and Decoder, the bytes that a step
            holds, images, epochs, the epoch whose weights the model has, and its row of the
            history (nats per image).
    """

    vae: VAE
    result: Result


def train_model(
    data: TrainingData,
    scratch: Path,
    *,
    model: ModelParams,
    train: TrainParams,
    machine: Mapping[str, Any],
    run: RunParams,
    code: Mapping[str, str],
) -> Trained:
    """Fit a VAE, or go on with the fit that was interrupted.

    Where several processes train together, each must call it, and gets the same. Only the main
    process writes to the scratch folder; the others are given its state.

    Args:
        data: the images.
        scratch: where states are kept, see `state`.
        model: the architecture.
        train: the parameters of the fit.
        machine: what the bits depend on beside all else, see `machine.training_machine`.
        run: after how many steps the state is kept, and how many bytes all states may take.
        code: sha256 of each source file that trains, by name; other code starts afresh.

    Raises:
        UserError: a batch larger than the training set; a model larger than the memory; shards
            that change during the fit; a loss that is not finite; another process does this very
            fit, or one that trains together with this one does another.
        OSError: a disk is full or a folder cannot be written; the last good state is kept.
    """
    try:
        check_batch_size(train.batch_size, len(data.training))
    except ValueError as error:
        raise UserError(str(error)) from None
    size = data.training.image_shape[0]
    check_memory(model, size=size, train=train)
    vae = VAE(
        model,
        size=size,
        seed=train.seed,
        learned_sigma=train.sigma == "learned",
        precision=train.precision,
    )
    identity = _identity(data, model=model, train=train, machine=machine, code=code)
    _check_the_same({**identity, "epochs": train.epochs, "checkpoint_steps": run.checkpoint_steps})
    with own_folder(scratch, identity) if is_main() else nullcontext() as folder:
        state: State | None = None
        keep_state: Callable[[State], None] = _nothing
        on_epoch_end: OnEpochEnd = _nothing
        if folder is not None:
            state = _find_state(scratch, folder, identity, epochs=train.epochs)
            print(f"A grid of faces after every epoch, to watch: {folder}/epoch-*.png", flush=True)
            keep_state = partial(save_state, folder)
            on_epoch_end = watch_in(folder, vae, seed=train.seed, tensorboard=run.tensorboard)
        fitted = fit(
            vae,
            data.training,
            data.validation,
            train,
            checkpoint_steps=run.checkpoint_steps,
            state=_of_main(state),
            keep_state=keep_state,
            check_images=data.check_unchanged,
            on_epoch_end=on_epoch_end,
        )
        if folder is not None:
            clear_states(folder, but=1)
            make_room(scratch, keep=folder, limit=int(run.states_gb * 1e9))
    metrics = _metrics(
        fitted, images=len(data.training), at_once=train.batch_size // train.accumulate
    )
    return Trained(vae, Result(_tables(fitted), metrics))


def _tables(fitted: FitResult) -> dict[str, Table]:
    history = [
        [int(row["epoch"]), *(row[key] for key in HISTORY_COLUMNS[1:])] for row in fitted.history
    ]
    tables = {HISTORY_FILE: Table(HISTORY_COLUMNS, history)}
    z_dim = len(fitted.kl_per_dimension[0])
    if z_dim:  # the plain autoencoder has no KL
        header = ["epoch", *(f"dimension_{index}" for index in range(z_dim))]
        rows = [[epoch, *row] for epoch, row in enumerate(fitted.kl_per_dimension, start=1)]
        tables[KL_FILE] = Table(header, rows)
    return tables


def _metrics(fitted: FitResult, *, images: int, at_once: int) -> dict[str, Any]:
    row = fitted.history[fitted.epoch - 1]
    return {
        "encoder_parameters": fitted.counted.encoder_parameters,
        "decoder_parameters": fitted.counted.decoder_parameters,
        "step_bytes": fitted.counted.step(at_once),
        "training_images": images,
        "epochs": len(fitted.history),
        "chosen_epoch": fitted.epoch,
        **{key: row[key] for key in HISTORY_COLUMNS[1:]},
    }


def _identity(
    data: TrainingData,
    *,
    model: ModelParams,
    train: TrainParams,
    machine: Mapping[str, Any],
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
        "data": data.sha256,
        "machine": dict(machine),
        "code": dict(code),
    }


def _check_the_same(own: Mapping[str, Any]) -> None:
    """Check that all processes that train together do the same fit.

    Raises:
        UserError: they do not; in those that differ from process 0, with what differs.
    """
    if process_count() == 1:
        return
    of_main = json.loads(from_main(json.dumps(own).encode()))
    changed = changes(of_main, own, label="here")
    if not largest(len(changed)):
        return
    if changed:
        raise UserError(f"this process differs from process 0: {_first_of(changed)}")
    raise UserError("another process differs from process 0; it says in what")


def _of_main(state: State | None) -> State | None:
    """Return the state that the main process found, in each process that trains with it."""
    if process_count() == 1:
        return state
    data = from_main(b"" if state is None else to_bytes(state))
    return from_bytes(data) if data else None


def _nothing(_: Any) -> None:
    """Do nothing: only the main process keeps states and shows faces."""


def _find_state(
    scratch: Path, folder: Path, identity: Mapping[str, Any], *, epochs: int
) -> State | None:
    """Return the state to go on from and say so; or None, and say why the fit starts afresh."""
    state, damaged = load_state(folder)
    for line in damaged:
        print(f"warning: {line}", file=sys.stderr)
    if state is None:
        changed = differing(scratch, identity)
        reason = "no earlier state is kept"
        if changed:
            reason = f"changed since the last fit: {_first_of(changed)}"
        print(f"Training starts afresh: {reason}", flush=True)
        return None
    reached = f"epoch {state.epoch}, step {state.step}" if state.step else f"epoch {state.epoch}"
    if (state.epoch, state.step) > (epochs + 1, 0):
        clear_states(folder)
        print(
            f"Training starts afresh: the kept state is at {reached}, beyond train.epochs = "
            f"{epochs}",
            flush=True,
        )
        return None
    if state.epoch > epochs:
        print(f"All {epochs} epochs are done already: the kept state has them", flush=True)
    else:
        print(f"Training goes on at {reached}, from the state in {folder}", flush=True)
    return state


def _first_of(changed: list[str]) -> str:
    """Return the first changes in one line; of a sha256 the first digits, as git shortens them."""
    more = len(changed) - _NAMED
    line = "; ".join(changed[:_NAMED]) + (f"; and {more} more" if more > 0 else "")
    return re.sub(r"\b([0-9a-f]{8})[0-9a-f]{56}\b", r"\1", line)
