"""What a built page would fetch from a network is found."""

from pathlib import Path

import pytest

from docs.generator.offline import fetched_from_networks


@pytest.mark.parametrize(
    "line",
    [
        '<script src="https://cdn.example/a.js"></script>',
        "<img alt='x' src=//example.org/a.png>",
        '<link rel="stylesheet" href="https://fonts.example/css" />',
        "@import 'https://fonts.example/css';",
        "a { background: url(http://example.org/a.png) }",
    ],
)
def test_a_request_is_found(line: str, tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner/page.html").write_text(f"<p>\n{line}\n")
    assert len(fetched_from_networks(tmp_path)) == 1


def test_own_files_and_links_to_follow_are_none(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(
        '<script src="../_static/a.js"></script><a href="https://dvc.org">DVC</a>'
        '<link rel="canonical" href="https://example.org/"/><img src="data:image/png;base64,//A"/>'
        '<svg xmlns="http://www.w3.org/2000/svg"></svg>'
    )
    (tmp_path / "a.css").write_text("a { background: url('data:image/svg+xml;//') }")
    assert fetched_from_networks(tmp_path) == []
