import pickle
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from celeba_vae.runtime.errors import UserError, printable


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
