"""What the commands read and write: the model, photographs, pictures, animations."""

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from celeba_vae.runtime.errors import UserError, reason_of
from celeba_vae.runtime.places import check_outside

if TYPE_CHECKING:  # NumPy and the model are loaded by the commands that need them.
    from celeba_vae.face_model import FaceModel
    from celeba_vae.model.pretrained import Architecture
    from celeba_vae.runtime.arrays import Pixels

STILL = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
MOVING = {".gif": "GIF", ".webp": "WEBP", ".apng": "PNG"}

# So wide are faces that are shown to people, at least.
_SIDE = 192
_LARGEST = 2**28
# Pixels of a side, of which a JPEG has no more.
_LONGEST = 65_500
# Milliseconds that a face of an animation is shown, and the one at each end.
_SHOWN, _SHOWN_AT_ENDS = 60, 700


def describe_model(folder: Path, *, photos: bool) -> "Architecture":
    """Return what a model is, and note on stderr where it has never seen a photo but gets some."""
    from celeba_vae.model.pretrained import read_architecture

    described = read_architecture(folder)
    if photos and described.trained_on.source == "synthetic":
        click.echo(
            "note: this model has seen synthetic faces only, and photos come back as such; for "
            "photos, train it on photos: docs/start/own-images.md",
            err=True,
        )
    return described


def read_photos(photos: Sequence[Path], described: "Architecture") -> "Pixels":
    """Return photographs cut as the model's training images were, uint8 (n, size, size, 3)."""
    from celeba_vae import face_model

    return face_model.read_photos(
        photos, size=described.size, crop=described.crop, filter=described.filter
    )


def load_model(folder: Path) -> "FaceModel":
    """Return the trained model of a folder, and say on stderr that it takes a while."""
    click.echo("loading the model ...", err=True)
    from celeba_vae.face_model import load

    return load(folder)


def check_out(out: Path, inputs: Sequence[Path] = (), *, moving: bool = False) -> None:
    """Refuse a file that is no picture, is an input, or lies where a stage or nobody writes.

    Args:
        out: the file to write.
        inputs: the photos.
        moving: allow an animation.
    """
    allowed = [*STILL, *(MOVING if moving else ())]
    if out.suffix.lower() not in allowed:
        raise UserError(f"--out {out}: must end in {', '.join(allowed[:-1])} or {allowed[-1]}")
    if any(_is_same_file(out, path) for path in inputs):
        raise UserError(f"--out {out}: is one of the photos; name another file")
    check_outside(out, "--out")
    above = next(folder for folder in out.absolute().parents if folder.exists())
    if not (above.is_dir() and os.access(above, os.W_OK | os.X_OK)):
        raise UserError(f"--out {out}: {above} is no folder that can be written")


def _is_same_file(first: Path, second: Path) -> bool:
    # By the file and not by its name, of which links, and some disks, give it several.
    try:
        return first.samefile(second)
    except OSError:  # One of them is not there.
        return False


def scale_for(faces: int, scale: int | None, *, size: int) -> int:
    """Return the factor by which a picture's faces are enlarged.

    Args:
        faces: how many there are.
        scale: what the user wants; None for at least `_SIDE` pixels.
        size: side of a face of the model, in pixels.

    Raises:
        UserError: no program opens a picture so large.
    """
    factor = -(-_SIDE // size) if scale is None else scale
    if faces * (size * factor) ** 2 > _LARGEST:
        raise UserError(
            f"{faces} faces of {size * factor} pixels make a picture of more than {_LARGEST:,}: "
            "take fewer, or a smaller --scale"
        )
    return factor


def enlarge(images: "Pixels", scale: int) -> "Pixels":
    """Return images, (n, S, S, 3), enlarged smoothly by a whole factor."""
    import numpy as np
    from PIL import Image

    side = scale * images.shape[1]
    larger = (Image.fromarray(image).resize((side, side)) for image in images)
    return images if scale == 1 else np.stack([*map(np.asarray, larger)])


def save(out: Path, picture: "Pixels", *, err: bool = False) -> None:
    """Write a picture, and say so on stdout, or on stderr."""
    from PIL import Image

    kind, content = STILL[out.suffix.lower()], io.BytesIO()
    if kind == "JPEG" and max(picture.shape) > _LONGEST:
        raise UserError(f"--out {out}: a JPEG has at most {_LONGEST:,} pixels a side; take .png")
    # Without thinned-out colours, which faces show.
    Image.fromarray(picture).save(content, format=kind, quality=95, subsampling=0)
    _write(out, content.getvalue())
    click.echo(f"wrote {out}", err=err)


def save_each(out: Path, faces: "Pixels") -> None:
    """Write each face into a file of its own: faces.png becomes faces-01.png and so on."""
    digits = len(str(len(faces)))
    for number, face in enumerate(faces, start=1):
        save(out.with_stem(f"{out.stem}-{number:0{digits}}"), face)


def save_animation(out: Path, frames: "Pixels") -> None:
    """Write an animation that runs through the frames and back, without end."""
    from PIL import Image

    first, *others = map(Image.fromarray, [*frames, *frames[-2:0:-1]])
    shown = [_SHOWN] * (1 + len(others))
    shown[0] = shown[len(frames) - 1] = _SHOWN_AT_ENDS
    content = io.BytesIO()
    first.save(
        content,
        format=MOVING[out.suffix.lower()],
        save_all=True,
        append_images=others,
        duration=shown,
        loop=0,
        quality=90,
    )
    _write(out, content.getvalue())
    click.echo(f"wrote {out}")


def _write(out: Path, content: bytes) -> None:
    from celeba_vae.runtime.files import write_bytes

    try:
        write_bytes(out, content)
    except OSError as error:
        raise UserError(f"--out {out}: cannot be written: {reason_of(error)}") from None
