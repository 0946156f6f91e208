"""The commands that show the results of runs: compare, summary."""

from pathlib import Path

import click

from celeba_vae.cli.options import columns_option, out_option, scale_option, seed_option
from celeba_vae.cli.pictures import check_out, enlarge, save, scale_for
from celeba_vae.runtime.errors import UserError


@click.command(short_help="Compare runs: parameters, metrics and faces.")
@click.argument("runs", nargs=-1, required=True)
@columns_option("Faces of each kind and run.")
@seed_option("Seed of the z-points, the same for all runs.")
@scale_option
@out_option("compared.png")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, and make no picture.")
@click.option("--markdown", is_flag=True, help="Print Markdown, and make no picture.")
def compare(
    runs: tuple[str, ...],
    columns: int,
    seed: int,
    scale: int | None,
    out: Path,
    as_json: bool,
    markdown: bool,
) -> None:
    """Compare runs: parameters that differ, key metrics, faces.

    A run is the name of a DVC experiment or a Git revision, whose results are read from git and
    DVC's cache, or `workspace`, what lies in data/ now. Differences are from the first one. Runs
    that differ in train.seed alone become one column, with their mean and standard deviation; where
    the stages' code or the images differ, short hashes stand among the parameters. The picture has
    two rows of faces for each run, from the same noise: from N(0, I), and from where its z-points
    lie.

    celeba-vae compare baseline my-experiment workspace
    """
    if as_json and markdown:
        raise UserError("--json and --markdown: give one of them")
    for name in runs:
        if runs.count(name) > 1:
            raise UserError(f"{name}: is named twice")
    check_out(out)
    from tempfile import TemporaryDirectory

    from celeba_vae.comparison.runs import PARTS, check_made, fetch_run, read_run
    from celeba_vae.comparison.table import as_json as to_json
    from celeba_vae.comparison.table import as_markdown, as_text, compare_runs

    with TemporaryDirectory() as folder:
        places = {name: Path(folder) / str(n) for n, name in enumerate(runs)}
        read = [read_run(name, place) for name, place in places.items()]
        form = to_json if as_json else as_markdown if markdown else as_text
        click.echo(form(compare_runs(read)))
        if as_json or markdown:
            return
        fetched = {name: fetch_run(name, place, PARTS) for name, place in places.items()}
        for run in read:
            check_made(run, fetched[run.name], PARTS)
        click.echo("loading the models ...", err=True)
        from celeba_vae.comparison.faces import compare_faces
        from celeba_vae.plots.grids import labelled_grid

        faces, labels = compare_faces(fetched, columns=columns, seed=seed)
        factor = scale_for(len(faces), scale, size=faces.shape[1])
        save(out, labelled_grid(enlarge(faces, factor), columns=columns, labels=labels))


@click.command(short_help="The last run in short, and where its pictures lie.")
def summary() -> None:
    """Show the key metrics of the last run, where its pictures are, and what to do next.

    celeba-vae summary
    """
    from celeba_vae.comparison.summary import summarize

    click.echo(summarize())
