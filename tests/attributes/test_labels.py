from pathlib import Path

from celeba_vae.attributes.labels import read_labels


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
