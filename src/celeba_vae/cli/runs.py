"""The commands that show the results of runs: compare, summary."""

from pathlib import Path
from typing import Any

import click

from celeba_vae.cli.options import out_option
from celeba_vae.cli.pictures import check_out, save


@click.command(short_help="Compare runs: parameters, metrics and faces.")
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
    check_out(out)
    from tempfile import TemporaryDirectory

    from celeba_vae.generate.comparison import compare_faces, fetch_run

    with TemporaryDirectory() as folder:
        folders = {run: fetch_run(run, Path(folder) / str(n)) for n, run in enumerate(runs)}
        save(out, compare_faces(folders, columns=columns, seed=seed))


@click.command(short_help="The last run in short, and where its pictures lie.")
def summary() -> None:
    """List where the pictures and metrics of the last run are, with the few that matter most.

    celeba-vae summary
    """
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
