"""Progress to look at while a model trains: a grid of faces after every epoch, TensorBoard."""

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from celeba_vae.model.vae import VAE
from celeba_vae.plots.grids import image_grid, png
from celeba_vae.runtime.errors import UserError
from celeba_vae.runtime.files import write_bytes
from celeba_vae.training import feed

ROWS, COLUMNS = 4, 8
TENSORBOARD_FOLDER = "tensorboard"

OnEpochEnd = Callable[[Mapping[str, float]], None]


def watch_in(folder: Path, vae: VAE, *, seed: int, tensorboard: bool) -> OnEpochEnd:
    """Return a function to call with the row of the history after every epoch.

    It writes `epoch-EPOCH.png` to the folder, a grid of faces from the same random z-points, and
    with `tensorboard` the row's values to TENSORBOARD_FOLDER in it, with the faces of epochs 1,
    2, 4, 8 and so on.

    Raises:
        UserError: TensorBoard is asked for and not installed.
    """
    z_dim = vae.decoder.input_shape[-1]
    z = feed.validation_noise((ROWS * COLUMNS, z_dim), seed=seed, index=0)
    writer = _tensorboard_writer(folder / TENSORBOARD_FOLDER) if tensorboard else None

    def show(row: Mapping[str, float]) -> None:
        epoch = int(row["epoch"])
        pixels = keras.ops.convert_to_numpy(keras.ops.sigmoid(vae.decode(z)))
        faces = np.rint(255.0 * pixels).astype(np.uint8)
        grid = image_grid(faces, rows=ROWS, columns=COLUMNS)
        write_bytes(folder / f"epoch-{epoch:03}.png", png(grid))
        if writer is None:
            return
        import tensorflow as tf

        with writer.as_default(step=epoch):
            for name, value in row.items():
                tf.summary.scalar(name, value)
            if epoch & (epoch - 1) == 0:  # a power of two
                tf.summary.image("faces", grid[None])
            writer.flush()

    return show


def _tensorboard_writer(folder: Path) -> Any:
    # TensorFlow's summaries are TensorBoard's code, and fail only when they are written.
    if importlib.util.find_spec("tensorboard") is None:
        raise UserError(
            "run.tensorboard is true, but TensorBoard is not installed: "
            "`pip install -e '.[tensorboard]'`, or set run.tensorboard=false"
        )
    # Here, for on JAX nothing else needs it; and there it leaves the GPU to JAX.
    import tensorflow as tf

    if keras.backend.backend() != "tensorflow":
        tf.config.set_visible_devices([], "GPU")
    return tf.summary.create_file_writer(str(folder))
