import json

import pytest

from celeba_vae.params import load_params
from celeba_vae.runtime.errors import UserError
from tests.support import ROOT

PARAMS = ROOT / "params.yaml"
CELEBA = "download.source=celeba"
LOCAL = "download.source=local"


def message(*overrides: str) -> str:
    with pytest.raises(UserError) as caught:
        load_params(PARAMS, overrides)
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize(
    "overrides",
    [
        [CELEBA],
        [CELEBA, "download.path=/data/celeba"],
        [CELEBA, "download.url=https://example.org"],
        [CELEBA, "download.url=http://localhost:8000/"],
        [CELEBA, "download.url=http://[::1]:8000/a/b%20c/"],
        [CELEBA, "download.path=/data/celeba", "download.url=https://example.org/celeba"],
        [LOCAL, "download.path=/data/faces.zip"],
    ],
)
def test_places_that_fit_the_source_are_read(overrides: list[str]) -> None:
    group = load_params(PARAMS, overrides).download
    given = dict(override.split("=") for override in overrides)
    assert group.source == given["download.source"]
    assert group.path == given.get("download.path")
    assert group.url == given.get("download.url")


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["download.path=/x"], "download.source is synthetic: set download.source=local or celeba"),
        (["download.url=http://x"], "download.source is synthetic: set download.source=celeba"),
        (
            [LOCAL, "download.path=/x", "download.url=http://x"],
            "download.url is given, but download.source is local: set download.source=celeba",
        ),
        ([LOCAL], "download.path is empty, but download.source is local"),
        ([LOCAL, "download.path=x"], "download.path: 'x' is relative: give an absolute path"),
        ([CELEBA, "download.path=x"], "download.path: 'x' is relative: give an absolute path"),
        ([CELEBA, "download.path=~/x"], "download.path: '~/x' is relative"),
        ([CELEBA, "download.path=''"], "download.path: '' is relative"),
        ([CELEBA, "download.path=3"], "download.path = 3: input should be a valid string"),
        ([CELEBA, "download.url=3"], "download.url = 3: input should be a valid string"),
    ],
)
def test_places_that_do_not_fit_are_refused_in_one_line(
    overrides: list[str], expected: str
) -> None:
    assert expected in message(*overrides)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org/celeba",
        "/data/celeba",
        "ftp://example.org/celeba",
        "file:///data/celeba",
        "https://",
        "https:///celeba",
        "https://example.org/celeba?dl=1",
        "https://example.org/celeba#top",
        "https://example.org/a b",
        "https://example.org/celeba\n",
    ],
)
def test_what_is_no_address_of_a_folder_is_refused_in_one_line(url: str) -> None:
    text = message(CELEBA, f"download.url={json.dumps(url)}")
    assert "is not the address of a folder: give http(s)://host/folder" in text


@pytest.mark.parametrize("source", ["celeba", "local", "synthetic"])
@pytest.mark.parametrize(
    "url",
    [
        "https://me:s3cret@example.org/celeba",
        "https://me:s3/cret@example.org/celeba",
        "me:s3cret@example.org",
        "ftp://me:s3cret@example.org/x?y",
        "//s3cret@example.org",
    ],
)
def test_a_password_is_refused_and_never_shown(source: str, url: str) -> None:
    path = ["download.path=/x"] if source == "local" else []
    text = message(f"download.source={source}", *path, f"download.url={url}")
    assert "into ~/.netrc (chmod 600)" in text
    assert "cret" not in text
    assert "cret" not in message(f"download.ulr={url}")
