"""The commands that use a trained model: sample, reconstruct, morph, edit."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from celeba_vae.cli.options import (
    EXISTING_FILE,
    Real,
    columns_option,
    model_option,
    out_option,
    push,
    scale_option,
    seed_option,
)
from celeba_vae.cli.pictures import (
    MOVING,
    check_out,
    describe_model,
    enlarge,
    load_model,
    read_photos,
    save,
    save_animation,
    save_each,
    scale_for,
)
from celeba_vae.runtime.errors import UserError, printable

if TYPE_CHECKING:
    from celeba_vae.params import Sampler

# Photos in a row of their reconstructions.
_COLUMNS = 8


@click.command(short_help="Generate new faces.")
@model_option
@click.option(
    "--rows", type=click.IntRange(1, 100), default=6, show_default=True, help="Rows of the grid."
)
@columns_option("Columns of the grid.")
@seed_option("Seed of the latent codes: the same one gives the same faces.")
@click.option(
    "--sampler",
    type=click.Choice(["normal", "gaussian", "gmm", "ellipse"]),
    help="Take latent codes from N(0, I), or from what was fitted to those of the training "
    "images: a Gaussian, a mixture of them, or ellipses in the principal planes. Without it, from "
    "the one closest to those of the validation images.",
)
@click.option(
    "--temperature",
    type=Real(0, 100, min_open=True),
    help="Factor on the distance of the latent codes from their centre; less than 1 gives plainer "
    "faces. Without it, the one closest to the validation images.",
)
@click.option(
    "--separate", is_flag=True, help="Write each face into a file of its own, as sample-01.png."
)
@scale_option
@out_option("sample.png")
def sample(
    model: Path,
    rows: int,
    columns: int,
    seed: int,
    sampler: "Sampler | None",
    temperature: float | None,
    separate: bool,
    scale: int | None,
    out: Path,
) -> None:
    """Generate new faces from random latent codes.

    celeba-vae sample --rows 2 --columns 4 --seed 7
    """
    check_out(out)
    described = describe_model(model, photos=False)
    factor = scale_for(rows * columns, scale, size=described.size)
    from celeba_vae.face_model import samplers_of

    fitted = samplers_of(model, z_dim=described.model.z_dim)
    name, used = fitted.chosen(sampler, temperature)
    faces = enlarge(load_model(model).generate(rows * columns, seed, name, used), factor)
    if separate:
        save_each(out, faces)
    else:
        from celeba_vae.plots.grids import image_grid

        save(out, image_grid(faces, rows=rows, columns=columns))
    click.echo(f"generated from {name}, temperature {used:g}")


@click.command(short_help="Encode photos and decode them again.")
@click.argument(
    "photos", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PHOTOS..."
)
@model_option
@scale_option
@out_option("reconstructions.png")
def reconstruct(photos: tuple[Path, ...], model: Path, scale: int | None, out: Path) -> None:
    """Encode photos and decode them again; each reconstruction stands below its photo.

    A photo should show a face as CelebA does: upright, in the middle, filling half the height. Of
    a folder all images in it are taken.

    celeba-vae reconstruct me.jpg album/ --out both.jpg
    """
    from celeba_vae.face_model import photo_files

    files = photo_files(photos)
    check_out(out, inputs=files)
    described = describe_model(model, photos=True)
    factor = scale_for(2 * len(files), scale, size=described.size)
    images = read_photos(files, described)
    faces = load_model(model).reconstruct(images)
    import numpy as np

    from celeba_vae.plots.grids import alternate_rows, labelled_grid

    columns = min(len(files), _COLUMNS)
    blank = np.full((-len(files) % columns, *images.shape[1:]), 255, np.uint8)
    pairs = alternate_rows(
        np.concatenate([images, blank]), np.concatenate([faces, blank]), columns=columns
    )
    labels = ["photo", "reconstruction"] * (len(pairs) // (2 * columns))
    save(out, labelled_grid(enlarge(pairs, factor), columns=columns, labels=labels))


@click.command(short_help="Turn one face into another, as a picture or an animation.")
@click.argument("photo_a", type=EXISTING_FILE)
@click.argument("photo_b", type=EXISTING_FILE)
@click.option(
    "--steps",
    type=click.IntRange(2, 100),
    help="Faces on the way, both ends included. Without it 8, in an animation 30.",
)
@model_option
@scale_option
@out_option("morph.png", "PNG or JPEG, or an animation, GIF, WebP or APNG,")
def morph(
    photo_a: Path, photo_b: Path, steps: int | None, model: Path, scale: int | None, out: Path
) -> None:
    """Turn one face into another, on the straight line between their latent codes.

    A picture shows the photos at both ends, an animation the faces between them, there and back.

    celeba-vae morph me.jpg you.jpg --out data/results/morph.gif
    """
    photos = (photo_a, photo_b)
    check_out(out, inputs=photos, moving=True)
    animated = out.suffix.lower() in MOVING
    faces = steps or (30 if animated else 8)
    described = describe_model(model, photos=True)
    factor = scale_for(faces + 2, scale, size=described.size)
    images = read_photos(photos, described)
    (walk,) = load_model(model).interpolate(images[:1], images[1:], faces)
    if animated:
        save_animation(out, enlarge(walk, factor))
        return
    import numpy as np

    from celeba_vae.plots.grids import labelled_grid

    row = np.concatenate([images[:1], walk, images[1:]])
    shares = [f"{100 * step / (faces - 1):.0f} %" for step in range(faces)]
    heads = ["photo", *shares, "photo"]
    save(out, labelled_grid(enlarge(row, factor), columns=len(row), heads=heads))


@click.command(short_help="Change attributes of a face, such as Eyeglasses.")
@click.argument("photo", required=False, type=EXISTING_FILE)
@click.argument("pushes", nargs=-1, type=push, metavar="[NAME=STEPS]...")
@click.option("--list", "listed", is_flag=True, help="List the attributes and how sure each is.")
@model_option
@scale_option
@out_option("edited.png")
def edit(
    photo: Path | None,
    pushes: tuple[tuple[str, float], ...],
    listed: bool,
    model: Path,
    scale: int | None,
    out: Path,
) -> None:
    """Change attributes of a face: the photo, its reconstruction, and the edited face.

    Steps are standard deviations of the training faces, below 0 away from the attribute. 2 is
    much, beyond 3 faces fall apart.

    celeba-vae edit me.jpg Eyeglasses=2 Male=-1
    """
    from celeba_vae.face_model import aucs_of, directions_of
    from celeba_vae.latent.directions import NO_DIRECTIONS, total_push

    if listed:
        described = describe_model(model, photos=False)
        aucs = aucs_of(directions_of(model, z_dim=described.model.z_dim))
        if not aucs:
            raise UserError(f"directions of attributes: the model has {NO_DIRECTIONS}")
        for name, auc in aucs.items():
            click.echo(f"{printable(name):<20} AUC {auc:.3f}" + _doubt(auc))
        return
    if photo is None or not pushes:
        raise UserError("give a photo and what to change, such as `me.jpg Eyeglasses=2`, or --list")
    check_out(out, inputs=(photo,))
    steps = dict(pushes)
    if len(steps) < len(pushes):
        raise UserError("the same attribute is given twice")
    described = describe_model(model, photos=True)
    known = directions_of(model, z_dim=described.model.z_dim)
    total_push(known, steps)  # An unknown name ends it here, before TensorFlow loads.
    factor = scale_for(3, scale, size=described.size)
    image = read_photos((photo,), described)
    pretrained = load_model(model)
    import numpy as np

    from celeba_vae.plots.grids import labelled_grid

    row = np.concatenate([image, pretrained.reconstruct(image), pretrained.edit(image, **steps)])
    caption = ", ".join(f"{name} {by:+g}" for name, by in steps.items())
    heads = ["photo", "reconstruction", "edited"]
    save(out, labelled_grid(enlarge(row, factor), columns=3, heads=heads, caption=caption))
    for name in steps:
        click.echo(f"{printable(name)}: AUC {known[name].auc:.3f}" + _doubt(known[name].auc))


def _doubt(auc: float) -> str:
    from celeba_vae.latent.directions import RELIABLE_AUC

    return "" if auc >= RELIABLE_AUC else f", unreliable (below {RELIABLE_AUC})"
