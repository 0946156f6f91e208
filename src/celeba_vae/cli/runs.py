"""The commands that show the results of runs: compare, summary."""

from pathlib import Path
from typing import Any

import click

from celeba_vae.cli.options import out_option
from celeba_vae.cli.pictures import check_out, save
from celeba_vae.runtime.errors import UserError


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
@out_option("data/results/compared.png")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, and make no picture.")
@click.option("--markdown", is_flag=True, help="Print Markdown, and make no picture.")
def compare(
    runs: tuple[str, ...], columns: int, seed: int, out: Path, as_json: bool, markdown: bool
) -> None:
    """Compare runs: parameters that differ, key metrics, faces.

    A run is the name of a DVC experiment or a Git revision, whose results are read from git and
    DVC's cache, or `workspace`, what lies in data/ now:

    celeba-vae compare baseline my-experiment workspace

    Differences are from the first one. Runs that differ in train.seed alone become one column,
    with their mean and standard deviation. The picture has two rows of faces for each run, from the
    same noise: from N(0, I), and from where its z-points lie.
    """
    if as_json and markdown:
        raise UserError("--json and --markdown: give one of them")
    check_out(out)
    from tempfile import TemporaryDirectory

    from celeba_vae.comparison.runs import fetch_run, read_run
    from celeba_vae.comparison.table import as_json as to_json
    from celeba_vae.comparison.table import as_markdown, as_text, compare_runs

    with TemporaryDirectory() as folder:
        places = {run: Path(folder) / str(n) for n, run in enumerate(dict.fromkeys(runs))}
        comparison = compare_runs([read_run(run, place) for run, place in places.items()])
        form = to_json if as_json else as_markdown if markdown else as_text
        click.echo(form(comparison))
        if as_json or markdown:
            return
        from celeba_vae.comparison.faces import PARTS, compare_faces

        fetched = {run: fetch_run(run, place, PARTS) for run, place in places.items()}
        save(out, compare_faces(fetched, columns=columns, seed=seed))


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
