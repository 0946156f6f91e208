"""The images of a training: both splits, checked before it begins and watched while it runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from celeba_vae.runtime.errors import UserError
from celeba_vae.runtime.files import sha256_of
from celeba_vae.shards.read import MANIFEST_FILE, Split, open_split, read_manifest, shard_sums
from celeba_vae.training.parallel import main_bar

# Inode, size in bytes, and time of the last change in nanoseconds.
FileStatus = tuple[int, int, int]


@dataclass(frozen=True)
class TrainingData:
    """The images that a model is trained and validated on.

    Attributes:
        manifest: the content of the shards' manifest.
        training: the split that the weights are fitted to.
        validation: the split that epochs are compared on.
        sha256: of the manifest, and so of all images.
        files: the status of each shard, when its sha256 was that of the manifest.
    """

    manifest: Mapping[str, Any]
    training: Split
    validation: Split
    sha256: str
    files: Mapping[Path, FileStatus]

    def check_unchanged(self) -> None:
        """Check that no shard was changed since it was opened.

        Reading a mapped file that was cut short would kill the process.

        Raises:
            UserError: a shard changed, or is gone.
        """
        for path, status in self.files.items():
            try:
                same = _status_of(path) == status
            except FileNotFoundError:
                same = False
            if not same:
                raise UserError(
                    f"{path}: the shard changed, or went away, while the model was trained on it; "
                    "the last good state is kept; run `dvc repro` once it is as before"
                )


def open_training_data(shards: Path) -> TrainingData:
    """Open the splits train and validation, and compare each shard with the manifest's sha256.

    Raises:
        UserError: manifest or shards cannot be read, or are damaged.
    """
    manifest = read_manifest(shards)
    training, validation = open_split(shards, "train"), open_split(shards, "validation")
    sums = [*shard_sums(shards, "train"), *shard_sums(shards, "validation")]
    files = {}
    with main_bar(len(sums), label="check", unit="shards") as bar:
        for path, sha256 in sums:
            files[path] = _status_of(path)
            if sha256_of(path) != sha256:
                raise UserError(
                    f"{path}: the shard is damaged, its sha256 is not the manifest's; "
                    "run `dvc repro prepare`"
                )
            bar.update()
    return TrainingData(manifest, training, validation, sha256_of(shards / MANIFEST_FILE), files)


def _status_of(path: Path) -> FileStatus:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns
