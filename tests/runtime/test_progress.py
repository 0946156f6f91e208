"""Progress bars where nobody sees them move: in a log."""

import io
import sys
import time

import pytest

from celeba_vae.runtime.progress import progress_bar


def test_a_log_gets_a_line_of_what_takes_long_and_none_of_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    with progress_bar(5, label="short", unit="images") as bar:
        bar.update(5)
    with progress_bar(8, label="train", unit="steps", done=2) as bar:
        bar.start_t = bar.last_print_t = time.time() - 11  # as if it had begun so long ago
        bar.set_postfix_str("epoch 1", refresh=False)
        bar.update(3)
        bar.update(3)  # at once, so that only the end shows it
    first, second, end = log.getvalue().split("\n")
    assert first.startswith("train: 5/8 [00:11<")
    assert first.endswith(" steps/s, epoch 1]")
    assert second.startswith("train: 8/8 [00:11<00:00")
    assert end == ""
