import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from celeba_vae.latent.cloud import Cloud
from celeba_vae.latent.statistics import (
    component_table,
    dimension_table,
    histogram_table,
    marchenko_pastur_eigenvalues,
    radius_table,
)
from celeba_vae.plots import distributions as plots
from celeba_vae.plots import energy_distances, planes


def _cloud(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(200, 8)) * np.linspace(0, 1, 8)


def _radius(seed: int) -> bytes:
    z = np.random.default_rng(seed).normal(size=(3, 200, 8))
    names = ("train", "validation", "test")
    lengths = {name: Cloud(each).radii for name, each in zip(names, z, strict=True)}
    table = radius_table(lengths, 8)
    return plots.plot_radius({"z": table, "mu": table}, 8)


def _mahalanobis(seed: int) -> bytes:
    squared = {"train": Cloud(np.random.default_rng(seed).normal(size=(200, 8))).radii ** 2}
    table = histogram_table(squared, stats.chi2(8), name="squared", of="chi2")
    return plots.plot_mahalanobis(table, 8, {"a": stats.chi2(9), "b": stats.chi2(10)})


def _dimensions(seed: int) -> bytes:
    mu = _cloud(seed)
    table = dimension_table(mu, mu, mu, active_variance=0.01)
    return plots.plot_dimensions(table, [*range(7, -1, -1)], informative_kl=0.1)


def _dimensions_of_plain_autoencoder(seed: int) -> bytes:
    mu = _cloud(seed)
    table = dimension_table(mu, None, mu, active_variance=0.01)
    return plots.plot_dimensions(table, [*range(7, -1, -1)], informative_kl=0.1)


def _normality(seed: int) -> bytes:
    mu = _cloud(seed)
    table = dimension_table(mu, None, mu, active_variance=0.01)
    return plots.plot_normality(table, expected_ks=0.06, images=200)


def _components(seed: int) -> bytes:
    table = component_table(np.random.default_rng(seed).normal(size=(200, 8)), [3, 1, 2, 0, 7])
    return plots.plot_components(table, [3, 1, 2, 0, 7], ranked_by="KL")


def _eigenvalues(seed: int) -> bytes:
    values = np.sort(np.random.default_rng(seed).uniform(0.5, 2, 8))[::-1]
    expected = marchenko_pastur_eigenvalues(200, 8)
    return plots.plot_eigenvalues({"z": values, "mu": values / 2}, expected, images=200)


def _kl_decomposition(seed: int) -> bytes:
    # Estimates may be a little below 0.
    parts = {
        "index_code_mutual_information": 3.0 + seed,
        "total_correlation": -0.01,
        "dimension_wise_kl": 1.0,
        "mutual_information_limit": 5.0,
    }
    return plots.plot_kl_decomposition({"train": parts, "test": parts})


def _planes(seed: int) -> bytes:
    z = np.random.default_rng(seed).normal(size=(400, 8))
    return planes.plot_planes(z, [(0, 1), (2, 5), (3, 7), (4, 6)], [0.5, -0.25, 0.1, 0.0])


def _principal(seed: int) -> bytes:
    z = np.random.default_rng(seed).normal(size=(400, 2))
    return planes.plot_principal({"Before\na | b": z, "Turned\nc | d": 2 * z})


def _attributes(seed: int) -> bytes:
    z = np.random.default_rng(seed).normal(size=(300, 2))
    has = {name: z[:, 0] > level for level, name in enumerate(("Male", "Blond_Hair", "Young"))}
    return planes.plot_attributes(z, has, title="mu", axis_labels=("one", "two"))


def _samplers(seed: int, *, above: float = 0) -> bytes:
    curve = (above + np.random.default_rng(seed).uniform(0.01, 1, 3)).tolist()
    found = {"temperature": 1.0, "energy_distance": min(curve), "curve": curve}
    choice = {
        "temperatures": [0.9, 1.0, 1.1],
        "validation": dict.fromkeys(("normal", "gaussian", "gmm", "ellipse"), found),
        "floor": -0.001,
        "mixtures": [
            {"axes": axes, "components": count, "log_likelihood": -300.0 - count}
            for axes in ("own", "principal")
            for count in (1, 2, 4)
        ],
    }
    return energy_distances.plot_samplers(choice)


def _cube(seed: int) -> bytes:
    scan = {
        "b": [1.0, 1.5, 2.0],
        "energy_distances": [3.0, 0.1 * seed, 2.0],
        "best_b": 1.5,
        "best_energy_distance": 0.1 * seed,
        "radius_b": 1.6,
    }
    return energy_distances.plot_cube(scan, {"N(0, I)": 0.05, "fitted Gaussian": -0.001})


PLOTS = [
    _radius,
    _mahalanobis,
    _dimensions,
    _dimensions_of_plain_autoencoder,
    _normality,
    _components,
    _eigenvalues,
    _kl_decomposition,
    _planes,
    _principal,
    _attributes,
    _samplers,
    _cube,
]


@pytest.mark.parametrize("plot", PLOTS)
def test_same_data_same_bytes_other_data_other_picture(
    plot: Callable[[int], bytes],
) -> None:
    first = plot(1)
    assert first == plot(1)
    assert first != plot(2)
    with Image.open(io.BytesIO(first)) as image:
        assert image.width in (900, 1100)
        assert 300 <= image.height <= 1100
        # Neither name nor version of the program, nor a date, is in the file.
        assert set(image.info) == {"dpi"}
        assert len(np.unique(np.asarray(image.convert("L")))) > 20


def test_plots_do_not_follow_the_users_matplotlibrc(tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_text("font.size: 30\naxes.facecolor: red\n")
    code = (
        "from pathlib import Path;"
        "from celeba_vae.plots.distributions import plot_eigenvalues as p;"
        "import numpy as np, sys;"
        "png = p({'z': np.array([2.0, 1.0])}, np.array([1.2, 0.8]), images=9);"
        "Path('out.png').write_bytes(png);"
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=60)
    here = plots.plot_eigenvalues({"z": np.array([2.0, 1.0])}, np.array([1.2, 0.8]), images=9)
    assert (tmp_path / "out.png").read_bytes() == here


def test_a_flat_spectrum_and_flat_clouds_can_be_plotted() -> None:
    # Fewer points than dimensions: eigenvalues of 0 on a logarithmic axis.
    spectrum = np.array([2.0, 1.0, 0.0])
    line = np.linspace(-1, 1, 50)[:, None] * [1.0, 2.0]
    for picture in (
        plots.plot_eigenvalues({"z": spectrum}, spectrum, images=2),
        planes.plot_planes(np.zeros((5, 2)), [(0, 1)], [0.0]),
        planes.plot_planes(line, [(0, 1)], [1.0]),
    ):
        with Image.open(io.BytesIO(picture)) as image:
            assert len(np.unique(np.asarray(image.convert("L")))) > 20


@pytest.mark.filterwarnings("error")
def test_distances_of_which_none_is_above_chance_can_be_plotted() -> None:
    scan = {"b": [1.0, 2.0], "energy_distances": [-0.2, -0.1], "best_b": 1.0, "radius_b": 1.5}
    scan["best_energy_distance"] = -0.2
    assert energy_distances.plot_cube(scan, {"N(0, I)": -0.1, "fitted Gaussian": 0.2})
    assert _samplers(1, above=-1) != _samplers(2, above=-1)


def test_contours_hold_their_share_of_the_points() -> None:
    counts = np.array([[50.0, 30.0], [15.0, 5.0]])
    assert planes.levels_holding(counts, (0.5, 0.8, 0.95)) == [15, 30, 50]


def test_a_wide_cloud_is_not_pressed_flat_by_the_law_beside_it() -> None:
    # 300 times as wide as the shell of N(0, I): drawn to the law's peak it would be a line.
    lengths = {"train": np.random.default_rng(1).uniform(100, 400, 5000)}
    picture = plots.plot_radius({"z": radius_table(lengths, 256)}, 256)
    with Image.open(io.BytesIO(picture)) as image:
        pixels = np.asarray(image.convert("RGB"), np.int16)
    bluish = (pixels[..., 2] - pixels[..., 0] > 30).any(axis=1)
    assert bluish.sum() > image.height / 8
