"""The command line `celeba-vae`: parameters, use of a trained model, summary and verification."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from celeba_vae.runtime.ending import ending_in_one_line
from celeba_vae.runtime.errors import UserError, reason_of
from celeba_vae.runtime.places import check_outside
from celeba_vae.runtime.switches import set_switches

if TYPE_CHECKING:  # NumPy and the model are loaded by the commands that need them.
    import numpy as np

    from celeba_vae.model.pretrained import Pretrained
    from celeba_vae.params import Sampler

_EXISTING_FILE = click.Path(path_type=Path, dir_okay=False)


class Real(click.FloatRange):
    """A range of numbers; click's own lets NaN through, which no bound refuses."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number, or end with click's message."""
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value} is not a number.", param, ctx)
        return number


def folder_option(name: str, default: str, description: str) -> Any:
    """Return the option that names a folder to read."""
    return click.option(
        name,
        type=click.Path(path_type=Path, file_okay=False),
        default=Path(default),
        show_default=True,
        help=description,
    )


_set_param = click.option(
    "-S",
    "--set-param",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change a parameter for this table, as in `dvc exp run -S model.z_dim=512`.",
)

model_option = folder_option("--model", "data/model", "Folder of the trained model.")


def out_option(default: str) -> Any:
    """Return the option that names the PNG to write."""
    return click.option(
        "--out",
        type=click.Path(path_type=Path, dir_okay=False),
        default=Path(default),
        show_default=True,
        help="PNG file to write; an older one of that name is replaced.",
    )


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="The pipeline itself is run by DVC: `dvc repro`, "
    "`dvc exp run -S model.inter_dense=256`.",
)
@click.version_option(package_name="celeba-vae")
def cli() -> None:
    """A reproducible laboratory for convolutional VAEs on face images."""
    set_switches("avx2")


def main() -> None:
    """Run the command line; a user's mistake ends with one line and status 1."""
    with ending_in_one_line():
        cli(prog_name="celeba-vae")


@cli.command()
@_set_param
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def parameters(overrides: tuple[str, ...], as_json: bool) -> None:
    """Check params.yaml and count the model's parameters, layer by layer.

    The numbers are those of the Keras model that `train` would build; what this machine has no
    memory to train is refused.
    """
    from celeba_vae.backend import configure_tensorflow
    from celeba_vae.model.sizes import check_memory
    from celeba_vae.params import load_params

    params = load_params(overrides=overrides)
    check_memory(params.model, size=params.prepare.size, train=params.train)
    own = params.download.path if params.download.source == "local" else None
    for key, place in (("download.path", own), ("evaluate.fid", params.evaluate.fid)):
        if place is not None and not Path(place).exists():
            raise UserError(f"{key} = {place}: there is no such file or folder")

    configure_tensorflow(params.threads, params.instructions)
    from celeba_vae.model.vae import VAE, describe_layers

    vae = VAE(params.model, size=params.prepare.size, seed=params.train.seed)
    report = {part.name: describe_layers(part) for part in (vae.encoder, vae.decoder)}
    if as_json:
        click.echo(json.dumps(report, indent=2))
        return
    for name, part in report.items():
        click.echo(f"\n{name.capitalize()}")
        click.echo(f"  {'layer':<18}{'output':<18}{'parameters':>12}")
        for layer in part["layers"]:
            shape = " x ".join(map(str, layer["output"]))
            click.echo(f"  {layer['name']:<18}{shape:<18}{layer['parameters']:>12,}")
        click.echo(f"  {'total':<36}{part['parameters']:>12,}")
        click.echo(f"  {'of these trained':<36}{part['trainable']:>12,}")


@cli.command()
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
    _check_out(out)
    pretrained = _load(model)
    from celeba_vae.latent.samplers import SAMPLERS_FILE, draw, load_samplers

    fitted = load_samplers(zpoints / SAMPLERS_FILE, z_dim=pretrained.z_dim)
    name, factor = fitted.chosen(sampler, temperature)
    z = draw(fitted, name, rows * columns, seed=seed, temperature=factor)
    _save_grid(pretrained.decode(z), out, rows=rows, columns=columns)
    click.echo(f"drawn from {name}, temperature {factor:g}")


@cli.command()
@click.argument("photos", nargs=-1, required=True, type=_EXISTING_FILE)
@model_option
@out_option("reconstructions.png")
def reconstruct(photos: tuple[Path, ...], model: Path, out: Path) -> None:
    """Encode photos and decode them again; the reconstruction stands below its photo.

    A photo should show a face as CelebA does: upright, in the middle, filling half the height.
    """
    _check_out(out, inputs=photos)
    pretrained = _load(model)
    images = _read_photos(photos, pretrained)
    mu, _ = pretrained.encode(images)
    from celeba_vae.plots.grids import alternate_rows

    columns = len(photos)
    pairs = alternate_rows(images, pretrained.decode(mu), columns=columns)
    _save_grid(pairs, out, rows=2, columns=columns)


@cli.command()
@click.argument("photo_a", type=_EXISTING_FILE)
@click.argument("photo_b", type=_EXISTING_FILE)
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
    _check_out(out, inputs=(photo_a, photo_b))
    pretrained = _load(model)
    mu, _ = pretrained.encode(_read_photos((photo_a, photo_b), pretrained))
    from celeba_vae.latent.interpolation import interpolate

    (walk,) = interpolate(mu[:1], mu[1:], steps=steps)
    _save_grid(pretrained.decode(walk), out, rows=1, columns=steps)


@cli.command()
@click.argument("photo", type=_EXISTING_FILE)
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
    _check_out(out, inputs=(photo,))
    if len(attributes) != len(amounts):
        raise UserError(
            f"{len(attributes)} --attribute and {len(amounts)} --by: give one --by for each "
            "--attribute, in the same order"
        )
    pretrained = _load(model)
    from celeba_vae.latent.directions import DIRECTIONS_FILE, load_directions, total_push

    known = load_directions(directions / DIRECTIONS_FILE, z_dim=pretrained.z_dim)
    push = total_push(known, list(zip(attributes, amounts, strict=True)))
    image = _read_photos((photo,), pretrained)
    mu, _ = pretrained.encode(image)
    import numpy as np

    faces = pretrained.decode(np.concatenate([mu, mu + push]))
    _save_grid(np.concatenate([image, faces]), out, rows=1, columns=3)


@cli.command()
@click.argument("runs", nargs=-1, required=True)
@click.option(
    "--columns",
    type=click.IntRange(1, 100),
    default=10,
    show_default=True,
    help="Faces of each kind and run.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 2),
    default=1,
    show_default=True,
    help="Seed of the z-points, the same for all runs.",
)
@out_option("compared.png")
def compare(runs: tuple[str, ...], columns: int, seed: int, out: Path) -> None:
    """Show faces of several runs: from N(0, I), and from where each run's z-points lie.

    A run is the name of a DVC experiment or a Git revision, whose results are read from DVC's
    cache, or `workspace`, what lies in data/ now:

    celeba-vae compare workspace my-experiment main
    """
    _check_out(out)
    from tempfile import TemporaryDirectory

    from celeba_vae.generate.comparison import compare_faces, fetch_run

    with TemporaryDirectory() as folder:
        folders = {run: fetch_run(run, Path(folder) / str(n)) for n, run in enumerate(runs)}
        _save(out, compare_faces(folders, columns=columns, seed=seed))


@cli.command()
@folder_option("--shards", "data/shards", "Folder of the shards.")
@out_option("contact_sheet.png")
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    default=1,
    show_default=True,
    help="Seed of the choice of images.",
)
@click.option("--verify", is_flag=True, help="First check every shard against the manifest.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
def inspect(shards: Path, out: Path, seed: int, verify: bool, as_json: bool) -> None:
    """Describe the shards, and show some of their images on a contact sheet.

    Counts of images and attributes by split, mean and standard deviation of the channels in grey
    levels from 0 to 255. With --verify, a damaged shard ends it with status 1.
    """
    _check_out(out)
    from celeba_vae.shards.inspect import check_shards, contact_sheet, describe, summarize

    if verify:
        check_shards(shards)
    report = summarize(shards)
    click.echo(json.dumps(report, indent=2) if as_json else describe(report))
    _save(out, contact_sheet(shards, seed=seed), err=as_json)


@cli.command()
@click.option("--record", is_flag=True, help="Write this machine to data/machine.json.")
def machine(record: bool) -> None:
    """Compare this machine with the one that made dvc.lock.

    Parameters, data and code decide the results; versions of libraries, the processor's
    instructions and the device decide their last bits. Run it with --record before you commit a
    new dvc.lock.
    """
    from celeba_vae.machine import MACHINE_FILE, differences, read_machine
    from celeba_vae.runtime.files import write_json

    here = _this_machine()
    if record:
        write_json(MACHINE_FILE, here)
        click.echo(f"wrote {MACHINE_FILE}")
        return
    click.echo(json.dumps(here, indent=2))
    differing = differences(read_machine(), here)
    for line in differing:
        click.echo(f"differs: {line}")
    if not differing:
        click.echo(f"the same as in {MACHINE_FILE}: the same bytes can be expected")


@cli.command()
@_set_param
@click.option(
    "--sweep",
    is_flag=True,
    help="Measure the extra Dense layer, z_dim, levels, strides, batch sizes and what saves "
    "memory as well, each twice: ten to fifteen minutes on 2 cores.",
)
@click.option(
    "--memory",
    "limits",
    multiple=True,
    type=Real(0.1, 10_000),
    default=(2, 4, 8, 24),
    show_default=True,
    help="Gigabytes for which to find the largest batch; may be given several times.",
)
@click.option(
    "--steps",
    type=click.IntRange(1, 1000),
    default=8,
    show_default=True,
    help="Steps of training to time for each configuration.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("data/results"),
    show_default=True,
    help="Folder for profile.md and profile.png.",
)
def profile(
    overrides: tuple[str, ...], sweep: bool, limits: tuple[float, ...], steps: int, out: Path
) -> None:
    """Measure the memory and time of a training step, and find the largest batch that fits.

    Counts bytes from the shapes, and times steps on random images, each configuration in a process
    of its own. No model is kept.
    """
    from celeba_vae.machine import device, processor
    from celeba_vae.profiling.cases import BATCHES, current_cases, sweep_cases
    from celeba_vae.profiling.page import write_profile
    from celeba_vae.profiling.run import largest_batches, measure_cases
    from celeba_vae.runtime.processes import available_bytes

    check_outside(out, "--out")
    cases = sweep_cases(overrides) if sweep else current_cases(overrides)
    rows = measure_cases(cases, steps=steps, rounds=2 if sweep else 1)
    sizes = [row for row in rows if row.case.group == BATCHES] if sweep else rows
    fits = largest_batches(sizes, [1e9 * limit for limit in limits], free=available_bytes())
    words = f"{processor()}, {device()}"
    click.echo(f"wrote {write_profile(out, rows, fits, machine=words)}")


@cli.command()
@click.option("--quick", is_flag=True, help="Run tiny parameters twice: under 3 minutes.")
@click.option("--consistency", is_flag=True, help="Check only what needs no run: seconds.")
@click.option(
    "--results",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the pictures, the report and the metrics of the reproduction.",
)
def verify(quick: bool, consistency: bool, results: Path | None) -> None:
    """Prove that the committed state gives its committed results again, from nothing.

    First what needs no run: dvc.lock agrees with dvc.yaml, params.yaml and the code; deps are
    complete; README.md and docs/ state the values of the committed JSON files; params.yaml
    survives `-S`; and requirements.lock is what is installed. Then the stages are run in an empty
    clone of the commit, without any cache, and their results compared with dvc.lock: every byte
    must be the same. Only with native instructions, on another kind of machine than made dvc.lock,
    is that asked of the archive and the shards alone; a second run must repeat the first, and
    metrics must agree within a tolerance. It ends with a table and a verdict; where that is no,
    with status 1.
    """
    from celeba_vae.verify.consistency import find_inconsistencies

    if quick and consistency:
        raise UserError("--quick and --consistency: give one of them")
    findings = find_inconsistencies(Path())
    for finding in findings:
        click.echo(finding, err=True)
    if findings:
        raise UserError(f"inconsistent: {len(findings)} findings")
    click.echo("consistent: dvc.lock, dvc.yaml, params.yaml, code, pages and requirements")
    if consistency:
        return
    if results:
        check_outside(results, "--results", above=True)
        _make_folder(results)
    from celeba_vae.verify import run as gate

    if quick:
        click.echo(gate.verify_quickly(Path(), results=results))
        return
    click.echo(gate.verify(Path(), _this_machine(), results=results))


@cli.command()
def summary() -> None:
    """List where the pictures and metrics of the last run are, with the few that matter most."""
    from celeba_vae.report.metrics import read_metrics

    metrics = read_metrics(Path("data/metrics"))
    text = _summary(
        metrics["train"],
        metrics["zpoints"]["validation"],
        metrics["generate"],
        metrics["evaluate"],
    )
    click.echo(text)


def _summary(
    train: dict[str, Any],
    zpoints: dict[str, Any],
    quality: dict[str, Any],
    evaluate: dict[str, Any],
) -> str:
    from celeba_vae.report.metrics import NO_FACES, REAL

    # The plain autoencoder has no KL loss.
    kl = f", KL loss {train['val_kl']:.1f} nats per image" if "kl_nats_per_image" in zpoints else ""
    likelihood, compared = evaluate.get("likelihood"), evaluate["samples"]
    bits = f"{likelihood['bound_bits_per_dimension']:.2f} bits a value" if likelihood else "none"
    distances = ", ".join(
        f"{compared[name]['swd']:.0f} from {name}"
        for name in compared
        if name not in (*NO_FACES, *REAL)
    )
    return f"""
Report
  data/report/report.html  all of the run on one page: open it in a browser

Pictures
  data/samples/            overview.png; faces from random z-points, reconstructions, interpolations
  data/zpoints/plots/      where the z-points lie
  data/evaluation/plots/   best and worst reconstructions, training faces nearest to drawn ones
  dvc plots show           all of them and the learning curves, as one page

Metrics (data/metrics/*.json; `dvc metrics show`), on the validation images
  Encoder, Decoder         {train["encoder_parameters"]:,} and \
{train["decoder_parameters"]:,} parameters
  reconstruction loss      {train["val_reconstruction"]:.0f} nats per image{kl}
  reconstructions          {quality["psnr_db_mean"]:.1f} dB PSNR, {quality["ssim_mean"]:.3f} SSIM
  |z|                      {zpoints["z_radius_mean"]:.2f} +- {zpoints["z_radius_std"]:.2f}; \
points of N(0, I): {zpoints["chi_mean"]:.2f} +- {zpoints["chi_std"]:.2f}
On the test images
  likelihood               {bits}
  patches of drawn faces   {distances}; of other real faces: {compared["validation"]["swd"]:.0f}
                           (sliced Wasserstein distance, times 1000)
"""


def _this_machine() -> dict[str, Any]:
    from celeba_vae.backend import configure_tensorflow
    from celeba_vae.machine import describe_machine
    from celeba_vae.params import load_params

    params = load_params()
    configure_tensorflow(params.threads, params.instructions)
    return describe_machine(params.threads, params.instructions)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--results {folder}: cannot be made: {reason_of(error)}") from None


def _load(model: Path) -> "Pretrained":
    from celeba_vae.model.pretrained import load

    return load(model)


def _read_photos(photos: tuple[Path, ...], pretrained: "Pretrained") -> "np.ndarray":
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


def _check_out(out: Path, inputs: tuple[Path, ...] = ()) -> None:
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


def _save_grid(images: "np.ndarray", out: Path, *, rows: int, columns: int) -> None:
    from celeba_vae.plots.grids import image_grid

    _save(out, image_grid(images, rows=rows, columns=columns))


def _save(out: Path, picture: "np.ndarray", *, err: bool = False) -> None:
    from celeba_vae.plots.grids import png
    from celeba_vae.runtime.files import write_bytes

    try:
        write_bytes(out, png(picture))
    except OSError as error:
        raise UserError(f"--out {out}: cannot be written: {reason_of(error)}") from None
    click.echo(f"wrote {out}", err=err)


if __name__ == "__main__":
    main()
