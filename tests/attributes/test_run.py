import json
from pathlib import Path
from typing import Any

import pytest

from celeba_vae.attributes.labels import read_labels
from celeba_vae.attributes.run import describe_attributes
from celeba_vae.latent.directions import DIRECTIONS_FILE, load_directions
from celeba_vae.latent.stored import load_mu
from celeba_vae.model.pretrained import Pretrained
from celeba_vae.params import Params
from celeba_vae.runtime.outs import write_result
from celeba_vae.shards.read import open_split


def describe(project: Path, model: Pretrained, tiny: Params, **changes: Any) -> dict[str, Any]:
    """Write what the stage leaves into `out`, and return the metrics."""
    labels = read_labels(project / "shards")
    mu = {
        split: load_mu(project / "zpoints", split, images=of.images, z_dim=6)
        for split, of in labels.items()
    }
    result = describe_attributes(
        model,
        labels,
        mu,
        open_split(project / "shards", "validation"),
        tiny.attributes.model_copy(update=changes),
    )
    write_result(result, project / "out", project / "attributes.json")
    return dict(json.loads((project / "attributes.json").read_text()))


def made(project: Path) -> list[str]:
    out = project / "out"
    return sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())


def test_everything_is_written_for_what_is_known(
    labelled: Path, model: Pretrained, tiny: Params
) -> None:
    metrics = describe(labelled, model, tiny, min_images=2)
    assert made(labelled) == [
        "attributes.tsv",
        "directions.npz",
        "factors.tsv",
        "plots/auc.png",
        "plots/factors.png",
        "plots/push_Smiling.png",
    ]
    assert metrics["probes"] == 1
    assert metrics["left_out"] == 1
    assert metrics["auc"]["Smiling"] == metrics["auc_mean"] > 0.9
    assert metrics["factors"]["factors"] == 1
    lines = (labelled / "out/attributes.tsv").read_text().splitlines()
    assert lines[0] == "attribute\ttest_images\tpositives\tbase_rate\tauc\tleft_out"
    assert lines[1].startswith("Smiling\t8\t4\t0.5\t")
    assert lines[2] == "Male\t8\t0\t0.0\t\t0 images of train have it, fewer than 2"
    directions = load_directions(labelled / "out" / DIRECTIONS_FILE, z_dim=6)
    assert list(directions) == ["Smiling"]
    assert directions["Smiling"].step.argmax() == 0
    assert directions["Smiling"].auc == pytest.approx(metrics["auc"]["Smiling"], abs=1e-6)


def test_what_the_data_do_not_know_is_left_out(
    project: Path, model: Pretrained, tiny: Params
) -> None:
    assert describe(project, model, tiny) == {"probes": 0, "left_out": 0}
    assert made(project) == ["attributes.tsv", "directions.npz", "plots/auc.png"]
    assert load_directions(project / "out" / DIRECTIONS_FILE, z_dim=6) == {}
