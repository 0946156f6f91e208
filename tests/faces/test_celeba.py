import hashlib
import os
import random
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

import celeba_vae.faces.celeba
import stages.download
import stages.prepare
from celeba_vae.faces import layout
from celeba_vae.faces.celeba import OFFICIAL_FILES, fetch_dataset
from celeba_vae.faces.transfer import DriveFile, Mirror, OfficialFile, Patience
from celeba_vae.params import load_params
from celeba_vae.runtime.errors import UserError
from celeba_vae.shards.read import open_split
from tests.faces import misbehaving_server as server_that
from tests.faces.misbehaving_server import MisbehavingServer, serving
from tests.support import ROOT

QUICK = Patience(attempts=2, pause=0.01, longest_pause=0.05)
CONTENTS = {
    layout.PARTITION_FILE: b"000001.jpg 0\n",
    layout.ARCHIVE: random.Random(1).randbytes(200_000),
}

CHILD = """
import resource, sys
from pathlib import Path
from celeba_vae.runtime.errors import UserError
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
    commands = [line for line in lines if line.startswith("  dvc ")]
    assert commands == [
        "  dvc exp run --temp -S download.source=celeba -S download.path=/absolute/folder",
        "  dvc exp run --temp -S download.source=celeba -S download.url=https://host/folder",
        "  dvc exp run --temp -S download.source=local -S download.path=/absolute/folder",
    ]
    for command in commands:  # what it says is allowed
        load_params(ROOT / "params.yaml", re.findall(r"-S (\S+)", command))
    # Not even the file that came is there: a half-filled folder helps nobody.
    assert not (tmp_path / "raw").exists()


def test_own_disk_goes_before_own_server_goes_before_the_mirrors(tmp_path: Path) -> None:
    partition, _ = CONTENTS
    own_folder = tmp_path / "own"
    own_folder.mkdir()
    (own_folder / partition).write_bytes(CONTENTS[partition])
    with (
        serving({f"faces/{name}": content for name, content in CONTENTS.items()}) as own,
        serving(CONTENTS) as mirror,
    ):
        fetch_dataset(
            tmp_path / "raw",
            scratch=tmp_path / "x",
            path=own_folder,
            url=own.url("faces/"),
            files=the_files(mirror),
        )
        # What is missing in the folder came from the server, and nothing from the mirror.
        assert len(own.requests) == 1
        assert mirror.requests == []
        own.always = server_that.status(404)
        (own_folder / partition).unlink()
        fetch_dataset(
            tmp_path / "again",
            scratch=tmp_path / "x",
            path=own_folder,
            url=own.url("faces/"),
            files=the_files(mirror),
        )
        assert len(own.requests) == 2
        assert len(mirror.requests) == 1
    folder = contents_of(tmp_path / "raw")
    assert folder.pop(layout.SOURCE_FILE)
    assert folder == CONTENTS
    assert contents_of(tmp_path / "again") == contents_of(tmp_path / "raw")


def test_every_place_that_was_tried_is_named(tmp_path: Path) -> None:
    with serving(CONTENTS, always=server_that.status(403)) as own:
        with pytest.raises(UserError) as refused:
            fetch_dataset(
                tmp_path / "raw",
                scratch=tmp_path / "x",
                path=tmp_path / "absent",
                url=own.url("faces"),
                files=the_files(),
            )
        lines = str(refused.value).splitlines()
        assert lines[1:3] == [
            f"  download.path ({tmp_path / 'absent'}): there is no such file or folder",
            f"  download.url ({own.url('faces')}/list_eval_partition.txt): HTTP 403 Forbidden",
        ]


def test_what_was_fetched_can_be_prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stage with real parameters, where only the table of files is of this test."""
    monkeypatch.chdir(tmp_path)
    drawn = ["download.images=60", "prepare.size=16", "run.workers=1"]
    stages.download.download(load_params(ROOT / "params.yaml", drawn))
    contents = {file.name: Path("data/imported", file.name).read_bytes() for file in OFFICIAL_FILES}
    shutil.rmtree("data/imported")
    with serving(contents) as server:
        table = [
            OfficialFile(
                name,
                len(content),
                hashlib.sha256(content).hexdigest(),
                (Mirror("mirror", server.url(name)),),
            )
            for name, content in contents.items()
        ]
        table_only = partial(fetch_dataset, files=table)
        monkeypatch.setattr(celeba_vae.faces.celeba, "fetch_dataset", table_only)
        overrides = [*drawn, "download.source=celeba"]
        stages.download.download(load_params(ROOT / "params.yaml", overrides))
        assert len(server.requests) == len(contents)
        folder = contents_of(Path("data/imported"))
        shutil.rmtree("data/imported")  # as DVC does before it runs the stage again
        stages.download.download(load_params(ROOT / "params.yaml", overrides))
        assert len(server.requests) == len(contents)
        shutil.rmtree("data")
        own_folder = tmp_path / "own"
        own_folder.mkdir()
        (own_folder / layout.ARCHIVE).write_bytes(contents.pop(layout.ARCHIVE))
        with serving(contents) as own:
            overrides += [f"download.path={own_folder}", f"download.url={own.url('')}"]
            params = load_params(ROOT / "params.yaml", overrides)
            stages.download.download(params)
            assert len(own.requests) == len(contents)
        assert len(server.requests) == len(contents) + 1
    assert contents_of(Path("data/imported")) == folder
    stages.prepare.prepare(params)
    assert sum(len(open_split(Path("data/shards"), split)) for split in layout.SPLITS) == 60


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
        assert all(route.address.startswith("https://") for route in mirrors)
        assert len({route.address for route in file.routes}) == len(file.routes)
