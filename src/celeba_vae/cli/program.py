"""The command line `celeba-vae`: parameters, use of a trained model, summary and verification."""

import click

from celeba_vae.cli import faces, project, runs
from celeba_vae.runtime.ending import ending_in_one_line
from celeba_vae.runtime.switches import set_switches


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="The pipeline itself is run by DVC: `dvc repro`, "
    "`dvc exp run --temp -S model.inter_dense=256`.",
)
@click.version_option(package_name="celeba-vae")
def cli() -> None:
    """A reproducible laboratory for convolutional VAEs on face images."""
    set_switches("avx2")


def main() -> None:
    """Run the command line; a user's mistake ends with one line and status 1."""
    with ending_in_one_line():
        cli(prog_name="celeba-vae")


for _command in (
    project.parameters,
    faces.sample,
    faces.reconstruct,
    faces.morph,
    faces.edit,
    runs.compare,
    project.inspect,
    project.machine,
    project.profile,
    project.verify,
    runs.summary,
):
    cli.add_command(_command)
