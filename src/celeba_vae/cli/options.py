"""The options and kinds of values that several commands share."""

import math
from pathlib import Path
from typing import Any

import click

EXISTING_FILE = click.Path(path_type=Path, dir_okay=False)


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


set_param = click.option(
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
