import hashlib
import os
import pty
import random
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from celeba_vae.faces.transfer import (
    DriveFile,
    Mirror,
    OfficialFile,
    OnDisk,
    Patience,
    Refused,
    fetch_file,
)
from celeba_vae.runtime.errors import UserError
from tests.faces import misbehaving_server as server_that
from tests.faces.misbehaving_server import Behaviour, MisbehavingServer, serving

CONTENT = random.Random(1).randbytes(400_000)
OTHER = random.Random(2).randbytes(400_000)
# A stall of a second cannot happen to an honest server on this machine, however busy.
QUICK = Patience(connect=2, stall=1, attempts=2, pause=0.01, longest_pause=0.05)
# Ends what drips, before the seconds of a stall are over; no patience for an honest server.
BRIEF = Patience(stall=30, window=0.7, minimum_rate=10_000, attempts=1)

GIVEN_UP = "; given up after 2 attempts"

CHILD = """
import resource, sys
from pathlib import Path
from celeba_vae.runtime.errors import UserError
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


def the_file(*servers: MisbehavingServer, content: bytes = CONTENT) -> OfficialFile:
    routes = tuple(
        Mirror(f"mirror {number}", server.url("faces.zip"))
        for number, server in enumerate(servers, start=1)
    )
    return OfficialFile("faces.zip", len(content), hashlib.sha256(content).hexdigest(), routes)


def start_child(
    server: MisbehavingServer, scratch: Path, limit: int = 0, stderr: int = subprocess.PIPE
) -> subprocess.Popen[str]:
    file = the_file(server)
    arguments = [server.url("faces.zip"), str(file.size), file.sha256, str(scratch), str(limit)]
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )


def only_the_file_is_left(scratch: Path, content: bytes = CONTENT) -> bool:
    sha256 = hashlib.sha256(content).hexdigest()
    return {path.name for path in scratch.iterdir()} == {sha256, f"{sha256}.lock"}


def nothing_is_verified(scratch: Path, content: bytes = CONTENT) -> bool:
    return not (scratch / hashlib.sha256(content).hexdigest()).exists()


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


@pytest.mark.parametrize(
    "trouble", [server_that.cut, server_that.stall, server_that.unannounced_end]
)
def test_a_broken_transfer_resumes_where_it_stopped(tmp_path: Path, trouble: Behaviour) -> None:
    with serving({"faces.zip": CONTENT}, [trouble]) as server:
        path = fetch_file(the_file(server), scratch=tmp_path, patience=QUICK)
        assert path.read_bytes() == CONTENT
        assert ranges(server) == [None, f"bytes={len(CONTENT) // 2}-"]
        assert server.sent == len(CONTENT)
    assert only_the_file_is_left(tmp_path)


@pytest.mark.parametrize(
    "headers",
    [{}, {"ETag": 'W/"v1"'}, {"ETag": '"\xe9"'}, {"Last-Modified": "\xff"}, {"ETag": '"\udcff"'}],
)
def test_a_transfer_resumes_whatever_the_server_says_of_its_copy(
    tmp_path: Path, headers: dict[str, str]
) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n" % len(CONTENT)
    for name, value in headers.items():
        answer += f"{name}: {value}\r\n".encode("latin-1", "surrogateescape")
    half = answer + b"\r\n" + CONTENT[: len(CONTENT) // 2]
    with serving({"faces.zip": CONTENT}, [server_that.raw(half)]) as server:
        path = fetch_file(the_file(server), scratch=tmp_path, patience=QUICK)
        assert path.read_bytes() == CONTENT
        assert ranges(server) == [None, f"bytes={len(CONTENT) // 2}-"]
    assert only_the_file_is_left(tmp_path)


def test_attempts_that_bring_much_do_not_use_up_the_patience(tmp_path: Path) -> None:
    patience = replace(QUICK, minimum_rate=100, window=60)
    with serving({"faces.zip": CONTENT}, [server_that.cut] * 6) as server:
        path = fetch_file(the_file(server), scratch=tmp_path, patience=patience)
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
    ],
    ids=["never", "no longer"],
)
def test_a_server_without_ranges_starts_afresh(tmp_path: Path, script: list[Behaviour]) -> None:
    with serving({"faces.zip": CONTENT}, script) as server:
        path = fetch_file(the_file(server), scratch=tmp_path, patience=QUICK)
        assert path.read_bytes() == CONTENT
        assert server.sent == len(CONTENT) * 3 // 2
    assert only_the_file_is_left(tmp_path)


@pytest.mark.parametrize("behaviour", [server_that.good, server_that.range_from_the_start])
def test_a_changed_copy_starts_afresh(tmp_path: Path, behaviour: Behaviour) -> None:
    with serving({"faces.zip": OTHER}, [server_that.cut], always=server_that.status(404)) as server:
        with pytest.raises(Refused, match="HTTP 404"):
            fetch_file(the_file(server), scratch=tmp_path, patience=QUICK)
        assert [part.stat().st_size for part in tmp_path.glob("*.part")] == [len(OTHER) // 2]
        server.contents["faces.zip"] = CONTENT
        server.script, server.always = [behaviour], server_that.good
        path = fetch_file(the_file(server), scratch=tmp_path, patience=QUICK)
        assert path.read_bytes() == CONTENT
        assert ranges(server)[2:] == [f"bytes={len(OTHER) // 2}-", None]
    assert only_the_file_is_left(tmp_path)


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


@pytest.mark.parametrize(
    ("drip", "come"),
    [
        (server_that.drip, "[0-9]+"),
        (server_that.drip_head, "0"),
        (server_that.drip_chunk_size, "0"),
    ],
)
def test_an_answer_that_creeps_is_cut(tmp_path: Path, drip: Behaviour, come: str) -> None:
    with serving({"faces.zip": CONTENT}, [drip]) as server:
        with pytest.raises(Refused, match=f"too slow: {come} bytes in 0.7 s; given up after 1"):
            fetch_file(the_file(server), scratch=tmp_path, patience=BRIEF)
        assert nothing_is_verified(tmp_path)
        assert fetch_file(the_file(server), scratch=tmp_path).read_bytes() == CONTENT
    assert only_the_file_is_left(tmp_path)


def test_a_slow_but_steady_answer_is_not_cut(tmp_path: Path) -> None:
    patience = replace(BRIEF, window=1, minimum_rate=1000)  # it takes one and a half
    with serving({"faces.zip": CONTENT}, [server_that.steady]) as server:
        path = fetch_file(the_file(server), scratch=tmp_path, patience=patience)
        assert path.read_bytes() == CONTENT


def test_wrong_bytes_are_not_kept(tmp_path: Path) -> None:
    with serving({"faces.zip": CONTENT}, always=server_that.garbage) as server:
        with pytest.raises(Refused, match="wrong bytes"):
            fetch_file(the_file(server), scratch=tmp_path, patience=QUICK)
        assert len(server.requests) == 1
    assert list(tmp_path.glob("*.part")) == []


def test_a_partial_file_is_not_gone_on_with_from_another_address(tmp_path: Path) -> None:
    with (
        serving({"faces.zip": OTHER}, [server_that.cut], always=server_that.status(404)) as one,
        serving({"faces.zip": CONTENT}) as another,
    ):
        path = fetch_file(the_file(one, another), scratch=tmp_path, patience=QUICK)
        assert path.read_bytes() == CONTENT
        assert ranges(another) == [None]


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
@pytest.mark.parametrize(
    ("asked", "pause"),
    [
        ("7", 7.0),
        ("3600", 120.0),
        (format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True), 120.0),
        (format_datetime(datetime.now(UTC) - timedelta(hours=1), usegmt=True), 1.0),
        ("soon", 1.0),
        ("Wed, 32 Oct 2015 07:28:00 GMT", 1.0),
        ("Mon, 1 Jan 0001 00:00:00 +2359", 1.0),
        ("9" * 5000, 120.0),
    ],
    ids=["seconds", "too many", "date", "past date", "nonsense", "no date", "year 0", "digits"],
)
def test_retry_after_is_honoured_within_limits(
    tmp_path: Path, code: int, asked: str, pause: float, capsys: pytest.CaptureFixture[str]
) -> None:
    pauses: list[float] = []
    patience = Patience(sleep=pauses.append)
    with serving({"faces.zip": CONTENT}, [server_that.status(code, Retry_After=asked)]) as server:
        path = fetch_file(the_file(server), scratch=tmp_path, patience=patience)
        assert path.read_bytes() == CONTENT
    assert pauses == [pause]
    printed = capsys.readouterr().err
    assert f"HTTP {code}" in printed
    assert f"next attempt in {pause:g} s" in printed


def test_pauses_grow(tmp_path: Path) -> None:
    pauses: list[float] = []
    patience = Patience(attempts=10, sleep=pauses.append)
    with (
        serving({}, always=server_that.status(500)) as server,
        pytest.raises(Refused, match="given up after 10 attempts"),
    ):
        fetch_file(the_file(server), scratch=tmp_path, patience=patience)
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 120, 120]


def test_the_default_pause_is_a_real_one() -> None:
    assert Patience().sleep is time.sleep


def test_an_address_that_cannot_be_one_is_refused(tmp_path: Path) -> None:
    file = replace(the_file(), routes=(Mirror("mine", "http://[::1/faces.zip"),))
    with pytest.raises(
        Refused, match=r"mine \(http://\[::1/faces.zip\): is not a usable address: "
    ):
        fetch_file(file, scratch=tmp_path, patience=QUICK)


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


def test_a_full_disk_is_one_line_and_goes_on_later(tmp_path: Path) -> None:
    """A real one, of 160 kB, in a mount namespace of its own that ends with the shell."""
    script = """
        mount -t tmpfs -o size=160k tmpfs "$SCRATCH" || exit 77
        "$@"; echo "status $?"
        mount -o remount,size=2m "$SCRATCH" && "$@" && cp "$SCRATCH"/$SHA256 "$COPY"
    """
    with serving({"faces.zip": CONTENT}) as server:
        file = the_file(server)
        scratch, copy = tmp_path / "scratch", tmp_path / "copy"
        scratch.mkdir()
        unshare = shutil.which("unshare")
        if unshare is None:
            pytest.skip("no unshare here")
        done = subprocess.run(
            [
                *(unshare, "--map-root-user", "--mount", "sh", "-c", script, "sh"),
                *(sys.executable, "-c", CHILD, server.url("faces.zip")),
                *(str(file.size), file.sha256, str(scratch), "0"),
            ],
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(sys.path),
                "SCRATCH": str(scratch),
                "SHA256": file.sha256,
                "COPY": str(copy),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 77 or not server.requests:
            pytest.skip(f"mounting is not allowed here: {done.stderr}")
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("status 1\n")
        assert (
            f"UserError: faces.zip (400000 bytes) cannot be stored in {scratch}: "
            "No space left on device; what has come stays for the next run\n"
        ) in done.stderr
        assert copy.read_bytes() == CONTENT
        first, second = ranges(server)
        assert first is None
        assert second is not None
        assert 100_000 < int(second[len("bytes=") : -1]) <= 160 * 1024


def test_on_a_terminal_there_is_a_bar_with_rate_and_time_left(tmp_path: Path) -> None:
    reader, writer = pty.openpty()
    termios.tcsetwinsize(writer, (24, 100))
    shown = b""
    try:
        with serving({"faces.zip": CONTENT}, [server_that.stall]) as server:
            child = start_child(server, tmp_path, stderr=writer)
            os.close(writer)
            with suppress(OSError):  # the other end is closed
                while piece := os.read(reader, 4096):
                    shown += piece
                    # The half that has come takes a moment, or there would be no rate.
                    if b"%|" in shown and not server.release.is_set():
                        server.release.wait(0.3)
                        server.release.set()
            assert child.wait() == 0
            child.communicate()
    finally:
        os.close(reader)
    # faces.zip:  50%|█████     | 200k/400k [00:00<00:00, 1.20MB/s]
    assert re.search(rb"faces.zip: +\d+%.*/400k \[\d+:\d+<[\d:?]+, .*B/s\]", shown), shown


def folder_with(folder: Path, **contents: bytes) -> Path:
    """Make a folder of files; `__` stands for the slash and `_` for the dot."""
    for name, content in contents.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


@pytest.mark.parametrize("name", ["faces_zip", "deep__down__faces_zip", "renamed_bin"])
def test_a_file_on_disk_is_used_where_it_lies(tmp_path: Path, name: str) -> None:
    place = folder_with(tmp_path / "mine", other_txt=b"", wrong_bin=OTHER, **{name: CONTENT})
    with serving({"faces.zip": CONTENT}) as server:
        file = the_file(server)
        file = replace(file, routes=(OnDisk(place), *file.routes))
        path = fetch_file(file, scratch=tmp_path / "scratch", patience=QUICK)
        assert server.requests == []
    assert path == place / name.replace("__", "/").replace("_", ".")
    assert path.read_bytes() == CONTENT


def test_the_neighbours_of_a_file_on_disk_count(tmp_path: Path) -> None:
    place = folder_with(tmp_path / "mine", first_zip=b"another official file", faces_zip=CONTENT)
    file = replace(the_file(), routes=(OnDisk(place / "first.zip"),))
    assert fetch_file(file, scratch=tmp_path / "scratch") == place / "faces.zip"


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        ({}, "there is no such file or folder"),
        ({"a_jpg": b"x"}, r"holds no file named faces.zip or of its 400000 bytes \(.*=local\)"),
        ({"faces_zip": b"x"}, ".*/mine/faces.zip: 1 bytes instead of the official 400000"),
        ({"b_zip": OTHER}, ".*/mine/b.zip: the right size but wrong bytes: sha256 .*"),
    ],
    ids=["nothing", "unpacked", "short", "wrong"],
)
def test_what_does_not_verify_on_disk_is_said_and_the_next_route_serves(
    tmp_path: Path,
    contents: dict[str, bytes],
    reason: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    place = folder_with(tmp_path / "mine", **contents)
    with serving({"faces.zip": CONTENT}) as server:
        file = the_file(server)
        file = replace(file, routes=(OnDisk(place), *file.routes))
        path = fetch_file(file, scratch=tmp_path / "scratch", patience=QUICK)
        assert path.read_bytes() == CONTENT
    _, line, _ = capsys.readouterr().err.splitlines()
    assert re.fullmatch(rf"faces.zip: download.path: {reason}", line)


def test_a_file_on_disk_that_cannot_be_read_is_a_reason(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "faces.zip").symlink_to("nowhere")
    file = replace(the_file(), routes=(OnDisk(tmp_path / "mine"),))
    with pytest.raises(Refused, match=r"mine/faces.zip cannot be read: No such file"):
        fetch_file(file, scratch=tmp_path / "scratch")


@pytest.fixture
def drive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MisbehavingServer]:
    """Google Drive as gdown sees it: a proxy that answers for every host, with a trusted name."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Google Drive of this test")])
    hosts = ("drive.google.com", "drive.usercontent.google.com")
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts]), False)
        .sign(key, hashes.SHA256())
    )
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(
        certificate.public_bytes(Encoding.PEM)
        + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    with serving({"uc?id=ID": LARGE, "download?id=ID": LARGE}) as server:
        server.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.tls.load_cert_chain(trusted)
        monkeypatch.setenv("HTTPS_PROXY", server.url(""))
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(trusted))
        yield server


# gdown keeps pieces of half a MiB.
LARGE = random.Random(3).randbytes(2_400_000)
ON_DRIVE = OfficialFile(
    "faces.zip", len(LARGE), hashlib.sha256(LARGE).hexdigest(), (DriveFile("ID"),)
)


def test_google_drive_gives_the_file_behind_its_page(
    tmp_path: Path, drive: MisbehavingServer
) -> None:
    drive.script = [server_that.drive_confirms]
    path = fetch_file(ON_DRIVE, scratch=tmp_path / "scratch", patience=QUICK)
    assert path.read_bytes() == LARGE
    assert [request["Host"] for request in drive.requests] == [
        "drive.google.com",
        "drive.usercontent.google.com",
    ]
    assert only_the_file_is_left(tmp_path / "scratch", LARGE)


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        (server_that.drive_quota, r"over its quota \(too many downloads by anyone\): .*"),
        (server_that.drive_login, "no public link: not shared any more, or only after a login"),
        (server_that.drive_confirms, "too slow: 0 bytes in 0.7 s"),  # page after page
        (server_that.drip_head, "too slow: 0 bytes in 0.7 s"),
        (server_that.drip, "too slow: [0-9]+ bytes in 0.7 s"),
        (server_that.garbage_of_drive, "the right size but wrong bytes: sha256 .*"),
        (server_that.cut, "DownloadError: Download is incomplete: .*"),
    ],
)
def test_google_drives_troubles_are_one_line_each(
    tmp_path: Path, drive: MisbehavingServer, trouble: Behaviour, reason: str
) -> None:
    drive.always = trouble
    scratch = tmp_path / "scratch"
    with pytest.raises(Refused) as refused:
        fetch_file(ON_DRIVE, scratch=scratch, patience=BRIEF)
    _, line = str(refused.value).splitlines()
    start = "  Google Drive (https://drive.google.com/uc?id=ID): "
    assert line.startswith(start)
    assert re.fullmatch(reason, line.removeprefix(start))
    assert nothing_is_verified(scratch, LARGE)
    drive.always = server_that.good
    assert fetch_file(ON_DRIVE, scratch=scratch, patience=QUICK).read_bytes() == LARGE
    assert only_the_file_is_left(scratch, LARGE)


def test_google_drive_goes_on_where_it_stopped_also_in_another_call(
    tmp_path: Path, drive: MisbehavingServer
) -> None:
    drive.always = server_that.status(404)
    # gdown's first request in a call is for the whole, the second for what is missing.
    for script in [server_that.cut], [server_that.good, server_that.cut]:
        drive.script = list(script)
        with pytest.raises(Refused, match="Google Drive"):
            fetch_file(ON_DRIVE, scratch=tmp_path, patience=QUICK)
    drive.always = server_that.good
    assert fetch_file(ON_DRIVE, scratch=tmp_path, patience=QUICK).read_bytes() == LARGE
    assert ranges(drive)[-1] == f"bytes={3 << 19}-"


def test_google_drives_partial_file_that_cannot_be_gone_on_with_is_given_up(
    tmp_path: Path, drive: MisbehavingServer
) -> None:
    drive.script, drive.always = [server_that.cut], server_that.status(404)
    with pytest.raises(Refused, match="Google Drive"):
        fetch_file(ON_DRIVE, scratch=tmp_path, patience=QUICK)
    drive.always = server_that.drive_without_range
    with pytest.raises(Refused, match="byte range"):
        fetch_file(ON_DRIVE, scratch=tmp_path, patience=QUICK)
    assert fetch_file(ON_DRIVE, scratch=tmp_path, patience=QUICK).read_bytes() == LARGE


def test_gdowns_failure_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving({}) as proxy:  # it turns everyone away who wants to be connected
        monkeypatch.setenv("HTTPS_PROXY", proxy.url(""))
        with pytest.raises(Refused) as refused:
            fetch_file(ON_DRIVE, scratch=tmp_path, patience=QUICK)
    _, line = str(refused.value).splitlines()
    assert line.startswith("  Google Drive (https://drive.google.com/uc?id=ID): Proxy")


def refused_line(file: OfficialFile, scratch: Path) -> str:
    """The line that says why the only route of a file is of no use; its address is left out."""
    with pytest.raises(Refused) as refused:
        fetch_file(file, scratch=scratch, patience=QUICK)
    _, line = str(refused.value).splitlines()
    return line.partition("): ")[2]


@pytest.mark.parametrize(
    ("proxy", "reason"),
    [
        ("gopher://127.0.0.1:70", r"the environment's proxy .* cannot be used: .*gopher.*"),
        ("http://my..proxy:80", "UnicodeError: .*label empty or too long.*"),
    ],
)
def test_a_proxy_setting_that_cannot_be_used_is_a_reason(
    tmp_path: Path, proxy: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    with serving({"faces.zip": CONTENT}) as server:
        assert re.fullmatch(reason, refused_line(the_file(server), tmp_path))
        place = folder_with(tmp_path / "mine", faces_zip=CONTENT)
        file = replace(the_file(server), routes=(*the_file(server).routes, OnDisk(place)))
        assert fetch_file(file, scratch=tmp_path, patience=QUICK) == place / "faces.zip"


@pytest.mark.parametrize("host", ["my..server", f"{'a' * 64}.example", "\u3002.x", "a" * 300])
@pytest.mark.parametrize("redirected", [False, True])
def test_a_host_that_no_resolver_takes_is_a_reason_and_the_next_route_serves(
    tmp_path: Path, host: str, redirected: bool
) -> None:
    url = f"http://{host}/faces.zip"
    redirect = f"HTTP/1.1 302 Found\r\nLocation: {url}\r\nContent-Length: 0\r\n\r\n".encode()
    with (
        serving({}, always=server_that.raw(redirect)) as server,
        serving({"faces.zip": CONTENT}) as good,
    ):
        bad = Mirror("bad", server.url("faces.zip") if redirected else url)
        file = replace(the_file(), routes=(bad,))
        assert refused_line(file, tmp_path)
        file = replace(file, routes=(bad, *the_file(good).routes))
        path = fetch_file(file, scratch=tmp_path, patience=QUICK)
        assert path.read_bytes() == CONTENT


def test_the_body_of_a_redirect_is_not_read(tmp_path: Path) -> None:
    with serving({"faces.zip": CONTENT}) as good:
        endless = server_that.redirect_without_end_of_body(good.url("faces.zip"))
        with serving({}, always=endless) as server:
            path = fetch_file(the_file(server), scratch=tmp_path, patience=QUICK)
            assert path.read_bytes() == CONTENT
            # What fits into the buffers of the connection.
            assert server.sent < 20_000_000


def test_a_password_comes_from_netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    netrc, scratch = tmp_path / ".netrc", tmp_path / "scratch"
    locked = server_that.behind_password("me", "s3cret")
    with serving({"faces.zip": CONTENT}, always=locked) as server:
        assert refused_line(the_file(server), scratch) == "HTTP 401 Unauthorized"
        netrc.write_text("machine 127.0.0.1 login me password s3cret")
        netrc.chmod(0o600)
        path = fetch_file(the_file(server), scratch=scratch, patience=QUICK)
        assert path.read_bytes() == CONTENT
        path.unlink()
        netrc.write_text("machine 127.0.0.1 login me s3cret password s3cret")
        line = refused_line(the_file(server), scratch)
        assert line.startswith("~/.netrc, line 1: is not understood")
        assert "s3cret" not in line


# What a server may say, and what none should; after it a good mirror stands.
STATUS_LINES = st.one_of(
    st.sampled_from(
        [b"200 OK", b"206 Partial Content", b"302 Found", b"304 ", b"416 No", b"503 Busy", b"429 x"]
    ),
    st.integers(100, 599).map(lambda code: b"%d \x1b[2J\xff" % code),
    st.binary(max_size=20),
)
VALUES = st.one_of(
    st.sampled_from(
        [
            *(b"bytes 0-9/10", b"bytes 0-399999/400000", b"bytes */*", b"text/html", b"chunked"),
            *(b"gzip", b"-1", b"400000", b"9" * 5000, b"400000, 400000", b'"\xff"', b'W/"x"'),
            *(b"Wed, 32 Oct 2015 99:28:00 GMT", b"Mon, 1 Jan 0001 00:00:00 -9999", b"0"),
            *(b"http://my..server/", b"http://[::1", b"//", b"", b"/x", b"file:///etc/passwd"),
            *(b"http://a:b@127.0.0.1:1/", b"gopher://x", b"http://" + b"a" * 64 + b"/", b"\xff://"),
        ]
    ),
    st.binary(max_size=12),
)
NAMES = st.sampled_from(
    [
        *(b"Content-Length", b"Content-Range", b"Content-Type", b"ETag", b"Last-Modified"),
        *(b"Location", b"Retry-After", b"Transfer-Encoding", b"Content-Encoding", b"Set-Cookie"),
        *(b"", b"X\xff", b"Connection"),
    ]
)
BODIES = st.sampled_from(
    [b"", CONTENT, CONTENT[:1000], CONTENT + b"x", b"<html>", b"5\r\nabcde\r\n0\r\n\r\n", b"-1\r\n"]
)


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    """Bytes that resemble an answer."""
    headers = draw(st.lists(st.tuples(NAMES, VALUES), max_size=4))
    lines = [b"HTTP/1.1 " + draw(STATUS_LINES), *(name + b": " + value for name, value in headers)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + draw(BODIES)


HASTY = Patience(connect=2, stall=0.5, window=5, attempts=2, pause=0, longest_pause=0)


def the_good_mirror_is_reached(answers: list[bytes]) -> None:
    with (
        TemporaryDirectory() as folder,
        serving({}, [server_that.raw(answer) for answer in answers[1:]]) as bad,
        serving({"faces.zip": CONTENT}) as good,
    ):
        bad.always = server_that.raw(answers[0])
        try:
            path = fetch_file(the_file(bad), scratch=Path(folder), patience=HASTY)
            assert path.read_bytes() == CONTENT
            path.unlink()
        except Refused as refused:
            assert len(str(refused).splitlines()) == 2
            assert str(refused).replace("\n", "").isprintable()
        path = fetch_file(the_file(bad, good), scratch=Path(folder), patience=HASTY)
        assert path.read_bytes() == CONTENT


@settings(max_examples=12, deadline=None)
@given(st.lists(answers(), min_size=1, max_size=3))
def test_whatever_a_server_says_the_good_mirror_is_reached(answers: list[bytes]) -> None:
    the_good_mirror_is_reached(answers)


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(st.lists(answers(), min_size=1, max_size=3))
def test_whatever_a_server_says_much_longer(answers: list[bytes]) -> None:
    the_good_mirror_is_reached(answers)
