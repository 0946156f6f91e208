"""Damage to files, as disks, people and other programs do it, for tests that inject it."""

import os
from collections.abc import Callable
from pathlib import Path

from hypothesis import strategies as st


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """Give `content` with bytes flipped, cut out, put in or repeated at any place."""
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(content)))
        length = draw(st.integers(1, 40))
        kind = draw(st.sampled_from(["flip", "replace", "cut", "insert", "truncate", "repeat"]))
        before, after = content[:place], content[place:]
        match kind:
            case "flip" if after:
                content = before + bytes([after[0] ^ 1 << draw(st.integers(0, 7))]) + after[1:]
            case "replace":
                content = before + draw(st.binary(max_size=length)) + after[length:]
            case "cut":
                content = before + after[length:]
            case "insert":
                content = before + draw(st.binary(max_size=length)) + after
            case "truncate":
                content = before
            case _:
                content = before + after[:length] + after
    return content


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _link(target: str) -> Callable[[Path], None]:
    def replace(path: Path) -> None:
        path.unlink()
        path.symlink_to(target)

    return replace


def _sparse(path: Path) -> None:
    os.truncate(path, 2**43)


# What may lie under the name of a file instead of it, by what is found.
REPLACEMENTS: dict[str, Callable[[Path], None]] = {
    "missing": Path.unlink,
    "pipe": _pipe,
    "folder": _folder,
    "endless": _link("/dev/zero"),
    "dangling": _link("/nowhere"),
    "empty": lambda path: os.truncate(path, 0),
    "terabytes": _sparse,
}
