"""The whole of the stage on a tiny model and tiny shards, variational and not."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np

from celeba_vae.latent.samplers import SAMPLERS, draw, load_samplers
from celeba_vae.model.pretrained import load
from celeba_vae.model.vae import VAE
from celeba_vae.params import ModelParams, ZpointsParams
from celeba_vae.runtime.outs import write_result
from celeba_vae.shards.read import open_split
from celeba_vae.zpoints.index import read_index
from celeba_vae.zpoints.run import describe_zpoints
from tests.support import ROOT, manifest_of, save_model

SCHEMA = json.loads((ROOT / "src/celeba_vae/zpoints/zpoints.schema.json").read_text())
COUNTS = {"train": 70, "validation": 24, "test": 20}


def _shards(folder: Path, *, attributes: bool) -> Path:
    """Write shards of random images; the columns of the index stand in another order."""
    folder.mkdir()
    rng = np.random.default_rng(1)
    header = ["file_name", "split", *(["Young", "Male", "factor_age"] if attributes else [])]
    lines = [",".join(header)]
    splits = {}
    for split, count in COUNTS.items():
        images = rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
        np.save(folder / f"{split}.npy", images)
        shard = {"file": f"{split}.npy", "images": count, "sha256": ""}
        splits[split] = {"images": count, "shards": [shard]}
        for row in range(count):
            known = ["1" if row % 2 else "-1", "-1" if row % 3 else "1", "0.5"]
            lines.append(",".join([f"{split} {row}.jpg", split, *(known if attributes else [])]))
    manifest = manifest_of(32, splits)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "images.csv").write_text("\n".join(lines) + "\n")
    return folder


def _model(folder: Path, params: ModelParams) -> Path:
    vae = VAE(params, size=32, seed=1)
    save_model(vae, params, folder)
    return folder


Described = tuple[Path, dict[str, Any], dict[str, Any]]


def _described(tmp_path: Path, model: ModelParams, *, tests: str, attributes: bool) -> Described:
    shards = _shards(tmp_path / "shards", attributes=attributes)
    _model(tmp_path / "model", model)
    params = ZpointsParams.model_validate({"seed": 1, "active_variance": 0.01, "tests": tests})
    images = {split: open_split(shards, split) for split in COUNTS}
    index = read_index(shards, images)
    result = describe_zpoints(load(tmp_path / "model"), images, index, params=params)
    folder, metrics = tmp_path / "zpoints", tmp_path / "metrics.json"
    write_result(result, folder, metrics)
    values = json.loads((folder / "zpoints.json").read_text())
    return folder, values, json.loads(metrics.read_text())


def test_everything_of_a_vae(tmp_path: Path, model_params: Callable[..., ModelParams]) -> None:
    folder, values, metrics = _described(tmp_path, model_params(), tests="full", attributes=True)
    jsonschema.validate(values, SCHEMA)
    assert set(metrics) == {"train", "validation", "test", "samplers", "region"}
    assert metrics["train"]["images"] == 70
    assert metrics["samplers"]["best"] in SAMPLERS
    assert {path.name for path in (folder / "plots").glob("*.png")} == {
        f"{name}.png"
        for name in (
            *("radius", "dimensions", "normality", "components", "eigenvalues", "mahalanobis"),
            *("rate", "planes", "principal", "attributes", "samplers", "cube", "cubes", "scales"),
        )
    }
    # z-points, file names and attributes belong together.
    with (folder / "rows.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["split", "row", "file_name", "Male", "Young"]
    assert len(rows) == sum(COUNTS.values())
    for row in rows:
        number = int(row["row"])
        assert row["file_name"] == f"{row['split']} {number}.jpg"
        assert row["Young"] == ("1" if number % 2 else "-1")
        assert row["Male"] == ("-1" if number % 3 else "1")
    model = load(tmp_path / "model")
    mu, _ = model.encode(np.load(tmp_path / "shards/test.npy"))
    assert np.allclose(np.load(folder / "test_mu.npy"), mu, atol=1e-6)
    fitted = load_samplers(folder / "samplers.npz", z_dim=6)
    for name in SAMPLERS:
        assert draw(fitted, name, 3, seed=1, temperature=1).shape == (3, 6)


def test_what_a_plain_autoencoder_lacks_is_left_out(
    tmp_path: Path, model_params: Callable[..., ModelParams]
) -> None:
    plain = model_params(variational=False)
    folder, values, metrics = _described(tmp_path, plain, tests="quick", attributes=False)
    jsonschema.validate(values, SCHEMA)
    assert not list(folder.glob("*log_var*"))
    assert np.array_equal(np.load(folder / "train_mu.npy"), np.load(folder / "train_z.npy"))
    assert not {"rate", "kl_nats_per_image", "posterior_variance_mean"} & set(
        values["splits"]["train"]
    )
    assert "kl_nats_per_image" not in metrics["train"]
    pictures = {path.stem for path in (folder / "plots").glob("*.png")}
    assert not {"rate", "attributes"} & pictures
    assert {"samplers", "scales", "dimensions"} <= pictures
    with (folder / "rows.csv").open(newline="") as file:
        assert next(csv.reader(file)) == ["split", "row", "file_name"]


def test_the_schema_describes_every_value() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)

    def check(node: Any) -> None:
        for name, each in node.get("properties", {}).items():
            assert "description" in each or "$ref" in each, name
            check(each)
            check(each.get("items", {}))
            assert each.get("type") != "object" or each["additionalProperties"] is False, name

    check(SCHEMA)
    for definition in SCHEMA["$defs"].values():
        check(definition)
