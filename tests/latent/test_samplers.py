from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from celeba_vae.latent.cloud import Cloud
from celeba_vae.latent.fitting import fit_ellipse, fit_gaussian
from celeba_vae.latent.samplers import (
    CONFIDENCE,
    SAMPLERS,
    Ellipse,
    FittedSamplers,
    Gaussian,
    Mixture,
    centre_of,
    draw,
    draw_ellipse,
    draw_gaussian,
    draw_mixture,
    draw_normal,
    load_samplers,
    sampler_arrays,
)
from celeba_vae.params import Sampler
from celeba_vae.runtime.errors import UserError
from celeba_vae.runtime.files import write_arrays


def _correlated(rng: np.random.Generator, n: int, z_dim: int, *, centre: float) -> Cloud:
    return Cloud(centre + rng.normal(size=(n, z_dim)) @ rng.normal(size=(z_dim, z_dim)))


def _fitted(z_dim: int = 5, seed: int = 3) -> FittedSamplers:
    rng = np.random.default_rng(seed)
    gaussian = fit_gaussian(_correlated(rng, 50, z_dim, centre=2))
    mixture = Mixture(
        weights=np.array([0.25, 0.75]),
        means=rng.normal(size=(2, z_dim)),
        deviations=rng.uniform(0.5, 1, (2, z_dim)),
        axes=np.eye(z_dim),
    )
    temperatures = np.array([1.0, 1.025, 0.95, 1.1])
    return FittedSamplers(gaussian, mixture, fit_ellipse(gaussian), temperatures, "gmm")


def test_samplers_are_those_that_the_parameters_allow() -> None:
    assert get_args(Sampler) == SAMPLERS


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
    gaussian = fit_gaussian(Cloud(z))
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
    drawn = draw_gaussian(fit_gaussian(Cloud(z)), 100, seed=5)
    assert draw_gaussian(fit_gaussian(Cloud(moved)), 100, seed=5) == pytest.approx(drawn, abs=1e-6)


@given(
    points=st.integers(1, 12),
    dead=st.lists(st.booleans(), min_size=8, max_size=8),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=60, deadline=None)
def test_flat_clouds_stay_in_their_plane(points: int, dead: list[bool], seed: int) -> None:
    z = np.random.default_rng(seed).normal(size=(points, 8))
    z[:, dead] = 0.1
    gaussian = fit_gaussian(Cloud(z))
    # What is drawn lies in the span of what was given.
    centred = z - z.mean(axis=0)
    off_plane = np.eye(8) - np.linalg.pinv(centred, rcond=1e-9) @ centred
    clouds = (
        draw_gaussian(gaussian, 50, seed=seed),
        draw_ellipse(fit_ellipse(gaussian), 50, seed=seed),
    )
    for drawn in clouds:
        assert np.isfinite(drawn).all()
        assert drawn[:, dead] == pytest.approx(np.full_like(drawn[:, dead], 0.1), abs=1e-5)
        away = (drawn - gaussian.mean) @ off_plane
        assert away == pytest.approx(np.zeros((50, 8)), abs=1e-5)


def test_a_mixture_draws_its_components_in_their_shares() -> None:
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    mixture = Mixture(
        weights=np.array([0.2, 0.8]),
        means=np.array([[-50.0, 0.0], [50.0, 10.0]]),
        deviations=np.array([[1.0, 2.0], [3.0, 0.5]]),
        axes=turn,
    )
    drawn = draw_mixture(mixture, 50_000, seed=1)
    assert drawn.dtype == np.float32
    assert np.array_equal(drawn[:20], draw_mixture(mixture, 20, seed=1))
    right = drawn[:, 0] > 0
    assert right.mean() == pytest.approx(0.8, abs=0.01)
    for part, place in ((drawn[~right], 0), (drawn[right], 1)):
        along = (part - mixture.means[place]) @ turn
        assert along.mean(axis=0) == pytest.approx([0, 0], abs=0.1)
        assert along.std(axis=0) == pytest.approx(mixture.deviations[place], rel=0.03)


@pytest.mark.parametrize("z_dim", [1, 2, 5])
def test_ellipse_points_lie_within_the_ellipses_of_all_planes(z_dim: int) -> None:
    rng = np.random.default_rng(4)
    gaussian = fit_gaussian(_correlated(rng, 2000, z_dim, centre=7))
    ellipse = fit_ellipse(gaussian)
    drawn = draw_ellipse(ellipse, 40_000, seed=2)
    assert drawn.shape == (40_000, z_dim)
    along = (drawn - ellipse.mean) @ ellipse.axes / ellipse.deviations
    # Chi-square with two degrees of freedom has this quantile.
    largest = -2 * np.log(1 - CONFIDENCE)
    for first in range(0, z_dim - 1, 2):
        squares = (along[:, first : first + 2] ** 2).sum(axis=1)
        assert squares.max() <= largest * (1 + 1e-4)
        # Within the ellipse it is the normal distribution that was cut off.
        law = stats.chi2(2).cdf(squares) / CONFIDENCE
        assert stats.ks_1samp(law, stats.uniform.cdf, method="asymp").statistic < 0.01
    half = largest / 2
    factor = 1 - half * np.exp(-half) / CONFIDENCE
    assert factor == pytest.approx(0.842, abs=1e-3)
    if z_dim % 2 == 0:
        covariance = gaussian.root @ gaussian.root
        assert np.cov(drawn, rowvar=False) == pytest.approx(
            factor * covariance, abs=0.03 * np.abs(covariance).max()
        )
    assert drawn.mean(axis=0) == pytest.approx(gaussian.mean, abs=0.1)


def test_principal_axes_are_the_widest_first_with_a_settled_sign() -> None:
    rng = np.random.default_rng(5)
    z = rng.normal(size=(4000, 3)) * [1.0, 5.0, 2.0]
    ellipse = fit_ellipse(fit_gaussian(Cloud(z)))
    assert ellipse.deviations == pytest.approx([5, 2, 1], rel=0.05)
    assert np.diag(ellipse.axes[[1, 2, 0]]) == pytest.approx([1, 1, 1], abs=0.05)
    covariance = (ellipse.axes * ellipse.deviations**2) @ ellipse.axes.T
    assert covariance == pytest.approx(np.cov(z, rowvar=False, bias=True), abs=1e-9)


def test_temperature_scales_about_the_centre() -> None:
    fitted = _fitted()
    for name in SAMPLERS:
        as_fitted = draw(fitted, name, 200, seed=6, temperature=1)
        half = draw(fitted, name, 200, seed=6, temperature=0.5)
        assert half.dtype == as_fitted.dtype == np.float32
        centre = centre_of(fitted, name)
        assert half - centre == pytest.approx(0.5 * (as_fitted - centre), abs=1e-5)
    assert not centre_of(fitted, "normal").any()
    assert np.array_equal(
        draw(fitted, "normal", 3, seed=6, temperature=1), draw_normal(3, 5, seed=6)
    )


def test_what_is_left_open_is_what_did_best() -> None:
    fitted = _fitted()
    assert fitted.chosen(None, None) == ("gmm", 0.95)
    assert fitted.chosen("ellipse", None) == ("ellipse", 1.1)
    assert fitted.chosen(None, 0.7) == ("gmm", 0.7)
    assert fitted.chosen("normal", 2.0) == ("normal", 2.0)


def test_saved_samplers_come_back_in_stable_bytes(tmp_path: Path) -> None:
    fitted = _fitted()
    write_arrays(tmp_path / "a/samplers.npz", sampler_arrays(fitted))
    write_arrays(tmp_path / "b.npz", sampler_arrays(fitted))
    assert (tmp_path / "a/samplers.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    back = load_samplers(tmp_path / "b.npz", z_dim=5)
    assert back.best == "gmm"
    assert back.temperatures.tolist() == fitted.temperatures.tolist()
    for name in SAMPLERS:
        ours = draw(fitted, name, 4, seed=1, temperature=0.9)
        assert np.array_equal(draw(back, name, 4, seed=1, temperature=0.9), ours)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b.npz"]


def test_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"samplers\.npz: no such file; `dvc repro zpoints`"):
        load_samplers(tmp_path / "samplers.npz", z_dim=5)


def test_broken_files_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "samplers.npz"
    write_arrays(path, sampler_arrays(_fitted()))
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[whole.index(b"gaussian_mean.npy") + 150] ^= 0xFF
    for content in (b"", b"not a zip", whole[:100], whole[:-30], bytes(flipped)):
        path.write_bytes(content)
        with pytest.raises(UserError, match="is damaged, or not arrays") as error:
            load_samplers(path, z_dim=5)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"gaussian_root": None}, "holds no fitted samplers"),
        ({"gaussian_root": np.eye(4)}, "gaussian_root has shape"),
        ({"ellipse_mean": np.zeros((5, 1))}, "ellipse_mean has shape"),
        ({"mixture_weights": np.array(1.0)}, "mixture_weights has shape"),
        ({"mixture_means": np.zeros((3, 5))}, "mixture_means has shape"),
        ({"best": np.array(7)}, "best must be from 0 to 3"),
        ({"best": np.array(1.5)}, "best holds float64"),
        ({"gaussian_mean": np.array([None])}, "is damaged, or not arrays"),
        ({"gaussian_mean": np.array(["a"] * 5)}, "gaussian_mean holds <U1, not numbers"),
        ({"gaussian_mean": np.full(5, np.nan)}, "gaussian_mean holds values that are not finite"),
        ({"gaussian_mean": np.full(5, 1e300)}, "gaussian_mean holds values .* beyond 1e.15"),
        ({"gaussian_root": np.triu(np.ones((5, 5)))}, "gaussian_root is not symmetric"),
        ({"gaussian_root": -np.eye(5)}, "gaussian_root holds deviations below 0"),
        ({"mixture_weights": np.array([-0.5, 1.5])}, "mixture_weights must hold shares"),
        ({"mixture_weights": np.array([0.5, 0.6])}, "mixture_weights must hold shares"),
        (
            {
                "mixture_weights": np.ones(0),
                "mixture_means": np.ones((0, 5)),
                "mixture_deviations": np.ones((0, 5)),
            },
            "mixture_weights must hold shares of at least one component",
        ),
        ({"mixture_deviations": np.full((2, 5), -1.0)}, "mixture_deviations holds values below"),
        ({"mixture_axes": np.zeros((5, 5))}, "mixture_axes holds axes that are not of length 1"),
        ({"ellipse_deviations": np.full(5, -1.0)}, "ellipse_deviations holds values below 0"),
        ({"temperatures": np.array([1.0, 0, 1, 1])}, "temperatures holds values that are not abo"),
        ({"new": np.ones(3)}, "holds no fitted samplers"),
    ],
    ids=[
        *("missing", "size", "rank", "scalar", "components", "best", "no index", "pickled", "text"),
        *("nan", "far", "skew", "root", "negative", "sum", "no components", "deviations", "axes"),
        *("ellipse", "temperature", "unknown"),
    ],
)
def test_other_arrays_are_refused(
    tmp_path: Path, changes: dict[str, np.ndarray | None], expected: str
) -> None:
    path = tmp_path / "samplers.npz"
    write_arrays(path, sampler_arrays(_fitted()))
    with np.load(path) as arrays:
        kept = {name: arrays[name] for name in arrays.files} | changes
    np.savez(path, allow_pickle=True, **{n: a for n, a in kept.items() if a is not None})
    with pytest.raises(UserError, match=rf"samplers\.npz: {expected}"):
        load_samplers(path, z_dim=5)


def test_samplers_of_another_model_are_refused(tmp_path: Path) -> None:
    write_arrays(tmp_path / "samplers.npz", sampler_arrays(_fitted(z_dim=5)))
    with pytest.raises(UserError, match="is it of another model"):
        load_samplers(tmp_path / "samplers.npz", z_dim=6)


def test_an_array_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "samplers.npy"
    np.save(path, np.zeros(3))
    with pytest.raises(UserError, match="is damaged, or not arrays"):
        load_samplers(path, z_dim=3)


def test_an_ellipse_is_not_tied_to_a_gaussian() -> None:
    ellipse = Ellipse(mean=np.zeros(2), deviations=np.array([2.0, 1.0]), axes=np.eye(2))
    drawn = draw_ellipse(ellipse, 1000, seed=1)
    assert ((drawn / [2, 1]) ** 2).sum(axis=1).max() <= -2 * np.log(0.05) + 1e-4
