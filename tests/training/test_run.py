import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from celeba_vae.params import Params
from celeba_vae.runtime.errors import UserError
from celeba_vae.training.fit import HISTORY_COLUMNS
from tests.support import train_into, write_shards

CODE = {"src/celeba_vae/model/vae.py": "0"}


def write_images(folder: Path, images: np.ndarray) -> None:
    write_shards(folder, {"train": images[:30], "validation": images[30:]})


class Place:
    """A folder with shards, in which trainings are run."""

    def __init__(self, folder: Path, tiny: Params) -> None:
        self.folder = folder
        self.scratch = folder / "scratch/train"
        self.params = tiny

    def train(self, name: str, code: dict[str, str] = CODE, **changes: object) -> Path:
        """Train into the folder `name` with changes of train and return it."""
        few = {"epochs": 2, "batch_size": 16}
        train = self.params.train.model_validate(self.params.train.model_dump() | few | changes)
        params = self.params.model_copy(update={"train": train})
        folder = self.folder / name
        train_into(folder, self.folder / f"{name}.json", self.folder / "shards", params, code)
        return folder

    def bytes_of(self, name: str) -> list[bytes]:
        """All that a training wrote."""
        files = sorted((self.folder / name).iterdir())
        return [path.read_bytes() for path in [*files, self.folder / f"{name}.json"]]

    def states(self) -> list[Path]:
        return sorted(self.scratch.glob("*/state-*.npz"))


@pytest.fixture
def place(
    tmp_path: Path, tiny: Params, random_images: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> Place:
    monkeypatch.setenv("CELEBA_VAE_SCRATCH", str(tmp_path / "scratch"))
    write_images(tmp_path / "shards", random_images)
    return Place(tmp_path, tiny)


def test_everything_is_written_and_again_the_same(place: Place) -> None:
    for name in ("a", "b"):
        place.train(name)
        # Not only because the second goes on from the first.
        for state in place.states():
            state.unlink()
    assert [path.name for path in sorted((place.folder / "a").iterdir())] == [
        "architecture.json",
        "history.tsv",
        "kl_per_dimension.tsv",
        "vae.weights.h5",
    ]
    assert place.bytes_of("a") == place.bytes_of("b")
    rows = [line.split("\t") for line in (place.folder / "a/history.tsv").read_text().splitlines()]
    assert rows[0] == list(HISTORY_COLUMNS)
    assert [row[0] for row in rows[1:]] == ["1", "2"]
    kl = [
        line.split("\t")
        for line in (place.folder / "a/kl_per_dimension.tsv").read_text().splitlines()
    ]
    assert kl[0] == ["epoch", *(f"dimension_{index}" for index in range(6))]
    val_kl = float(rows[2][HISTORY_COLUMNS.index("val_kl")])
    assert sum(map(float, kl[2][1:])) == pytest.approx(val_kl, rel=1e-4)
    metrics = json.loads((place.folder / "a.json").read_text())
    assert metrics["training_images"] == 30
    assert metrics["epochs"] == metrics["chosen_epoch"] == 2
    assert metrics["val_kl"] == val_kl
    (grids,) = place.scratch.iterdir()
    assert len({path.read_bytes() for path in grids.glob("epoch-*.png")}) == 2


def test_a_finished_fit_is_written_again_without_training(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.train("a")
    said = capsys.readouterr()
    assert "Training starts afresh: no earlier state is kept" in said.out
    # Each epoch's loss is shown with what it is the sum of.
    lines = [line for line in said.err.splitlines() if line.startswith("epoch ")]
    assert [line.partition(":")[0] for line in lines] == ["epoch 1/2", "epoch 2/2"]
    sums = re.findall(r"([\d,.]+) = reconstruction ([\d,.]+) \+ 15 x kl ([\d,.]+)", lines[1])
    assert len(sums) == 2
    for loss, reconstruction, kl in ([float(x.replace(",", "")) for x in row] for row in sums):
        assert loss == pytest.approx(reconstruction + 15 * kl, abs=1)
    (state,) = place.states()
    assert state.name.startswith("state-000003-00000000-")
    place.train("b")
    assert "All 2 epochs are done already" in capsys.readouterr().out
    assert place.bytes_of("a") == place.bytes_of("b")


def test_more_epochs_go_on_and_fewer_start_afresh(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.train("straight", epochs=3)
    for state in place.states():
        state.unlink()
    place.train("short", epochs=2)
    capsys.readouterr()
    place.train("longer", epochs=3)
    assert "Training goes on at epoch 3, from the state in" in capsys.readouterr().out
    assert place.bytes_of("longer") == place.bytes_of("straight")
    place.train("short_again", epochs=2)
    assert "is at epoch 4, beyond train.epochs = 2" in capsys.readouterr().out
    assert place.bytes_of("short_again") == place.bytes_of("short")


def test_with_a_schedule_of_all_epochs_more_of_them_are_another_fit(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.train("short", learning_rate_schedule="cosine")
    capsys.readouterr()
    place.train("longer", learning_rate_schedule="cosine", epochs=3)
    printed = capsys.readouterr().out
    assert "Training starts afresh: changed since the last fit: train.epochs: 2, now 3" in printed


def test_changed_parameters_code_or_data_start_afresh_and_say_why(
    place: Place, random_images: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    place.train("a", epochs=1)
    capsys.readouterr()
    place.train("b", epochs=1, kl_weight=3.0)
    assert "train.kl_weight: 15.0, now 3.0" in capsys.readouterr().out
    place.train("c", epochs=1, kl_weight=3.0, code={"src/celeba_vae/model/vae.py": "1"})
    assert "code.src/celeba_vae/model/vae.py: 0, now 1" in capsys.readouterr().out
    write_images(place.folder / "shards", random_images[::-1])
    place.train("d", epochs=1, kl_weight=3.0, code={"src/celeba_vae/model/vae.py": "1"})
    printed = capsys.readouterr().out
    assert re.search("changed since the last fit: data: [0-9a-f]{8}, now [0-9a-f]{8}\n", printed)
    # Each has its own state, and finds it again.
    assert len(place.states()) == 4


def test_a_damaged_state_is_named_and_the_one_before_used(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.train("straight", epochs=2)
    (finished,) = place.states()
    place.train("longer", epochs=3)
    (newest,) = place.states()
    newest.write_bytes(newest.read_bytes()[:-50])
    capsys.readouterr()
    place.train("again", epochs=3)
    printed = capsys.readouterr()
    assert f"warning: {newest}: is damaged" in printed.err
    assert "Training starts afresh" in printed.out
    assert place.bytes_of("again") == place.bytes_of("longer")
    assert finished.name != newest.name


@pytest.mark.parametrize("damage", ["flipped", "removed"])
def test_a_shard_that_is_not_the_manifests_is_named(place: Place, damage: str) -> None:
    shard = place.folder / "shards/validation-00000-of-00001.npy"
    if damage == "removed":
        shard.unlink()
    else:
        content = bytearray(shard.read_bytes())
        content[-1] ^= 1
        shard.write_bytes(bytes(content))
    with pytest.raises(UserError, match=f"{shard}: (no such file|the shard is damaged)"):
        place.train("a")
    assert not (place.folder / "a").exists()


@pytest.mark.parametrize("change", ["cut", "touched", "removed"])
def test_a_shard_that_changes_under_the_fit_stops_it(
    place: Place, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = place.folder / "shards/train-00000-of-00001.npy"

    def change_it(*arguments: Any) -> None:
        if change == "cut":
            os.truncate(shard, 1000)
        elif change == "touched":
            shard.write_bytes(shard.read_bytes())
        else:
            shard.unlink()

    # The moment after the first epoch, when its picture is written.
    monkeypatch.setattr("celeba_vae.training.watch.write_bytes", change_it)
    with pytest.raises(UserError, match=f"{shard}: the shard changed, or went away, while"):
        place.train("a", epochs=3)
    (state,) = place.states()
    assert state.name.startswith("state-000002-00000000-")
    assert not (place.folder / "a").exists()


def test_a_batch_larger_than_the_training_set_is_refused(place: Place) -> None:
    with pytest.raises(UserError, match=r"train.batch_size = 31 is larger .* of 30 images"):
        place.train("a", batch_size=31)
    assert not (place.folder / "a").exists()


def test_states_are_kept_within_the_limit(place: Place) -> None:
    place.train("a", epochs=1)
    place.train("b", epochs=1, seed=2)
    assert len(place.states()) == 2
    place.params = place.params.model_copy(
        update={"run": place.params.run.model_copy(update={"states_gb": 0.0})}
    )
    place.train("c", epochs=1, seed=3)
    (state,) = place.states()
    assert state.parent.name in {path.name for path in place.scratch.iterdir()}


def test_tensorboard_gets_the_history_and_faces(place: Place) -> None:
    place.params = place.params.model_copy(
        update={"run": place.params.run.model_copy(update={"tensorboard": True})}
    )
    place.train("a", epochs=3)
    (events,) = place.scratch.glob("*/tensorboard/events.*")
    from tensorflow.python.summary.summary_iterator import summary_iterator

    values: dict[tuple[str, int], Any] = {
        (value.tag, event.step): value
        for event in summary_iterator(str(events))
        for value in event.summary.value
    }
    assert {step for tag, step in values if tag == "val_kl"} == {1, 2, 3}
    assert {step for tag, step in values if tag == "faces"} == {1, 2}
    assert all((column, 3) in values for column in HISTORY_COLUMNS)
