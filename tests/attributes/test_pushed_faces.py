import io
from pathlib import Path

import numpy as np
from PIL import Image

from celeba_vae.attributes.pushed_faces import pushed_faces
from celeba_vae.model.pretrained import Pretrained
from celeba_vae.params import Params
from celeba_vae.shards.read import open_split


def test_a_grid_shows_images_and_their_pushed_faces(
    project: Path, model: Pretrained, tiny: Params
) -> None:
    params = tiny.attributes.model_copy(update={"rows": 4, "columns": 5, "push": 2.0})
    images = open_split(project / "shards", "validation")
    mu = np.load(project / "zpoints/validation_mu.npy")
    step = np.linspace(-1, 1, 6)
    # One of eight has it: three rows lack it, the last has it.
    has = np.arange(8) == 5
    png = pushed_faces(model, images, mu, has, name="Male", step=step, params=params)
    picture = np.asarray(Image.open(io.BytesIO(png)))
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
