import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from celeba_vae.model.pretrained import Pretrained, load
from celeba_vae.model.vae import VAE
from celeba_vae.params import ModelParams
from celeba_vae.zpoints.region import (
    CUBES,
    SCALES,
    cube_faces,
    draw_cube,
    scaled_faces,
    scan_cubes,
)
from tests.support import save_model


@pytest.fixture
def model(tmp_path: Path, model_params: Callable[..., ModelParams]) -> Pretrained:
    vae = VAE(model_params(), size=32, seed=1)
    save_model(vae, model_params(), tmp_path / "model")
    return load(tmp_path / "model")


def _shows(rows: np.ndarray, face: np.ndarray) -> bool:
    """Say whether the face stands at the top of these rows of pixels, anywhere."""
    places = range(rows.shape[1] - 31)
    distances = [np.abs(rows[:32, x : x + 32].astype(int) - face).max() for x in places]
    return bool(min(distances) <= 1)


def _last_rows(png: bytes) -> np.ndarray:
    """Return the last four rows of images of a grid."""
    return np.asarray(Image.open(io.BytesIO(png)))[-4 * 34 + 2 :]


def test_the_cube_that_was_drawn_is_found() -> None:
    cube = 1.5 * draw_cube(1500, 256, seed=8)
    assert np.linalg.norm(cube, axis=1).mean() == pytest.approx(13.86, abs=0.03)
    assert np.linalg.norm(cube, axis=1).std() == pytest.approx(0.39, abs=0.03)
    scan = scan_cubes(cube, seed=1)
    assert scan["radius_b"] == pytest.approx(1.5, abs=0.01)
    assert scan["best_b"] == pytest.approx(1.5, abs=0.04)
    assert scan["best_energy_distance"] == pytest.approx(0, abs=0.01)
    assert len(scan["b"]) == len(scan["energy_distances"])


def test_the_best_cube_for_the_prior_has_its_radii() -> None:
    normal = np.random.default_rng(1).standard_normal((1500, 64))
    scan = scan_cubes(normal, seed=1)
    assert scan["radius_b"] == pytest.approx(np.sqrt(3), abs=0.01)
    assert scan["best_b"] == pytest.approx(np.sqrt(3), abs=0.06)


def test_no_cube_about_the_origin_matches_a_cloud_far_off() -> None:
    normal = 5 + np.random.default_rng(2).standard_normal((500, 16))
    scan = scan_cubes(normal, seed=1)
    assert scan["best_energy_distance"] > 5
    # The radii say nothing of that.
    assert scan["radius_b"] == pytest.approx(np.sqrt(3 * 26), rel=0.01)


def test_points_that_are_all_the_origin_have_a_scan() -> None:
    scan = scan_cubes(np.zeros((10, 3)), seed=1)
    assert scan["radius_b"] == 0
    assert scan["best_b"] == min(scan["b"])


def test_scaled_faces_are_those_of_the_decoder(model: Pretrained) -> None:
    z = np.random.default_rng(3).normal(size=(12, 6)).astype(np.float32)
    grid, rows = scaled_faces(model, z)
    assert [row["scale"] for row in rows] == list(SCALES)
    lengths = np.linalg.norm(z[:10], axis=1).mean()
    assert [row["radius_mean"] for row in rows] == pytest.approx([s * lengths for s in SCALES])
    assert all(row["round_trip_mse"] >= 0 for row in rows)
    faces = model.decode(1.5 * z[:10])
    # The fourth of seven rows.
    assert _shows(_last_rows(grid), faces[9])


def test_cube_faces_are_of_the_named_size(model: Pretrained) -> None:
    grid = cube_faces(model, best_b=1.2, seed=4)
    faces = model.decode(CUBES[2] * 1.2 * draw_cube(10, 6, seed=4))
    # The third of six rows.
    assert _shows(_last_rows(grid), faces[9])
