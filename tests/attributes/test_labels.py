from pathlib import Path

import pytest

from celeba_vae.attributes.labels import read_labels
from celeba_vae.runtime.errors import UserError


def test_labels_are_read_by_split(labelled: Path) -> None:
    labels = read_labels(labelled / "shards")
    assert {split: of.images for split, of in labels.items()} == {
        "train": 24,
        "validation": 8,
        "test": 8,
    }
    assert labels["test"].attributes["Smiling"].tolist() == [False, True] * 4
    assert not labels["train"].attributes["Male"].any()
    assert labels["validation"].factors["yaw"].tolist() == ["0.0000", "20.0000"] * 4
    assert set(labels["train"].factors) == {"yaw", "hat"}


def test_an_unknown_split_gets_one_line(labelled: Path) -> None:
    index = labelled / "shards/images.csv"
    index.write_text(index.read_text().replace("\ntest,", "\nexam,", 1))
    with pytest.raises(UserError, match="exam is no split"):
        read_labels(labelled / "shards")
