import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from celeba_vae.errors import UserError
from celeba_vae.model.vae import VAE
from celeba_vae.params import ModelParams, TrainParams
from celeba_vae.shards.read import Split
from celeba_vae.training.fit import HISTORY_COLUMNS, History, fit
from celeba_vae.training.run import train_model

Make = Callable[..., ModelParams]


def split(images: np.ndarray) -> Split:
    half = len(images) // 2
    return Split((images[:half], images[half:]), np.array([0, half, len(images)]))


def train_params(**changes: object) -> TrainParams:
    values = {
        "epochs": 3,
        "batch_size": 16,
        "learning_rate": 0.003,
        "loss": "bernoulli",
        "sigma": None,
        "free_bits": 0.0,
        "kl_weight": 1.0,
        "seed": 1,
    }
    return TrainParams.model_validate(values | changes)


def fitted(
    images: np.ndarray, model: ModelParams, train: TrainParams, folder: Path
) -> tuple[VAE, History]:
    vae = VAE(model, size=32, seed=train.seed)
    return vae, fit(vae, split(images), split(images[:10]), train, watch_folder=folder)


def weights(vae: VAE) -> np.ndarray:
    return np.concatenate([np.asarray(weight).ravel() for weight in vae.weights])


@pytest.mark.parametrize("loss", ["bernoulli", "gaussian"])
def test_training_learns(
    model_params: Make, random_images: np.ndarray, tmp_path: Path, loss: str
) -> None:
    train = train_params(epochs=12, loss=loss, sigma=0.1 if loss == "gaussian" else None)
    _, history = fitted(random_images, model_params(filters=[8, 16]), train, tmp_path)
    assert [row["epoch"] for row in history] == list(range(1, 13))
    assert all(set(row) == set(HISTORY_COLUMNS) for row in history)
    for prefix in ("", "val_"):
        assert history[-1][f"{prefix}loss"] < 0.95 * history[0][f"{prefix}loss"]
        for row in history:
            total = row[f"{prefix}reconstruction"] + train.kl_weight * row[f"{prefix}kl"]
            assert row[f"{prefix}loss"] == pytest.approx(total, rel=1e-5)
            assert row[f"{prefix}kl"] >= 0


def test_same_seed_same_bits_other_seed_other_bits(
    model_params: Make, random_images: np.ndarray, tmp_path: Path
) -> None:
    runs = [
        fitted(random_images, model_params(), train_params(seed=seed), tmp_path / str(index))
        for index, seed in enumerate((1, 1, 2))
    ]
    assert np.array_equal(weights(runs[0][0]), weights(runs[1][0]))
    assert runs[0][1] == runs[1][1]
    assert not np.array_equal(weights(runs[0][0]), weights(runs[2][0]))
    grids = sorted((tmp_path / "0").iterdir())
    assert [path.name for path in grids] == [f"epoch-00{n}.png" for n in (1, 2, 3)]
    assert len({path.read_bytes() for path in grids}) == 3
    assert [p.read_bytes() for p in grids] == [
        p.read_bytes() for p in sorted((tmp_path / "1").iterdir())
    ]


def test_more_epochs_begin_with_the_same_epochs(
    model_params: Make, random_images: np.ndarray, tmp_path: Path
) -> None:
    _, short = fitted(random_images, model_params(), train_params(epochs=2), tmp_path)
    _, long = fitted(random_images, model_params(), train_params(epochs=3), tmp_path)
    assert long[:2] == short


def test_a_large_kl_weight_confines_the_z_points(
    model_params: Make, random_images: np.ndarray, tmp_path: Path
) -> None:
    kls = [
        fitted(random_images, model_params(), train_params(kl_weight=weight, epochs=8), tmp_path)[
            1
        ][-1]["val_kl"]
        for weight in (0.0, 1000.0)
    ]
    assert kls[1] < 0.1 * kls[0]


def test_batch_norm_momentum_is_the_parameters(
    model_params: Make, random_images: np.ndarray, tmp_path: Path
) -> None:
    # One step from a moving mean of 0: momentum 0 takes the batch's mean, 0.9 a tenth of it.
    means = []
    for momentum in (0.0, 0.9):
        params = model_params(batch_norm_momentum=momentum)
        train = train_params(epochs=1, batch_size=40)
        vae, _ = fitted(random_images, params, train, tmp_path)
        means.append(np.asarray(vae.encoder.get_layer("norm_1").moving_mean))
    assert np.allclose(means[1], 0.1 * means[0], rtol=1e-4, atol=1e-7)
    assert np.abs(means[0]).max() > 0


def test_a_loss_that_is_not_finite_stops_with_its_place(
    model_params: Make, random_images: np.ndarray, tmp_path: Path
) -> None:
    with pytest.raises(UserError) as caught:
        fitted(random_images, model_params(), train_params(learning_rate=1e6), tmp_path)
    text = str(caught.value)
    assert "the loss is not finite at epoch 1, step 2" in text
    assert "try a smaller train.learning_rate" in text
    assert "\n" not in text


def write_shards(folder: Path, images: np.ndarray) -> None:
    splits = {}
    for name, part in (("train", images[:30]), ("validation", images[30:])):
        file = f"{name}-00000-of-00001.npy"
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / file, part)
        splits[name] = {
            "images": len(part),
            "shards": [{"file": file, "images": len(part), "sha256": ""}],
        }
    manifest = {"image_shape": [32, 32, 3], "crop": 148, "filter": "lanczos", "splits": splits}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_train_model_writes_everything_and_again_the_same(
    model_params: Make, random_images: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELEBA_VAE_SCRATCH", str(tmp_path / "scratch"))
    write_shards(tmp_path / "shards", random_images)
    contents = []
    for name in ("a", "b"):
        folder, metrics = tmp_path / name, tmp_path / f"{name}.json"
        train_model(
            tmp_path / "shards",
            folder,
            metrics,
            model=model_params(),
            train=train_params(),
            threads=2,
        )
        files = sorted(folder.iterdir())
        assert [path.name for path in files] == [
            "architecture.json",
            "history.tsv",
            "vae.weights.h5",
        ]
        contents.append([path.read_bytes() for path in [*files, metrics]])
    assert contents[0] == contents[1]
    rows = (tmp_path / "a/history.tsv").read_text().splitlines()
    assert rows[0].split("\t") == list(HISTORY_COLUMNS)
    assert len(rows) == 4
    metrics_a = json.loads((tmp_path / "a.json").read_text())
    assert metrics_a["training_images"] == 30
    assert metrics_a["val_loss"] == pytest.approx(float(rows[-1].split("\t")[4]), rel=1e-5)


def test_a_batch_larger_than_the_training_set_is_refused(
    model_params: Make, random_images: np.ndarray, tmp_path: Path
) -> None:
    write_shards(tmp_path / "shards", random_images)
    with pytest.raises(UserError, match=r"train.batch_size = 31 is larger .* of 30 images"):
        train_model(
            tmp_path / "shards",
            tmp_path / "model",
            tmp_path / "m.json",
            model=model_params(),
            train=train_params(batch_size=31),
            threads=2,
        )
    assert not (tmp_path / "model").exists()
