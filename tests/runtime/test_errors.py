import pickle
import unicodedata
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeba_vae.latent.stored import load_mu
from celeba_vae.machine import read_machine
from celeba_vae.runtime.errors import UserError, printable, reason_of


def test_what_a_terminal_would_obey_is_written_out() -> None:
    forged = "a.jpg\nerror: all is lost\r\x1b[2J\u202egpj.\u200b\udcff"
    assert printable(forged) == (r"a.jpg\nerror: all is lost\r\x1b[2J\u202egpj.\u200b\udcff")
    assert printable("Größe 顔 😀.jpg") == "Größe 顔 😀.jpg"


@given(st.text(st.characters(exclude_categories=())))
def test_any_text_becomes_one_visible_line(text: str) -> None:
    shown = printable(text)
    assert shown.encode("utf-8").decode("utf-8") == shown
    assert len(shown.splitlines()) <= 1
    assert not {unicodedata.category(letter) for letter in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert printable(shown) == shown


@given(st.lists(st.text(st.characters(exclude_categories=())), min_size=1, max_size=4))
def test_an_error_has_as_many_lines_as_it_was_given(lines: list[str]) -> None:
    error = UserError(*lines)
    assert str(error).split("\n") == [printable(line) for line in lines]
    # As it comes back from a worker process.
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (FileNotFoundError(2, "No such file or directory", "a.npy"), "No such file or directory"),
        (OSError("truncated\nfile"), "truncated file"),
        (zipfile.BadZipFile("File is not a zip file"), "File is not a zip file"),
        (ValueError(), "ValueError"),
        (OSError(), "OSError"),
    ],
)
def test_a_reason_is_one_line_without_a_path(error: Exception, reason: str) -> None:
    assert reason_of(error) == reason


def test_a_message_names_a_path_once(tmp_path: Path) -> None:
    folder = tmp_path / "machine.json"
    folder.mkdir()
    with pytest.raises(UserError) as caught:
        load_mu(tmp_path, "train", images=1, z_dim=1)
    assert str(caught.value) == f"{tmp_path}/train_mu.npy: no such file; run `dvc repro zpoints`"
    with pytest.raises(UserError) as caught:
        read_machine(folder)
    assert str(caught.value) == (
        f"{folder}: is a folder, not a file; `celeba-vae machine --record` writes it for this "
        "machine"
    )
