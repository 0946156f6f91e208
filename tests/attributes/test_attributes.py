import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from celeba_vae.attributes.run import fit_probes, pushed_faces, read_labels, write_attributes
from celeba_vae.latent.directions import DIRECTIONS_FILE, load_directions
from celeba_vae.model.pretrained import Pretrained
from celeba_vae.model.vae import VAE
from celeba_vae.params import Params
from celeba_vae.runtime.errors import UserError
from celeba_vae.shards.read import open_split
from tests.support import write_shards

SIZES = {"train": 24, "validation": 8, "test": 8}


@pytest.fixture(scope="module")
def model(tiny: Params) -> Pretrained:
    """An untrained plain autoencoder."""
    params = tiny.model.model_copy(update={"variational": False})
    vae = VAE(params, size=32, seed=1)
    return Pretrained(size=32, crop=148, filter="area", z_dim=6, vae=vae)


@pytest.fixture
def project(tmp_path: Path, random_images: np.ndarray) -> Path:
    """Shards and z-points: six dimensions, of which the first tells who smiles."""
    parts = np.split(random_images, np.cumsum(list(SIZES.values()))[:-1])
    write_shards(tmp_path / "shards", dict(zip(SIZES, parts, strict=True)))
    (tmp_path / "zpoints").mkdir()
    generator = np.random.default_rng(0)
    for split, count in SIZES.items():
        mu = generator.normal(size=(count, 6))
        mu[:, 0] += 4 * (np.arange(count) % 2)
        np.save(tmp_path / f"zpoints/{split}_mu.npy", mu.astype(np.float32))
    return tmp_path


def label(project: Path) -> None:
    """Add attributes and factors to the index: odd rows smile and are turned to the right."""
    path = project / "shards/images.csv"
    header, *rows = path.read_text().splitlines()
    lines = [f"{header},Smiling,Male,factor_yaw,factor_hat"]
    for row in rows:
        odd = int(row.split(",")[2]) % 2
        lines.append(f"{row},{2 * odd - 1},-1,{20.0 * odd:.4f},none")
    path.write_text("\n".join(lines) + "\n")


def write(project: Path, model: Pretrained, tiny: Params, **changes: Any) -> dict[str, Any]:
    write_attributes(
        model,
        project / "zpoints",
        project / "shards",
        project / "out",
        project / "attributes.json",
        params=tiny.attributes.model_copy(update=changes),
    )
    return dict(json.loads((project / "attributes.json").read_text()))


def made(project: Path) -> list[str]:
    out = project / "out"
    return sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())


def test_auc_is_one_where_a_cut_separates_and_half_for_noise() -> None:
    generator = np.random.default_rng(0)
    train, test = generator.normal(size=(3000, 8)), generator.normal(size=(3000, 8))
    normal = np.array([1.0, -2, 0, 0, 0, 0, 0, 0.5])

    def has(mu: np.ndarray, seed: int) -> dict[str, np.ndarray]:
        coin = np.random.default_rng(seed).random(len(mu)) < 0.2
        return {
            "cut": mu @ normal > 1,
            "noise": coin,
            "rare": np.arange(len(mu)) < 4,
            "all": np.full(len(mu), True),
        }

    # A shifted and stretched cloud is standardised first.
    scale, shift = np.logspace(-3, 3, 8), 5.0
    probes = fit_probes(
        train * scale + shift, has(train, 1), test * scale + shift, has(test, 2), min_images=5
    )
    cut, noise, rare, every = probes
    assert cut.auc == pytest.approx(1, abs=1e-3)
    assert noise.auc == pytest.approx(0.5, abs=0.05)
    assert noise.base_rate == pytest.approx(0.2, abs=0.03)
    assert noise.positives + noise.negatives == 3000
    assert (rare.auc, rare.left_out) == (None, "4 images of train have it, fewer than 5")
    assert (every.auc, every.left_out) == (None, "0 images of train lack it, fewer than 5")


def test_auc_of_two_normal_clouds_is_that_of_the_formula() -> None:
    # With centres d apart, AUC = Phi(d / sqrt 2); 0.9214 for d = 2.
    generator = np.random.default_rng(3)

    def cloud() -> tuple[np.ndarray, dict[str, np.ndarray]]:
        has = generator.random(20_000) < 0.3
        mu = generator.normal(size=(20_000, 2))
        mu[:, 1] += 2 * has
        return mu, {"a": has}

    (probe,) = fit_probes(*cloud(), *cloud(), min_images=10)
    assert probe.auc == pytest.approx(0.9214, abs=0.005)


def test_everything_is_written_for_what_is_known(
    project: Path, model: Pretrained, tiny: Params
) -> None:
    label(project)
    metrics = write(project, model, tiny, min_images=2)
    assert made(project) == [
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
    lines = (project / "out/attributes.tsv").read_text().splitlines()
    assert lines[0] == "attribute\ttest_images\tpositives\tbase_rate\tauc\tleft_out"
    assert lines[1].startswith("Smiling\t8\t4\t0.5\t")
    assert lines[2] == "Male\t8\t0\t0.0\t\t0 images of train have it, fewer than 2"
    directions = load_directions(project / "out" / DIRECTIONS_FILE, z_dim=6)
    assert list(directions) == ["Smiling"]
    assert directions["Smiling"].argmax() == 0


def test_what_the_data_do_not_know_is_left_out(
    project: Path, model: Pretrained, tiny: Params
) -> None:
    assert write(project, model, tiny) == {"probes": 0, "left_out": 0}
    assert made(project) == ["attributes.tsv", "directions.npz", "plots/auc.png"]
    assert load_directions(project / "out" / DIRECTIONS_FILE, z_dim=6) == {}


def test_a_grid_shows_images_and_their_pushed_faces(
    project: Path, model: Pretrained, tiny: Params
) -> None:
    params = tiny.attributes.model_copy(update={"rows": 4, "columns": 5, "push": 2.0})
    images = open_split(project / "shards", "validation")
    mu = np.load(project / "zpoints/validation_mu.npy")
    step = np.linspace(-1, 1, 6)
    # One of eight has it: three rows lack it, the last has it.
    has = np.arange(8) == 5
    picture = pushed_faces(model, images, mu, has, name="Male", step=step, params=params)
    # Labels stand beside the middle of a row, so its last line of pixels begins with the image.
    left = np.flatnonzero((picture[-1] != 255).any(axis=1))[0]
    grid = picture[-(4 * 34 - 2) :, left : left + 6 * 34 - 2]
    chosen = [0, 1, 2, 5]
    for row, image in enumerate(chosen):
        band = grid[34 * row : 34 * row + 32]
        assert np.array_equal(band[:, :32], images.take(np.array([image]))[0])
        for column, amount in enumerate((-2, -1, 0, 1, 2), start=1):
            face = model.decode((mu[image] + amount * step)[None])[0].astype(int)
            assert np.abs(band[:, 34 * column : 34 * column + 32] - face).max() <= 1


def test_labels_are_read_by_split(project: Path) -> None:
    label(project)
    labels = read_labels(project / "shards")
    assert labels["test"].attributes["Smiling"].tolist() == [False, True] * 4
    assert not labels["train"].attributes["Male"].any()
    assert labels["validation"].factors["yaw"].tolist() == ["0.0000", "20.0000"] * 4
    assert set(labels["train"].factors) == {"yaw", "hat"}


@pytest.mark.parametrize(
    ("changes", "spoil", "expected"),
    [
        ({"shown": ["Smile"]}, None, "attributes.shown has 'Smile': allowed are 5_o_Clock"),
        ({}, "missing", "test_mu.npy: cannot be read"),
        ({}, "short", "test_mu.npy: has 3 z-points, the shards' index has 8 images"),
    ],
)
def test_mistakes_get_one_line(
    project: Path,
    model: Pretrained,
    tiny: Params,
    changes: dict[str, Any],
    spoil: str | None,
    expected: str,
) -> None:
    label(project)
    path = project / "zpoints/test_mu.npy"
    if spoil == "missing":
        path.unlink()
    if spoil == "short":
        np.save(path, np.zeros((3, 6), np.float32))
    with pytest.raises(UserError, match=expected) as caught:
        write(project, model, tiny, **changes)
    assert "\n" not in str(caught.value)
    assert not (project / "out").exists()
