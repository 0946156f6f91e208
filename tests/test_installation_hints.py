"""Hints at what to install: this project is on no package index, so none may name it there."""

import re

import pytest

from tests.support import ROOT, succeed

# To install this name from an index would fetch what anyone has put there.
FROM_AN_INDEX = re.compile(r"pip install (\S+ )*[\"']?celeba[-_]vae")
# Unquoted brackets are a pattern of file names to some shells, such as zsh.
UNQUOTED = re.compile(r"pip install (-e |--editable )\.\[")


def hints() -> list[str]:
    """Return every line that tells how to install something, with the name of its file."""
    listed = succeed("git", "ls-files", "-co", "--exclude-standard", cwd=ROOT).splitlines()
    found = []
    for name in listed:
        path = ROOT / name
        if path.is_file() and not name.startswith("requirements"):
            text = path.read_text(encoding="utf-8", errors="replace")
            found += [f"{name}: {line}" for line in text.splitlines() if "pip install" in line]
    return found


def test_no_hint_names_a_package_on_an_index() -> None:
    lines = hints()
    assert any(line.startswith("params.yaml") for line in lines)
    assert [line for line in lines if FROM_AN_INDEX.search(line)] == []


def test_extras_are_quoted() -> None:
    assert [line for line in hints() if UNQUOTED.search(line)] == []


@pytest.mark.parametrize("options", ["", "--upgrade ", "-U "])
def test_a_package_on_an_index_is_found(options: str) -> None:
    for name in ("celeba-vae", "celeba_vae", "'celeba-vae[dask]'"):
        assert FROM_AN_INDEX.search("pip " + f"install {options}{name}")
    assert not FROM_AN_INDEX.search("pip install " + options + "-e '.[dask]'")
    assert UNQUOTED.search("pip " + "install -e .[dask]")
