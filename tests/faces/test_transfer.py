import hashlib
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from celeba_vae.errors import UserError
from celeba_vae.faces.transfer import (
    DriveFile,
    Mirror,
    OfficialFile,
    Patience,
    Refused,
    fetch_file,
)
from tests.faces import misbehaving_server as server_that
from tests.faces.misbehaving_server import Behaviour, MisbehavingServer, serving

CONTENT = random.Random(1).randbytes(400_000)
OTHER = random.Random(2).randbytes(400_000)
# A stall of a second cannot happen to an honest server on this machine, however busy.
QUICK = Patience(
    connect=2, stall=1, window=0.5, minimum_rate=1000, attempts=2, pause=0.01, longest_pause=0.05
)

GIVEN_UP = "; given up after 2 attempts"

CHILD = """
import resource, sys
from pathlib import Path
from celeba_vae.errors import UserError
from celeba_vae.faces.transfer import Mirror, OfficialFile, Patience, fetch_file
url, size, sha256, scratch, limit = sys.argv[1:]
if int(limit):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
file = OfficialFile("faces.zip", int(size), sha256, (Mirror("mirror", url),))
try:
    print(fetch_file(file, scratch=Path(scratch), patience=Patience(stall=60)))
except UserError as error:
    sys.exit(f"UserError: {error}")
"""


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


def the_file(*servers: MisbehavingServer, content: bytes = CONTENT) -> OfficialFile:
    routes = tuple(
        Mirror(f"mirror {number}", server.url("faces.zip"))
        for number, server in enumerate(servers, start=1)
    )
    return OfficialFile("faces.zip", len(content), hashlib.sha256(content).hexdigest(), routes)


def start_child(server: MisbehavingServer, scratch: Path, limit: int = 0) -> subprocess.Popen[str]:
    file = the_file(server)
    arguments = [server.url("faces.zip"), str(file.size), file.sha256, str(scratch), str(limit)]
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def only_the_file_is_left(scratch: Path) -> bool:
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    return {path.name for path in scratch.iterdir()} == {sha256, f"{sha256}.lock"}


def nothing_is_verified(scratch: Path) -> bool:
    return not (scratch / hashlib.sha256(CONTENT).hexdigest()).exists()


def ranges(server: MisbehavingServer) -> list[str | None]:
    return [request.get("Range") for request in server.requests]


def test_a_good_server_is_asked_once_and_never_again(tmp_path: Path) -> None:
    with serving({"faces.zip": CONTENT}) as server:
        path = fetch_file(the_file(server), scratch=tmp_path, patience=QUICK)
        assert path.read_bytes() == CONTENT
        assert fetch_file(the_file(server), scratch=tmp_path, patience=QUICK) == path
        assert ranges(server) == [None]
        assert server.requests[0]["Accept-Encoding"] == "identity"
    assert only_the_file_is_left(tmp_path)


def test_a_verified_file_damaged_on_disk_is_downloaded_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving({"faces.zip": CONTENT}) as server:
        path = fetch_file(the_file(server), scratch=tmp_path, patience=QUICK)
        path.write_bytes(OTHER)
        again = fetch_file(the_file(server), scratch=tmp_path, patience=QUICK)
        assert again.read_bytes() == CONTENT
    assert "damaged" in capsys.readouterr().err


@pytest.mark.parametrize("trouble", [server_that.cut, server_that.stall], ids=["cut", "stall"])
def test_a_broken_transfer_resumes_where_it_stopped(tmp_path: Path, trouble: Behaviour) -> None:
    with serving({"faces.zip": CONTENT}, [trouble]) as server:
        path = fetch_file(the_file(server), scratch=tmp_path, patience=QUICK)
        assert path.read_bytes() == CONTENT
        assert ranges(server) == [None, f"bytes={len(CONTENT) // 2}-"]
        assert server.requests[1]["If-Range"] == '"v1"'
        assert server.sent == len(CONTENT)
    assert only_the_file_is_left(tmp_path)


def test_attempts_that_bring_much_do_not_use_up_the_patience(tmp_path: Path) -> None:
    with serving({"faces.zip": CONTENT}, [server_that.cut] * 6) as server:
        path = fetch_file(the_file(server), scratch=tmp_path, patience=QUICK)
        assert path.read_bytes() == CONTENT
        assert len(server.requests) == 7
        assert server.sent == len(CONTENT)


def test_a_redirect_is_followed_also_when_resuming(tmp_path: Path) -> None:
    with (
        serving({"faces.zip": CONTENT}, [server_that.cut]) as target,
        serving({}, always=server_that.redirect_to(target.url("faces.zip"))) as server,
    ):
        path = fetch_file(the_file(server), scratch=tmp_path, patience=QUICK)
        assert path.read_bytes() == CONTENT
        assert target.sent == len(CONTENT)


@pytest.mark.parametrize(
    "script",
    [
        [server_that.cut_without_range, server_that.without_range],
        [server_that.cut, server_that.without_range],
        [server_that.unannounced_end, server_that.good],
    ],
    ids=["never", "no longer", "no length"],
)
def test_a_server_without_ranges_starts_afresh(tmp_path: Path, script: list[Behaviour]) -> None:
    with serving({"faces.zip": CONTENT}, script) as server:
        path = fetch_file(the_file(server), scratch=tmp_path, patience=QUICK)
        assert path.read_bytes() == CONTENT
        assert server.sent == len(CONTENT) * 3 // 2
    assert only_the_file_is_left(tmp_path)


@pytest.mark.parametrize(
    "behaviour",
    [server_that.good, server_that.ignore_if_range, server_that.range_from_the_start],
)
def test_a_changed_copy_starts_afresh(
    tmp_path: Path, behaviour: Behaviour, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving({"faces.zip": OTHER}, [server_that.cut], always=server_that.status(404)) as server:
        with pytest.raises(Refused, match="HTTP 404"):
            fetch_file(the_file(server), scratch=tmp_path, patience=QUICK)
        assert [part.stat().st_size for part in tmp_path.glob("*.part")] == [len(OTHER) // 2]
        server.contents["faces.zip"], server.etag = CONTENT, '"v2"'
        server.script, server.always = [behaviour], server_that.good
        path = fetch_file(the_file(server), scratch=tmp_path, patience=QUICK)
        assert path.read_bytes() == CONTENT
        assert server.requests[2]["If-Range"] == '"v1"'
    # Seen in the answer's head, not in the checksum of two pieces that do not fit.
    assert "do not fit" not in capsys.readouterr().err
    assert only_the_file_is_left(tmp_path)


def test_a_copy_changed_behind_the_same_etag_is_found_out(tmp_path: Path) -> None:
    with serving({"faces.zip": OTHER}, [server_that.cut], always=server_that.status(404)) as server:
        with pytest.raises(Refused, match="HTTP 404"):
            fetch_file(the_file(server), scratch=tmp_path, patience=QUICK)
        server.contents["faces.zip"], server.always = CONTENT, server_that.good
        path = fetch_file(the_file(server), scratch=tmp_path, patience=QUICK)
        assert path.read_bytes() == CONTENT
        assert ranges(server)[2:] == [f"bytes={len(OTHER) // 2}-", None]


def test_a_range_beyond_the_servers_file_starts_afresh(tmp_path: Path) -> None:
    longer = CONTENT * 2
    with serving(
        {"faces.zip": longer}, [server_that.cut], always=server_that.status(403)
    ) as server:
        file = the_file(server, content=longer)
        with pytest.raises(Refused, match="HTTP 403"):
            fetch_file(file, scratch=tmp_path, patience=QUICK)
        server.contents["faces.zip"], server.always = CONTENT, server_that.good
        with pytest.raises(Refused, match=f"announces {len(CONTENT)} bytes"):
            fetch_file(file, scratch=tmp_path, patience=QUICK)
    assert not (tmp_path / file.sha256).exists()


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        (server_that.status(404), "HTTP 404 Not Found"),
        (server_that.status(403), "HTTP 403 Forbidden"),
        (server_that.status(429, Retry_After="0"), "HTTP 429 Too Many Requests" + GIVEN_UP),
        (server_that.status(503, Retry_After="0"), "HTTP 503 Service Unavailable" + GIVEN_UP),
        (server_that.loop, "redirects without end"),
        (server_that.page, r"sent an HTML page \(.*\) instead of the file"),
        (server_that.page_by_type, r"sent an HTML page \(.*\) instead of the file"),
        (server_that.garbage, "the right size but wrong bytes: sha256 .*"),
        (server_that.too_short, "announces 1000 bytes instead of the official 400000"),
        (server_that.too_long, "sends more than the official 400000 bytes"),
        (server_that.cut_without_range, "broke off: peer closed connection .*" + GIVEN_UP),
        (server_that.unannounced_end, "ended after 200000 of 400000 bytes" + GIVEN_UP),
        (server_that.drip, "too slow: [0-9]+ bytes in [0-9]+ s" + GIVEN_UP),
    ],
)
def test_a_bad_route_is_named_with_its_reason_and_the_next_one_serves(
    tmp_path: Path, trouble: Behaviour, reason: str
) -> None:
    with (
        serving({"faces.zip": CONTENT}, always=trouble) as bad,
        serving({"faces.zip": CONTENT}) as good,
    ):
        with pytest.raises(Refused) as refused:
            fetch_file(the_file(bad), scratch=tmp_path, patience=QUICK)
        first, line = str(refused.value).splitlines()
        assert first == "faces.zip: no route gave the official file:"
        start = f"  mirror 1 ({bad.url('faces.zip')}): "
        assert line.startswith(start)
        assert re.fullmatch(reason, line.removeprefix(start))
        assert nothing_is_verified(tmp_path)
        path = fetch_file(the_file(bad, good), scratch=tmp_path, patience=QUICK)
        assert path.read_bytes() == CONTENT
    assert only_the_file_is_left(tmp_path)


def test_wrong_bytes_are_not_kept(tmp_path: Path) -> None:
    with serving({"faces.zip": CONTENT}, always=server_that.garbage) as server:
        with pytest.raises(Refused, match="wrong bytes"):
            fetch_file(the_file(server), scratch=tmp_path, patience=QUICK)
        assert len(server.requests) == 1
    assert list(tmp_path.glob("*.part")) == []


def test_a_page_does_not_cost_the_partial_file(tmp_path: Path) -> None:
    with serving({"faces.zip": CONTENT}, [server_that.cut, server_that.page]) as server:
        with pytest.raises(Refused, match="HTML"):
            fetch_file(the_file(server), scratch=tmp_path, patience=QUICK)
        path = fetch_file(the_file(server), scratch=tmp_path, patience=QUICK)
        assert path.read_bytes() == CONTENT
        assert ranges(server)[2] == f"bytes={len(CONTENT) // 2}-"


def test_nobody_listens(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/faces.zip"
    file = replace(the_file(), routes=(Mirror("mirror", url),))
    with pytest.raises(Refused, match=r"no connection: .*refused; given up after 2 attempts"):
        fetch_file(file, scratch=tmp_path, patience=QUICK)


@pytest.mark.parametrize("code", [429, 503])
def test_retry_after_is_honoured(
    tmp_path: Path, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    wait = server_that.status(code, Retry_After="1")
    with serving({"faces.zip": CONTENT}, [wait]) as server:
        patience = replace(QUICK, longest_pause=60)
        path = fetch_file(the_file(server), scratch=tmp_path, patience=patience)
        assert path.read_bytes() == CONTENT
        # A floor, which no slow machine can break.
        assert server.times[1] - server.times[0] >= 1
    assert f"HTTP {code}" in (printed := capsys.readouterr().err)
    assert "next attempt in 1 s" in printed


@pytest.mark.parametrize(
    ("asked", "pause"),
    [
        ("3600", "0.05"),
        (format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True), "0.05"),
        (format_datetime(datetime.now(UTC) - timedelta(hours=1), usegmt=True), "0.01"),
        ("soon", "0.01"),
    ],
    ids=["seconds", "date", "past date", "nonsense"],
)
def test_retry_after_is_capped(
    tmp_path: Path, asked: str, pause: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving({"faces.zip": CONTENT}, [server_that.status(503, Retry_After=asked)]) as server:
        fetch_file(the_file(server), scratch=tmp_path, patience=QUICK)
    assert f"next attempt in {pause} s" in capsys.readouterr().err


def test_pauses_grow(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    patience = replace(QUICK, attempts=5)
    with (
        serving({}, always=server_that.status(500)) as server,
        pytest.raises(Refused, match="given up after 5 attempts"),
    ):
        fetch_file(the_file(server), scratch=tmp_path, patience=patience)
    printed = capsys.readouterr().err
    pauses = [word.split(" s")[0] for word in printed.split("next attempt in ")[1:]]
    assert pauses == ["0.01", "0.02", "0.04", "0.05"]


def test_a_file_too_large_for_the_disk_is_one_line_and_goes_on_later(tmp_path: Path) -> None:
    with serving({"faces.zip": CONTENT}) as server:
        child = start_child(server, tmp_path, limit=150_000)
        _, printed = child.communicate()
        assert child.returncode == 1
        assert printed.splitlines()[-1] == (
            f"UserError: faces.zip (400000 bytes) cannot be stored in {tmp_path}: "
            "File too large; what has come stays for the next run"
        )
        assert nothing_is_verified(tmp_path)
        path = fetch_file(the_file(server), scratch=tmp_path, patience=QUICK)
        assert path.read_bytes() == CONTENT
        assert ranges(server) == [None, "bytes=150000-"]
    assert only_the_file_is_left(tmp_path)


def test_scratch_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"cannot be stored in .*file/scratch: Not a directory$"):
        fetch_file(the_file(), scratch=tmp_path / "file" / "scratch", patience=QUICK)


def test_a_killed_download_is_resumed_by_another_process(tmp_path: Path) -> None:
    half = len(CONTENT) // 2
    with serving({"faces.zip": CONTENT}, [server_that.stall]) as server:
        child = start_child(server, tmp_path)
        # The rest of what has come, up to 8 kB, may wait in the child's buffer.
        while sum(part.stat().st_size for part in tmp_path.glob("*.part")) < half - 8192:
            assert child.poll() is None, child.communicate()[1]
            time.sleep(0.01)
        child.send_signal(signal.SIGKILL)
        child.communicate()
        assert nothing_is_verified(tmp_path)
        path = fetch_file(the_file(server), scratch=tmp_path, patience=QUICK)
        assert path.read_bytes() == CONTENT
        assert len(server.requests) == 2
        assert half - 8192 <= int(server.requests[1]["Range"][len("bytes=") : -1]) <= half
    assert only_the_file_is_left(tmp_path)


def test_of_two_downloads_at_once_one_waits_and_finds_the_file(tmp_path: Path) -> None:
    with serving({"faces.zip": CONTENT}, [server_that.stall]) as server:
        first = start_child(server, tmp_path)
        while not server.requests:
            assert first.poll() is None, first.communicate()[1]
            time.sleep(0.01)
        second = start_child(server, tmp_path)
        assert second.stderr is not None
        assert "another process is downloading it" in second.stderr.readline()
        server.release.set()
        outputs = [child.communicate()[0].strip() for child in (first, second)]
        assert [first.returncode, second.returncode] == [0, 0]
        assert len(server.requests) == 1
        assert server.sent == len(CONTENT)
    assert outputs[0] == outputs[1]
    assert Path(outputs[0]).read_bytes() == CONTENT
    assert only_the_file_is_left(tmp_path)


def test_gdowns_failure_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A real failure that needs no network: a proxy that turns everyone away.
    with serving({}) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url(""))
        file = replace(the_file(), routes=(DriveFile("0B7EVK8r0v71p"),))
        with pytest.raises(Refused) as refused:
            fetch_file(file, scratch=tmp_path, patience=QUICK)
    _, line = str(refused.value).splitlines()
    assert line.startswith("  Google Drive (https://drive.google.com/uc?id=0B7EVK8r0v71p): Proxy")


def test_a_proxy_setting_that_cannot_be_used_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "gopher://127.0.0.1:70")
    with (
        serving({"faces.zip": CONTENT}) as server,
        pytest.raises(UserError, match=r"proxy .* cannot be used: .*gopher.*"),
    ):
        fetch_file(the_file(server), scratch=tmp_path, patience=QUICK)
