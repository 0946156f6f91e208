"""Calls of git, DVC and pip, and what they say."""

import subprocess
from collections.abc import Mapping
from pathlib import Path


def call(
    *command: str, folder: Path, environment: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run a command in `folder` and keep what it prints.

    Args:
        command: program and arguments, of this package alone.
        folder: where it runs.
        environment: its environment; None for that of this process.
    """
    return subprocess.run(  # noqa: S603 (nothing in it comes from outside)
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def last_line(text: str) -> str:
    """Return the last line of what a tool said on stderr, which is mostly the reason."""
    return (text.strip().splitlines() or ["no reason given"])[-1]
