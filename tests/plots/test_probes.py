import io

import numpy as np
from PIL import Image

from celeba_vae.plots.probes import plot_factors, plot_probes

AUCS = {"Smiling": 0.9, "Male": 0.75, "Big_Nose": 0.48}


def test_bars_are_as_long_as_the_auc_and_in_stable_bytes() -> None:
    picture = plot_probes(AUCS)
    assert picture == plot_probes(AUCS)
    with Image.open(io.BytesIO(picture)) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    blue = np.abs(pixels - (0x00, 0x72, 0xB2)).sum(axis=2) < 10
    lengths = blue.sum(axis=1)
    # The best is on top: 0.4 long, then 0.25, then 0.02 to the other side.
    bars = [length for length in lengths if length > 3]
    assert bars[0] == max(bars)
    second = max(length for length in bars if length < 0.9 * max(bars))
    assert np.isclose(second / max(bars), 0.25 / 0.4, atol=0.03)


def test_without_probes_the_picture_says_so() -> None:
    with Image.open(io.BytesIO(plot_probes({}))) as image:
        assert (np.asarray(image.convert("L")) < 100).sum() > 200


def test_the_heat_map_is_brightest_where_a_factor_sits() -> None:
    shares = np.full((3, 40), 0.02)
    shares[[0, 1, 2], [7, 30, 7]] = (0.5, 0.9, 0.1)
    picture = plot_factors(("hat", "yaw", "smile"), shares)
    assert picture == plot_factors(("hat", "yaw", "smile"), shares)
    with Image.open(io.BytesIO(picture)) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    # The lightest colour of the map is the cell of yaw in dimension 30, top left.
    light = np.abs(pixels[:, :600] - (254, 232, 56)).sum(axis=2) < 10
    rows, columns = np.nonzero(light)
    assert light.sum() > 500
    assert rows.max() < pixels.shape[0] / 2
    assert columns.max() < 600
