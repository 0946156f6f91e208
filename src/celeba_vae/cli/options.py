"""The options and kinds of values that several commands share."""

import math
from pathlib import Path
from typing import Any

import click

EXISTING_FILE = click.Path(path_type=Path, dir_okay=False)


class Real(click.FloatRange):
    """A range of numbers; click's own lets NaN through, which no bound refuses."""

    name = "number"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number, or end with click's message."""
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value} is not a number.", param, ctx)
        return number


def push(word: str) -> tuple[str, float]:
    """Return the attribute and the steps of a word such as Eyeglasses=2."""
    name, equals, steps = word.rpartition("=")
    if not (name and equals):
        raise click.BadParameter(f"{word} is not like Eyeglasses=2.")
    return name, Real(-100, 100).convert(steps, None, None)


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

scale_option = click.option(
    "--scale",
    type=click.IntRange(1, 8),
    help="Show faces so many times larger. Without it, at least 192 pixels wide.",
)


def columns_option(description: str) -> Any:
    """Return the option that says how many faces stand in a row."""
    return click.option(
        "--columns",
        type=click.IntRange(1, 100),
        default=10,
        show_default=True,
        help=description,
    )


def seed_option(description: str) -> Any:
    """Return the option for the seed of what is drawn at random."""
    return click.option(
        "--seed",
        type=click.IntRange(0, 2**32 - 2),
        default=1,
        show_default=True,
        help=description,
    )


def out_option(name: str, kinds: str = "PNG or JPEG") -> Any:
    """Return the option that names the picture to write, by default in git's ignored results."""
    return click.option(
        "--out",
        type=click.Path(path_type=Path, dir_okay=False),
        default=Path("data/results", name),
        show_default=True,
        help=f"File to write, {kinds} by its ending; an older one of that name is replaced.",
    )
