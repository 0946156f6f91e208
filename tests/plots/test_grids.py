import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from celeba_vae.plots.grids import (
    alternate_rows,
    image_grid,
    labelled_grid,
    labelled_png,
    png,
    read_rows,
)


def _images(count: int, side: int) -> np.ndarray:
    return np.random.default_rng(count).integers(1, 255, (count, side, side, 3), dtype=np.uint8)


@given(rows=st.integers(1, 4), columns=st.integers(1, 4), data=st.data())
@settings(max_examples=50, deadline=None)
def test_each_image_is_in_its_cell_and_nothing_else(
    rows: int, columns: int, data: st.DataObject
) -> None:
    count = data.draw(st.integers(1, rows * columns))
    images = _images(count, 5)
    grid = image_grid(images, rows=rows, columns=columns)
    assert grid.dtype == np.uint8
    assert grid.shape == (rows * 7 - 2, columns * 7 - 2, 3)
    for i, image in enumerate(images):
        y, x = i // columns * 7, i % columns * 7
        assert np.array_equal(grid[y : y + 5, x : x + 5], image)
    # The images have no white values: whatever is left is background.
    assert np.count_nonzero(grid != 255) == images.size


def test_more_images_than_cells_are_an_error() -> None:
    with pytest.raises(ValueError, match="broadcast"):
        image_grid(_images(5, 4), rows=2, columns=2)


def test_rows_alternate() -> None:
    upper, lower = _images(6, 4), 255 - _images(6, 4)
    both = alternate_rows(upper, lower, columns=3)
    assert np.array_equal(both[:3], upper[:3])
    assert np.array_equal(both[3:6], lower[:3])
    assert np.array_equal(both[6:9], upper[3:])
    assert np.array_equal(both[9:], lower[3:])


def test_text_stands_beside_the_grid_and_not_on_it() -> None:
    images = _images(6, 40)
    grid = image_grid(images, rows=2, columns=3)
    labelled = labelled_grid(images, columns=3, labels=["one", "two"], caption="Numbers")
    height, width = grid.shape[:2]
    assert np.array_equal(labelled[-height:, -width:], grid)
    left, top = labelled[-height:, :-width], labelled[:-height]
    for text in (left[:40], left[42:], top):
        assert text.min() < 100
        assert text.max() == 255
    assert not np.array_equal(left[:40], left[42:])


def test_a_long_caption_is_not_cut_off() -> None:
    images = _images(1, 20)
    labelled = labelled_grid(images, columns=1, caption="a caption wider than the only image")
    assert labelled.shape[1] > 100
    assert (labelled[:, -6:] == 255).all()


def test_heads_stand_above_their_columns() -> None:
    images = _images(6, 40)
    grid = image_grid(images, rows=2, columns=3)
    labelled = labelled_grid(
        images, columns=3, labels=["one", "two"], heads=["-1", "", "+1"], caption="Numbers"
    )
    height, width = grid.shape[:2]
    assert np.array_equal(labelled[-height:, -width:], grid)
    heads = labelled[-height - 20 : -height, -width:]
    for column, dark in enumerate((True, False, True)):
        assert (heads[:, 42 * column : 42 * column + 40].min() < 100) == dark
    with pytest.raises(ValueError, match="1 heads for 3 columns"):
        labelled_grid(images, columns=3, heads=["a"])


@pytest.mark.parametrize("caption", ["", "a caption that is wider than the images below it"])
@pytest.mark.parametrize("heads", [(), ("-1", "", "+1")])
def test_rows_and_labels_come_back_from_a_labelled_png(caption: str, heads: tuple[str]) -> None:
    images = _images(6, 40)
    labels = ["z, |z| = 1.5", "ä"]
    content = labelled_png(images, columns=3, labels=labels, heads=heads, caption=caption)
    assert content == labelled_png(images, columns=3, labels=labels, heads=heads, caption=caption)
    with Image.open(io.BytesIO(content)) as image:
        rows = read_rows(image)
        shown = labelled_grid(images, columns=3, labels=labels, heads=heads, caption=caption)
        assert np.array_equal(np.asarray(image), shown)
    assert rows is not None
    assert (rows.labels, rows.heads) == (labels, list(heads))
    for found, first in zip(rows.images, (0, 3), strict=True):
        assert np.array_equal(found, image_grid(images[first : first + 3], rows=1, columns=3))


def test_a_picture_without_labels_has_no_rows() -> None:
    with Image.open(io.BytesIO(png(_images(1, 20)[0]))) as image:
        assert read_rows(image) is None


def test_without_text_it_is_the_plain_grid() -> None:
    images = _images(4, 8)
    assert np.array_equal(labelled_grid(images, columns=2), image_grid(images, rows=2, columns=2))


def test_labels_must_fit_the_rows() -> None:
    with pytest.raises(ValueError, match="3 labels for 2 rows"):
        labelled_grid(_images(4, 8), columns=2, labels=["a", "b", "c"])


def test_png_comes_back_in_stable_bytes() -> None:
    grid = image_grid(_images(4, 16), rows=2, columns=2)
    assert png(grid) == png(grid.copy())
    with Image.open(io.BytesIO(png(grid))) as image:
        assert np.array_equal(np.asarray(image), grid)


def test_what_is_no_image_is_refused() -> None:
    with pytest.raises(TypeError):
        png(np.zeros((4, 4, 7), dtype=np.uint8))
