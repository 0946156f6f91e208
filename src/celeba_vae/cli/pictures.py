"""What the commands read and write: the model, photographs, pictures."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from celeba_vae.runtime.errors import UserError, reason_of
from celeba_vae.runtime.places import check_outside

if TYPE_CHECKING:  # NumPy and the model are loaded by the commands that need them.
    import numpy as np

    from celeba_vae.model.pretrained import Pretrained


def load_model(model: Path) -> "Pretrained":
    """Return the trained model of a folder."""
    from celeba_vae.model.pretrained import load

    return load(model)


def read_photos(photos: tuple[Path, ...], pretrained: "Pretrained") -> "np.ndarray":
    """Return photographs cut as the model's training images were, uint8 (n, size, size, 3)."""
    import numpy as np

    from celeba_vae.shards.transform import BadImage, to_square

    squares = []
    for photo in photos:
        if not photo.is_file():  # Opening a pipe would wait for ever.
            raise UserError(f"{photo}: no such file")
        try:
            content = photo.read_bytes()
            squares.append(
                to_square(
                    content, size=pretrained.size, crop=pretrained.crop, filter=pretrained.filter
                )
            )
        except (OSError, BadImage) as error:
            raise UserError(f"{photo}: cannot be read as an image: {reason_of(error)}") from None
    return np.stack(squares)


def check_out(out: Path, inputs: tuple[Path, ...] = ()) -> None:
    """Refuse a file that is no PNG, is an input, or lies where a stage writes."""
    if out.suffix.lower() != ".png":
        raise UserError(f"--out {out}: must end in .png")
    if any(_is_same_file(out, path) for path in inputs):
        raise UserError(f"--out {out}: is one of the photos; name another file")
    check_outside(out, "--out")


def _is_same_file(first: Path, second: Path) -> bool:
    # By the file and not by its name, of which links, and some disks, give it several.
    try:
        return first.samefile(second)
    except OSError:  # One of them is not there.
        return False


def save_grid(images: "np.ndarray", out: Path, *, rows: int, columns: int) -> None:
    """Write images side by side."""
    from celeba_vae.plots.grids import image_grid

    save(out, image_grid(images, rows=rows, columns=columns))


def save(out: Path, picture: "np.ndarray", *, err: bool = False) -> None:
    """Write a picture, and say so on stdout, or on stderr."""
    from celeba_vae.plots.grids import png
    from celeba_vae.runtime.files import write_bytes

    try:
        write_bytes(out, png(picture))
    except OSError as error:
        raise UserError(f"--out {out}: cannot be written: {reason_of(error)}") from None
    click.echo(f"wrote {out}", err=err)
