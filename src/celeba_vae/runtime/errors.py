"""UserError: the exception for a mistake that a user can fix."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # It takes a tenth of a second, which `celeba-vae --help` need not spend.
    from pydantic import ValidationError


class UserError(Exception):
    """Something a user can fix; its text is one line: what is wrong, where, what is allowed.

    Stages and the command line print the text without a traceback and exit with status 1.
    Every other exception is a defect of this project and keeps its traceback.
    """


def first_problem(error: "ValidationError") -> str:
    """Return the first thing that pydantic found wrong in a file: its place and what it is."""
    first = error.errors(include_url=False)[0]
    place = ".".join(map(str, first["loc"]))
    return f"{place}: {first['msg']}" if place else first["msg"]
