"""Each option of model and loss, from shards to a trained model on disk and back."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import celeba_vae
from celeba_vae.generate.run import generate_faces
from celeba_vae.latent.samplers import SAMPLERS_FILE, load_samplers
from celeba_vae.params import Params
from celeba_vae.runtime.outs import write_result
from celeba_vae.shards.read import open_split
from celeba_vae.zpoints.index import read_index
from celeba_vae.zpoints.run import describe_zpoints
from tests.support import train_into, write_shards

GAUSSIAN = {"loss": "gaussian", "kl_weight": 1.0}

OPTIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "bernoulli": ({}, {}),
    "gaussian": ({}, GAUSSIAN | {"sigma": 1.0}),
    "learned": ({}, GAUSSIAN | {"sigma": "learned"}),
    "optimal": ({}, GAUSSIAN | {"sigma": "optimal"}),
    "autoencoder": ({"variational": False}, {}),
    "residual": ({"blocks": "residual"}, {}),
    "log_var_bound": ({"log_var_bound": 2.0}, {}),
    "free_bits": ({}, {"free_bits": 0.1}),
}


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory, random_images: np.ndarray) -> Path:
    """Shards of the three splits, as `prepare` leaves them."""
    folder = tmp_path_factory.mktemp("shards")
    parts = np.split(random_images, [30, 36])
    write_shards(folder, dict(zip(("train", "validation", "test"), parts, strict=True)))
    return folder


def trained(
    shards: Path, folder: Path, tiny: Params, monkeypatch: pytest.MonkeyPatch, option: str
) -> dict[str, Any]:
    """Train an epoch with an option into `folder`/model and return the metrics."""
    monkeypatch.setenv("CELEBA_VAE_SCRATCH", str(folder / "scratch"))
    model, train = OPTIONS[option]
    params = tiny.model_copy(
        update={
            "model": tiny.model.model_copy(update=model),
            "train": tiny.train.model_copy(update={"epochs": 1} | train),
        }
    )
    train_into(folder / "model", folder / "train.json", shards, params, {})
    return dict(json.loads((folder / "train.json").read_text()))


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_trains_and_its_model_opens(
    shards: Path,
    tiny: Params,
    random_images: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    option: str,
) -> None:
    metrics = trained(shards, tmp_path, tiny, monkeypatch, option)
    assert np.isfinite(metrics["val_loss"])
    model = celeba_vae.load(tmp_path / "model")
    assert (model.vae.log_sigma is not None) == (option == "learned")
    if option == "learned":
        assert float(model.vae.log_sigma) != pytest.approx(np.log(0.25), abs=1e-6)
    mu, log_var = model.encode(random_images)
    assert (log_var is None) == (option == "autoencoder")
    if log_var is not None and option == "log_var_bound":
        assert np.abs(log_var).max() <= 2
    assert model.decode(mu).shape == random_images.shape


def test_the_plain_autoencoder_goes_through_the_pipeline(
    shards: Path, tiny: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(shards, tmp_path, tiny, monkeypatch, "autoencoder")
    zpoints, metrics = tmp_path / "zpoints", tmp_path / "zpoints.json"
    images = {split: open_split(shards, split) for split in ("train", "validation", "test")}
    index = read_index(shards, images)
    model = celeba_vae.load(tmp_path / "model")
    write_result(describe_zpoints(model, images, index, params=tiny.zpoints), zpoints, metrics)
    assert sorted(path.name for path in zpoints.glob("*.npy")) == sorted(
        f"{split}_{name}.npy" for split in ("train", "validation", "test") for name in ("mu", "z")
    )
    assert (zpoints / "train_z.npy").read_bytes() == (zpoints / "train_mu.npy").read_bytes()
    header = (zpoints / "zpoints.csv").read_text().splitlines()[0].split(",")
    assert not {"kl", "posterior_variance"} & set(header)
    for split in json.loads(metrics.read_text()).values():
        assert not [key for key in split if key.startswith(("kl", "posterior"))]

    fitted = load_samplers(zpoints / SAMPLERS_FILE, z_dim=model.z_dim)
    assert fitted.gaussian.mean == pytest.approx(
        np.load(zpoints / "train_mu.npy").mean(axis=0), abs=1e-6
    )
    validation = open_split(shards, "validation")
    result = generate_faces(model, fitted, validation, tiny.generate)
    assert result.metrics["images"] == 6
    assert len(result.outs["overview.png"]) > 0
