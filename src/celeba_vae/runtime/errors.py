"""UserError: the exception for a mistake that a user can fix; errors and foreign text in words."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # It takes a tenth of a second, which `celeba-vae --help` need not spend.
    from pydantic import ValidationError


class UserError(Exception):
    """Something a user can fix; its text is one line: what is wrong, where, what is allowed.

    Stages and the command line print the text without a traceback and exit with status 1.
    Every other exception is a defect of this project and keeps its traceback.

    Args:
        lines: the line; where one is not enough, each as an argument of its own. Whatever names
            and texts of others are in them, each of them stays one line, see `printable`.
    """

    def __init__(self, *lines: str) -> None:
        super().__init__(*lines)

    def __str__(self) -> str:
        """Return the lines as they are printed."""
        return "\n".join(map(printable, self.args))


def printable(text: str) -> str:
    r"""Return a text in which what a terminal would obey, or nobody would see, is written out.

    For everything that is not ours: names of files and of columns, what servers say. Line breaks
    become `\n`, the escape character `\x1b`, a mark that turns the direction of writing `\u202e`,
    and a byte of a name that is no text `\udcff`.
    """
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii")
        for letter in text
    )


def reason_of(error: BaseException) -> str:
    """Return why something failed, in one line: `No such file or directory`, without the path.

    For messages that name the path already, as Python's own text of an OSError would again.
    """
    text = error.strerror if isinstance(error, OSError) else None
    return " ".join((text or str(error)).split()) or type(error).__name__


def first_problem(error: "ValidationError") -> str:
    """Return the first thing that pydantic found wrong in a file: its place and what it is."""
    first = error.errors(include_url=False)[0]
    place = ".".join(map(str, first["loc"]))
    return f"{place}: {first['msg']}" if place else first["msg"]
