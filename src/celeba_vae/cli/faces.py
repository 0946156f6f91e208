"""The commands that use a trained model: sample, reconstruct, morph, edit."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from celeba_vae.cli.options import EXISTING_FILE, Real, folder_option, model_option, out_option
from celeba_vae.cli.pictures import check_out, load_model, read_photos, save_grid
from celeba_vae.runtime.errors import UserError

if TYPE_CHECKING:
    from celeba_vae.params import Sampler


@click.command()
@model_option
@click.option(
    "--rows", type=click.IntRange(1, 100), default=6, show_default=True, help="Rows of the grid."
)
@click.option(
    "--columns",
    type=click.IntRange(1, 100),
    default=10,
    show_default=True,
    help="Columns of the grid.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 2),
    default=1,
    show_default=True,
    help="Seed of the z-points: the same one gives the same faces.",
)
@click.option(
    "--sampler",
    type=click.Choice(["normal", "gaussian", "gmm", "ellipse"]),
    help="Draw z-points from N(0, I), or from what was fitted to the z-points of the training "
    "images: a Gaussian, a mixture of them, or ellipses in the principal planes. Without it, from "
    "the one whose draws lie closest to the validation z-points.",
)
@click.option(
    "--temperature",
    type=Real(0, 100, min_open=True),
    help="Factor on the distance of the z-points from their centre; less than 1 gives plainer "
    "faces. Without it, the one closest to the validation z-points.",
)
@folder_option("--zpoints", "data/zpoints", "Folder with the fitted samplers.")
@out_option("sample.png")
def sample(
    model: Path,
    rows: int,
    columns: int,
    seed: int,
    sampler: "Sampler | None",
    temperature: float | None,
    zpoints: Path,
    out: Path,
) -> None:
    """Draw new faces from random z-points."""
    check_out(out)
    pretrained = load_model(model)
    from celeba_vae.latent.samplers import SAMPLERS_FILE, draw, load_samplers

    fitted = load_samplers(zpoints / SAMPLERS_FILE, z_dim=pretrained.z_dim)
    name, factor = fitted.chosen(sampler, temperature)
    z = draw(fitted, name, rows * columns, seed=seed, temperature=factor)
    save_grid(pretrained.decode(z), out, rows=rows, columns=columns)
    click.echo(f"drawn from {name}, temperature {factor:g}")


@click.command()
@click.argument("photos", nargs=-1, required=True, type=EXISTING_FILE)
@model_option
@out_option("reconstructions.png")
def reconstruct(photos: tuple[Path, ...], model: Path, out: Path) -> None:
    """Encode photos and decode them again; the reconstruction stands below its photo.

    A photo should show a face as CelebA does: upright, in the middle, filling half the height.
    """
    check_out(out, inputs=photos)
    pretrained = load_model(model)
    images = read_photos(photos, pretrained)
    mu, _ = pretrained.encode(images)
    from celeba_vae.plots.grids import alternate_rows

    columns = len(photos)
    pairs = alternate_rows(images, pretrained.decode(mu), columns=columns)
    save_grid(pairs, out, rows=2, columns=columns)


@click.command()
@click.argument("photo_a", type=EXISTING_FILE)
@click.argument("photo_b", type=EXISTING_FILE)
@click.option(
    "--steps",
    type=click.IntRange(2, 100),
    default=8,
    show_default=True,
    help="Faces on the way, both ends included.",
)
@model_option
@out_option("morph.png")
def morph(photo_a: Path, photo_b: Path, steps: int, model: Path, out: Path) -> None:
    """Interpolate between two faces: the straight line from one mu to the other, decoded."""
    check_out(out, inputs=(photo_a, photo_b))
    pretrained = load_model(model)
    mu, _ = pretrained.encode(read_photos((photo_a, photo_b), pretrained))
    from celeba_vae.latent.interpolation import interpolate

    (walk,) = interpolate(mu[:1], mu[1:], steps=steps)
    save_grid(pretrained.decode(walk), out, rows=1, columns=steps)


@click.command()
@click.argument("photo", type=EXISTING_FILE)
@click.option(
    "--attribute",
    "attributes",
    multiple=True,
    required=True,
    metavar="NAME",
    help="What to change, such as Smiling; may be given several times, each with its --by.",
)
@click.option(
    "--by",
    "amounts",
    multiple=True,
    required=True,
    type=Real(-100, 100),
    help="How far, in standard deviations of the training faces; below 0 away from it. 2 is "
    "much, beyond 3 faces fall apart.",
)
@model_option
@folder_option("--directions", "data/attributes", "Folder with the directions of attributes.")
@out_option("edited.png")
def edit(
    photo: Path,
    attributes: tuple[str, ...],
    amounts: tuple[float, ...],
    model: Path,
    directions: Path,
    out: Path,
) -> None:
    """Change attributes of a face: the photo, its reconstruction, and the edited face.

    celeba-vae edit photo.jpg --attribute Smiling --by 2 --attribute Male --by -1
    """
    check_out(out, inputs=(photo,))
    if len(attributes) != len(amounts):
        raise UserError(
            f"{len(attributes)} --attribute and {len(amounts)} --by: give one --by for each "
            "--attribute, in the same order"
        )
    pretrained = load_model(model)
    from celeba_vae.latent.directions import DIRECTIONS_FILE, load_directions, total_push

    known = load_directions(directions / DIRECTIONS_FILE, z_dim=pretrained.z_dim)
    push = total_push(known, list(zip(attributes, amounts, strict=True)))
    image = read_photos((photo,), pretrained)
    mu, _ = pretrained.encode(image)
    import numpy as np

    faces = pretrained.decode(np.concatenate([mu, mu + push]))
    save_grid(np.concatenate([image, faces]), out, rows=1, columns=3)
