"""States (checkpoints) of a fit on disk: written whole, checked when read, found by fingerprint.

Layout of the scratch folder of training: one folder for each fingerprint, which holds

    identity.json                       what the fingerprint is made of, for people and messages
    state-EPOCH-STEP-DIGEST.npz         the last two states; DIGEST is the start of its sha256
    lock                                held, with the process id in it, while a process trains
"""

import hashlib
import io
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from celeba_vae.runtime.errors import UserError
from celeba_vae.runtime.files import atomic_path, check_room, sha256_of, write_text
from celeba_vae.runtime.locks import take_lock
from celeba_vae.runtime.mappings import changes
from celeba_vae.runtime.reading import read_arrays, read_object

IDENTITY_FILE = "identity.json"
_LOCK_FILE = "lock"
_STATE = re.compile(r"state-(\d{6})-(\d{8})-([0-9a-f]{16})\.npz")
_DIGITS = 16
_KEPT = 2

Arrays = dict[str, list[np.ndarray]]


@dataclass(frozen=True)
class State:
    """A checkpoint: all that a fit needs to go on into the same bits.

    Attributes:
        epoch: the epoch it is in, from 1.
        step: steps done in this epoch; with all of them done, its validation is still to come.
        notes: the rest, as JSON can hold it: sums of the epoch's losses, history.
        arrays: lists of arrays by name: weights, optimizer, and, where asked for, best.
    """

    epoch: int
    step: int
    notes: dict[str, Any]
    arrays: Arrays


def fingerprint(identity: Mapping[str, Any]) -> str:
    """Return 16 hexadecimal digits that stand for all that a fit depends on."""
    text = json.dumps(identity, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@contextmanager
def own_folder(root: Path, identity: Mapping[str, Any]) -> Iterator[Path]:
    """Make and lock the folder of a fingerprint, and give it to the block.

    What a killed process left half-written there is removed.

    Raises:
        UserError: another process trains in it; its process id is named. Or there are no locks.
    """
    folder = root / fingerprint(identity)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK_FILE).open("a+") as lock:
        if not take_lock(lock):
            lock.seek(0)
            raise UserError(
                f"{folder}: process {lock.read().strip()} is training there with the same "
                "parameters, data and code; wait for its end, or end it"
            )
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        for left_over in folder.glob(".part.*"):
            left_over.unlink()
        # Its time tells which folder was used last, so it is written each time.
        write_text(folder / IDENTITY_FILE, json.dumps(identity, indent=2) + "\n")
        yield folder


def save_state(folder: Path, state: State) -> None:
    """Write a state, then remove all but the last two of the folder.

    A process that is killed at any moment leaves the states before.

    Raises:
        OSError: the disk is full, or the folder cannot be written; the states before are kept.
    """
    flat = _flat(state)
    # NumPy's error for a full disk names neither the disk nor the reason.
    check_room(folder, sum(array.nbytes for array in flat.values()) + 2**16)
    unnamed = folder / "unnamed.npz"
    with atomic_path(unnamed) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **flat)
    digest = sha256_of(unnamed)[:_DIGITS]
    unnamed.rename(folder / f"state-{state.epoch:06}-{state.step:08}-{digest}.npz")
    clear_states(folder, but=_KEPT)


def to_bytes(state: State) -> bytes:
    """Return a state as bytes, to send to another process; `from_bytes` reads them."""
    buffer = io.BytesIO()
    place = np.array([state.epoch, state.step])
    np.savez(buffer, allow_pickle=False, place=place, **_flat(state))
    return buffer.getvalue()


def from_bytes(data: bytes) -> State:
    """Return the state that `to_bytes` made bytes of."""
    with np.load(io.BytesIO(data), allow_pickle=False) as stored:
        flat = dict(stored)
    epoch, step = flat.pop("place").tolist()
    return _nested(flat, epoch=epoch, step=step)


def load_state(folder: Path) -> tuple[State | None, list[str]]:
    """Return the newest whole state of a folder, and a line for each damaged one.

    Damaged ones are removed, so that the last two stay the last two whole ones.

    Returns:
        The state, None where there is no whole one; and the lines.
    """
    damaged: list[str] = []
    fix = "it is removed"
    for path in reversed(_states(folder)):
        epoch, step, digest = _STATE.fullmatch(path.name).groups()  # type: ignore[union-attr]
        try:
            if sha256_of(path)[:_DIGITS] != digest:
                raise UserError(f"{path}: is damaged, its sha256 is not that of its name; {fix}")
            flat = read_arrays(path, fix=fix)
            try:
                return _nested(flat, epoch=int(epoch), step=int(step)), damaged
            except (KeyError, ValueError):
                raise UserError(f"{path}: holds no state; {fix}") from None
        except UserError as error:
            damaged.append(str(error))
        path.unlink()
    return None, damaged


def clear_states(folder: Path, *, but: int = 0) -> None:
    """Remove the states of a folder, but for the newest `but` ones."""
    states = _states(folder)
    for path in states[: len(states) - but]:
        path.unlink()


def differing(root: Path, identity: Mapping[str, Any]) -> list[str]:
    """Return in what a fit differs from the one that used the scratch folder last.

    Returns:
        `key: then, now value` for each value that differs; empty where there was no fit before.
    """
    own = fingerprint(identity)
    others = [folder for folder in _folders(root) if folder.name != own]
    if not others:
        return []
    latest = max(others, key=_last_used)
    try:
        before = read_object(latest / IDENTITY_FILE, fix="in what that fit differed is not known")
    except UserError as error:
        return [str(error)]
    return changes(before, identity, label="now")


def make_room(root: Path, *, keep: Path, limit: int) -> None:
    """Remove the folders used longest ago until all together take at most `limit` bytes.

    The folder `keep`, and any in which a process trains, stay.
    """
    folders = _folders(root)
    sizes = {folder: _size(folder) for folder in folders}
    total = sum(sizes.values())
    for folder in sorted(folders, key=_last_used):
        if total <= limit:
            return
        if folder == keep or not _remove_unused(folder):
            continue
        total -= sizes[folder]


def _folders(root: Path) -> list[Path]:
    return [path.parent for path in root.glob(f"*/{IDENTITY_FILE}")]


def _last_used(folder: Path) -> int:
    return (folder / IDENTITY_FILE).stat().st_mtime_ns


def _remove_unused(folder: Path) -> bool:
    with (folder / _LOCK_FILE).open("a") as lock:
        if not take_lock(lock):
            return False
        shutil.rmtree(folder)
        return True


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _states(folder: Path) -> list[Path]:
    """Return the states of a folder, oldest first."""
    return sorted(
        path for path in folder.iterdir() if _STATE.fullmatch(path.name) and path.is_file()
    )


def _flat(state: State) -> dict[str, np.ndarray]:
    flat = {
        f"{name}/{index:04}": array
        for name, arrays in state.arrays.items()
        for index, array in enumerate(arrays)
    }
    flat["notes"] = np.frombuffer(json.dumps(state.notes).encode(), np.uint8)
    return flat


def _nested(flat: Mapping[str, np.ndarray], *, epoch: int, step: int) -> State:
    arrays: Arrays = {}
    notes = json.loads(flat["notes"].tobytes())
    for key in sorted(flat):
        name, slash, _ = key.partition("/")
        if slash:
            arrays.setdefault(name, []).append(flat[key])
    return State(epoch=epoch, step=step, notes=notes, arrays=arrays)
