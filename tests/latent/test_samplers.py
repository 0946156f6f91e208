from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from celeba_vae.errors import UserError
from celeba_vae.latent.samplers import (
    Gaussian,
    draw_gaussian,
    draw_normal,
    fit_gaussian,
    load_gaussian,
    save_gaussian,
)


def test_normal_points_are_seeded_and_of_length_chi() -> None:
    points = draw_normal(20_000, 256, seed=7)
    assert points.dtype == np.float32
    assert points.shape == (20_000, 256)
    lengths = np.linalg.norm(points, axis=1)
    assert lengths.mean() == pytest.approx(15.98, abs=0.02)
    assert lengths.std() == pytest.approx(0.71, abs=0.02)
    assert np.array_equal(points[:10], draw_normal(10, 256, seed=7))
    assert not np.array_equal(points[:10], draw_normal(10, 256, seed=8))


def test_largest_seed_is_allowed() -> None:
    assert np.isfinite(draw_normal(2, 3, seed=2**32 - 1)).all()


def test_a_fit_draws_a_cloud_with_the_same_centre_and_covariance() -> None:
    rng = np.random.default_rng(1)
    mixing = rng.normal(size=(8, 8))
    z = (5 + rng.normal(size=(5000, 8)) @ mixing).astype(np.float32)
    gaussian = fit_gaussian(z)
    assert gaussian.root @ gaussian.root == pytest.approx(
        np.cov(z, rowvar=False, bias=True), rel=1e-6, abs=1e-9
    )
    drawn = draw_gaussian(gaussian, 200_000, seed=3)
    assert drawn.dtype == np.float32
    scale = np.abs(np.cov(z, rowvar=False)).max()
    assert np.cov(drawn, rowvar=False) == pytest.approx(np.cov(z, rowvar=False), abs=0.02 * scale)
    assert drawn.mean(axis=0) == pytest.approx(z.mean(axis=0), abs=0.05)


def test_the_fit_of_the_prior_draws_the_points_of_the_prior() -> None:
    prior = Gaussian(mean=np.zeros(16), root=np.eye(16))
    assert np.array_equal(draw_gaussian(prior, 5, seed=4), draw_normal(5, 16, seed=4))


def test_a_small_change_of_the_cloud_is_a_small_change_of_the_drawn_points() -> None:
    # Equal variances leave the eigenvectors free to turn; the drawn points must not follow them.
    z = np.concatenate([np.eye(6), -np.eye(6)])
    moved = z + 1e-9 * np.random.default_rng(2).normal(size=z.shape)
    drawn = draw_gaussian(fit_gaussian(z), 100, seed=5)
    assert draw_gaussian(fit_gaussian(moved), 100, seed=5) == pytest.approx(drawn, abs=1e-6)


@given(
    points=st.integers(1, 12),
    dead=st.lists(st.booleans(), min_size=8, max_size=8),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=60, deadline=None)
def test_flat_clouds_stay_in_their_plane(points: int, dead: list[bool], seed: int) -> None:
    z = np.random.default_rng(seed).normal(size=(points, 8))
    z[:, dead] = 0.1
    gaussian = fit_gaussian(z)
    drawn = draw_gaussian(gaussian, 50, seed=seed)
    assert np.isfinite(drawn).all()
    assert drawn[:, dead] == pytest.approx(np.full_like(drawn[:, dead], 0.1), abs=1e-5)
    # What is drawn lies in the span of what was given.
    centred = z - z.mean(axis=0)
    off_plane = np.eye(8) - np.linalg.pinv(centred, rcond=1e-9) @ centred
    assert (drawn - gaussian.mean) @ off_plane == pytest.approx(np.zeros((50, 8)), abs=1e-5)


def test_saved_gaussian_comes_back_in_stable_bytes(tmp_path: Path) -> None:
    gaussian = fit_gaussian(np.random.default_rng(3).normal(size=(50, 5)))
    save_gaussian(tmp_path / "a/gaussian.npz", gaussian)
    save_gaussian(tmp_path / "b.npz", gaussian)
    assert (tmp_path / "a/gaussian.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    back = load_gaussian(tmp_path / "b.npz", z_dim=5)
    assert np.array_equal(back.mean, gaussian.mean)
    assert np.array_equal(back.root, gaussian.root)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b.npz"]


def test_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gaussian\.npz: no such file; the stage zpoints"):
        load_gaussian(tmp_path / "gaussian.npz", z_dim=5)


def test_broken_files_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "gaussian.npz"
    save_gaussian(path, Gaussian(mean=np.zeros(3), root=np.eye(3)))
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[whole.index(b"mean.npy") + 150] ^= 0xFF
    for content in (b"", b"not a zip", whole[:100], whole[:-30], bytes(flipped)):
        path.write_bytes(content)
        with pytest.raises(UserError, match="holds no fitted Gaussian") as error:
            load_gaussian(path, z_dim=3)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "arrays",
    [
        {"mean": np.zeros(3)},
        {"mean": np.zeros(3), "root": np.eye(4)},
        {"mean": np.zeros((3, 1)), "root": np.eye(3)},
        {"mean": np.zeros(4), "root": np.eye(4)},
        {"mean": np.array([None]), "root": np.eye(1)},
        {"mean": np.array(["a", "b", "c"]), "root": np.eye(3)},
        {"mean": np.full(3, np.nan), "root": np.eye(3)},
    ],
    ids=["no root", "other size", "other rank", "other model", "pickled", "text", "nan"],
)
def test_other_arrays_are_refused(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    path = tmp_path / "gaussian.npz"
    np.savez(path, allow_pickle=True, **arrays)
    with pytest.raises(
        UserError, match=r"gaussian\.npz: (holds no fitted|mean has shape|holds values that)"
    ):
        load_gaussian(path, z_dim=3)


def test_an_array_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "gaussian.npy"
    np.save(path, np.zeros(3))
    with pytest.raises(UserError, match="holds no fitted Gaussian"):
        load_gaussian(path, z_dim=3)
