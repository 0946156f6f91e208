"""The commands on parameters, shards, machine and proof: parameters, inspect, profile, verify."""

import json
from pathlib import Path
from typing import Any

import click

from celeba_vae.cli.options import Real, folder_option, out_option, set_param
from celeba_vae.cli.pictures import check_out, save
from celeba_vae.runtime.errors import UserError, reason_of
from celeba_vae.runtime.places import check_outside


@click.command(short_help="Check params.yaml and count the model's parameters.")
@set_param
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def parameters(overrides: tuple[str, ...], as_json: bool) -> None:
    """Check params.yaml and count the model's parameters, layer by layer.

    The numbers are those of the Keras model that `train` would build; what this machine has no
    memory to train is refused.

    celeba-vae parameters -S model.inter_dense=256
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

    click.echo("building the model ...", err=True)
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


@click.command(short_help="Describe the prepared images, with a sheet of some of them.")
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

    celeba-vae inspect --verify
    """
    check_out(out)
    from celeba_vae.shards.inspect import check_shards, contact_sheet, describe, summarize

    if verify:
        check_shards(shards)
    report = summarize(shards)
    click.echo(json.dumps(report, indent=2) if as_json else describe(report))
    save(out, contact_sheet(shards, seed=seed), err=as_json)


@click.command(short_help="Compare this machine with the one that made dvc.lock.")
@click.option("--record", is_flag=True, help="Write this machine to data/machine.json.")
def machine(record: bool) -> None:
    """Compare this machine with the one that made dvc.lock.

    Parameters, data and code decide the results; versions of libraries, the processor's
    instructions and the device decide their last bits. Run it with --record before you commit a
    new dvc.lock.

    celeba-vae machine
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


@click.command(short_help="Measure memory and time of a training step.")
@set_param
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

    celeba-vae profile -S model.inter_dense=256 --memory 4
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


@click.command(short_help="Prove that the commit gives its results again.")
@click.option("--quick", is_flag=True, help="Run tiny parameters twice: under 3 minutes.")
@click.option(
    "--emulate",
    metavar="PROCESSOR",
    help="With --quick: run the second time on another processor, such as EPYC-Milan or Haswell, "
    "which qemu-x86_64 emulates: its stages take a quarter of an hour.",
)
@click.option("--consistency", is_flag=True, help="Check only what needs no run: seconds.")
@click.option(
    "--results",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the pictures, the report and the metrics of the reproduction.",
)
def verify(quick: bool, emulate: str | None, consistency: bool, results: Path | None) -> None:
    """Prove that the committed state gives its committed results again, from nothing.

    First what needs no run: dvc.lock agrees with dvc.yaml, params.yaml and the code; deps are
    complete; README.md and docs/ state the values of the committed JSON files; params.yaml
    survives `-S`; and requirements.lock is what is installed. Then the stages are run in an empty
    clone of the commit, without any cache, and their results compared with dvc.lock: every byte
    must be the same. Only with native instructions, on another kind of machine than made dvc.lock,
    is that asked of the archive and the shards alone; a second run must repeat the first, and
    metrics must agree within a tolerance. It ends with a table and a verdict; where that is no,
    with status 1.

    celeba-vae verify --quick
    """
    from celeba_vae.verify.consistency import find_inconsistencies

    if quick and consistency:
        raise UserError("--quick and --consistency: give one of them")
    if emulate is not None:
        from celeba_vae.verify.reproduce import check_emulator

        if not quick:
            raise UserError("--emulate: goes with --quick, for emulation is slow")
        check_emulator(emulate)
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
        click.echo(gate.verify_quickly(Path(), emulated=emulate, results=results))
        return
    click.echo(gate.verify(Path(), _this_machine(), results=results))


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
