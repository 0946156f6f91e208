import hashlib
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from celeba_vae.errors import UserError
from celeba_vae.faces import layout
from celeba_vae.faces.celeba import OFFICIAL_FILES, fetch_dataset
from celeba_vae.faces.transfer import DriveFile, Mirror, OfficialFile, Patience
from tests.faces import misbehaving_server as server_that
from tests.faces.misbehaving_server import MisbehavingServer, serving

QUICK = Patience(attempts=2, pause=0.01, longest_pause=0.05)
CONTENTS = {
    layout.PARTITION_FILE: b"000001.jpg 0\n",
    layout.ARCHIVE: random.Random(1).randbytes(200_000),
}

CHILD = """
import resource, sys
from pathlib import Path
from celeba_vae.errors import UserError
from celeba_vae.faces.celeba import fetch_dataset
from celeba_vae.faces.transfer import OfficialFile
name, size, sha256, scratch, folder = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
files = [OfficialFile(name, int(size), sha256, ())]
try:
    fetch_dataset(Path(folder), scratch=Path(scratch), files=files)
except UserError as error:
    sys.exit(f"UserError: {error}")
"""


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


def the_files(*servers: MisbehavingServer) -> list[OfficialFile]:
    return [
        OfficialFile(
            name,
            len(content),
            hashlib.sha256(content).hexdigest(),
            tuple(Mirror(f"mirror {n}", server.url(name)) for n, server in enumerate(servers)),
        )
        for name, content in CONTENTS.items()
    ]


def contents_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_folder_does_not_depend_on_the_route(tmp_path: Path) -> None:
    with (
        serving(CONTENTS) as one,
        serving(CONTENTS, always=server_that.cut) as another,
        serving(CONTENTS, always=server_that.page) as bad,
    ):
        fetch_dataset(tmp_path / "a", scratch=tmp_path / "x", files=the_files(one))
        another.script = [server_that.good] * 9
        files = the_files(bad, another)
        fetch_dataset(tmp_path / "b", scratch=tmp_path / "y", files=files, patience=QUICK)
    folder = contents_of(tmp_path / "a")
    source = folder.pop(layout.SOURCE_FILE).decode()
    assert folder == CONTENTS
    assert contents_of(tmp_path / "b") == contents_of(tmp_path / "a")
    sha256 = hashlib.sha256(CONTENTS[layout.PARTITION_FILE]).hexdigest()
    assert source.startswith(
        '{\n  "source": "celeba",\n  "files": {\n    "list_eval_partition.txt": {\n'
        f'      "size": 13,\n      "sha256": "{sha256}"\n    }},\n'
    )


def test_an_emptied_folder_is_filled_again_without_a_download(tmp_path: Path) -> None:
    with serving(CONTENTS) as server:
        fetch_dataset(tmp_path / "raw", scratch=tmp_path / "x", files=the_files(server))
        before = contents_of(tmp_path / "raw")
        for path in (tmp_path / "raw").iterdir():
            path.unlink()
        fetch_dataset(tmp_path / "raw", scratch=tmp_path / "x", files=the_files(server))
        assert len(server.requests) == len(CONTENTS)
    assert contents_of(tmp_path / "raw") == before


def test_the_files_are_copies_which_may_be_changed(tmp_path: Path) -> None:
    with serving(CONTENTS) as server:
        for folder in ("a", "b"):
            fetch_dataset(tmp_path / folder, scratch=tmp_path / "x", files=the_files(server))
            (tmp_path / folder / layout.ARCHIVE).write_bytes(b"spoilt")
        assert len(server.requests) == len(CONTENTS)


def test_without_a_route_the_user_learns_all_reasons_and_the_way_by_hand(tmp_path: Path) -> None:
    with (
        serving(CONTENTS, [server_that.good], always=server_that.status(404)) as gone,
        serving(CONTENTS, always=server_that.garbage) as wrong,
    ):
        files = the_files(gone, wrong)
        with pytest.raises(UserError) as refused:
            fetch_dataset(tmp_path / "raw", scratch=tmp_path / "x", files=files, patience=QUICK)
    lines = str(refused.value).splitlines()
    assert lines[0] == "img_align_celeba.zip: no route gave the official file:"
    assert lines[1] == f"  mirror 0 ({gone.url(layout.ARCHIVE)}): HTTP 404 Not Found"
    assert "): the right size but wrong bytes: sha256 " in lines[2]
    for file in files:
        assert re.search(
            rf"^  {file.name} +{file.size} bytes  sha256 {file.sha256}$", "\n".join(lines), re.M
        )
    assert lines[-1] == ("  dvc exp run -S download.source=local -S download.path=/absolute/folder")
    # Not even the file that came is there: a half-filled folder helps nobody.
    assert not (tmp_path / "raw").exists()


def test_a_copy_too_large_for_the_disk_is_one_line(tmp_path: Path) -> None:
    with serving(CONTENTS) as server:
        fetch_dataset(tmp_path / "a", scratch=tmp_path / "x", files=the_files(server))
    archive = the_files()[1]
    child = subprocess.run(
        [
            sys.executable,
            "-c",
            CHILD,
            *(archive.name, str(archive.size), archive.sha256),
            *(str(tmp_path / "x"), str(tmp_path / "b")),
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert child.returncode == 1
    assert child.stderr == (
        f"UserError: img_align_celeba.zip (200000 bytes) cannot be copied to {tmp_path / 'b'}: "
        "File too large\n"
    )
    assert list((tmp_path / "b").iterdir()) == []


def test_the_table_of_official_files() -> None:
    assert {file.name for file in OFFICIAL_FILES} == {
        layout.ARCHIVE,
        layout.ATTRIBUTES_FILE,
        layout.PARTITION_FILE,
        layout.IDENTITY_FILE,
    }
    assert OFFICIAL_FILES[-1].name == layout.ARCHIVE
    assert len({file.sha256 for file in OFFICIAL_FILES}) == len(OFFICIAL_FILES)
    for file in OFFICIAL_FILES:
        assert re.fullmatch("[0-9a-f]{64}", file.sha256)
        *mirrors, last = file.routes
        assert isinstance(last, DriveFile)
        assert mirrors
        assert all(route.url.startswith("https://") for route in mirrors)
        assert len({route.url for route in file.routes}) == len(file.routes)
