import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from celeba_vae.figures import plots
from celeba_vae.latent.statistics import component_table, dimension_table, radii, radius_table


def _radius(path: Path, seed: int) -> None:
    z = np.random.default_rng(seed).normal(size=(3, 200, 8))
    lengths = {name: radii(a) for name, a in zip(("train", "validation", "test"), z, strict=True)}
    plots.plot_radius(path, radius_table(lengths, 8), 8)


def _dimensions(path: Path, seed: int) -> None:
    mu = np.random.default_rng(seed).normal(size=(200, 8)) * np.linspace(0, 1, 8)
    table = dimension_table(mu, mu, mu, active_variance=0.01)
    plots.plot_dimensions(path, table, np.argsort(-table["kl"]), ranked_by="KL")


def _dimensions_of_plain_autoencoder(path: Path, seed: int) -> None:
    mu = np.random.default_rng(seed).normal(size=(200, 8)) * np.linspace(0, 1, 8)
    table = dimension_table(mu, None, mu, active_variance=0.01)
    plots.plot_dimensions(path, table, np.argsort(-table["std_z"]), ranked_by="deviation")


def _components(path: Path, seed: int) -> None:
    z = np.random.default_rng(seed).normal(size=(200, 8))
    plots.plot_components(
        path, component_table(z, [3, 1, 2, 0, 7]), [3, 1, 2, 0, 7], ranked_by="KL"
    )


def _eigenvalues(path: Path, seed: int) -> None:
    values = np.sort(np.random.default_rng(seed).uniform(0.5, 2, 8))[::-1]
    plots.plot_eigenvalues(path, values, (0.8, 1.2))


def _plane(path: Path, seed: int) -> None:
    plots.plot_plane(path, np.random.default_rng(seed).normal(size=(200, 2)), (3, 5))


PLOTS = [_radius, _dimensions, _dimensions_of_plain_autoencoder, _components, _eigenvalues, _plane]


@pytest.mark.parametrize("plot", PLOTS)
def test_same_data_same_bytes_other_data_other_picture(
    tmp_path: Path, plot: Callable[[Path, int], None]
) -> None:
    first, again, other = (tmp_path / f"{name}.png" for name in ("first", "again", "other"))
    plot(first, 1)
    plot(again, 1)
    plot(other, 2)
    assert first.read_bytes() == again.read_bytes()
    assert first.read_bytes() != other.read_bytes()
    with Image.open(first) as image:
        assert image.width in (750, 900)
        assert image.height == 600
        # Neither name nor version of the program, nor a date, is in the file.
        assert set(image.info) == {"dpi"}
        assert len(np.unique(np.asarray(image.convert("L")))) > 20
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "again.png",
        "first.png",
        "other.png",
    ]


def test_plots_do_not_follow_the_users_matplotlibrc(tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_text("font.size: 30\naxes.facecolor: red\n")
    code = (
        "from pathlib import Path; from celeba_vae.figures.plots import plot_eigenvalues as p;"
        "import numpy as np, sys;"
        "p(Path('out.png'), np.array([2.0, 1.0]), (0.8, 1.2));"
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=60)
    plots.plot_eigenvalues(tmp_path / "here.png", np.array([2.0, 1.0]), (0.8, 1.2))
    assert (tmp_path / "out.png").read_bytes() == (tmp_path / "here.png").read_bytes()


def test_a_flat_spectrum_and_a_flat_cloud_can_be_plotted(tmp_path: Path) -> None:
    # Fewer points than dimensions: eigenvalues of 0 on a logarithmic axis.
    plots.plot_eigenvalues(tmp_path / "a.png", np.array([2.0, 1.0, 0.0]), (0.8, 1.2))
    plots.plot_plane(tmp_path / "b.png", np.zeros((5, 2)), (0, 1))
    assert {path.name for path in tmp_path.iterdir()} == {"a.png", "b.png"}


def test_a_plot_that_fails_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        plots.plot_dimensions(tmp_path / "dimensions.png", {}, np.arange(3), ranked_by="KL")
    assert list(tmp_path.iterdir()) == []
