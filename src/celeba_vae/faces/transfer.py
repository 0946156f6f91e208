"""Download of a file of known size and sha256, over the first of its routes that delivers it.

Size and sha256 verify the file, wherever it came from; so routes need no trust, only an order.
Partial files outlive the process, killed or not, and the next attempt goes on where they end.
"""

import errno
import hashlib
import itertools
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from netrc import NetrcParseError
from pathlib import Path
from typing import ClassVar

import httpx
from tqdm import tqdm

from celeba_vae.runtime.errors import UserError, printable, reason_of
from celeba_vae.runtime.files import sha256_of
from celeba_vae.runtime.locks import take_lock

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_REDIRECTS = 20
_PASSING_STATUS = (408, 429, 500, 502, 503, 504)


@dataclass(frozen=True)
class OnDisk:
    """A folder that may hold the file at any depth, or a file that may be it or lie beside it."""

    path: Path
    label: ClassVar[str] = "download.path"

    @property
    def address(self) -> str:
        """What messages call this place."""
        return str(self.path)


@dataclass(frozen=True)
class Mirror:
    """A plain web address of a file."""

    label: str
    address: str


@dataclass(frozen=True)
class DriveFile:
    """A file on Google Drive, fetched with gdown, which knows the pages before the file."""

    id: str
    label: ClassVar[str] = "Google Drive"

    @property
    def address(self) -> str:
        """The address to open by hand."""
        return f"https://drive.google.com/uc?id={self.id}"


Route = OnDisk | Mirror | DriveFile


@dataclass(frozen=True)
class OfficialFile:
    """A file by its official name, size (bytes) and sha256, and its routes in order of trial."""

    name: str
    size: int
    sha256: str
    routes: tuple[Route, ...]


@dataclass(frozen=True)
class Patience:
    """How long to wait, and how often to try again, before a route is given up.

    Attributes:
        connect: seconds until a connection must stand.
        stall: seconds without a single byte.
        window: seconds over which `minimum_rate` is measured.
        minimum_rate: bytes per second below which a transfer counts as broken.
        attempts: attempts in a row that bring less new than minimum_rate * window bytes.
        pause: seconds before the second attempt; it doubles with each further one.
        longest_pause: the most seconds of a pause, also where a server asks for more.
        sleep: what lets the seconds of a pause go by.
    """

    connect: float = 20.0
    stall: float = 60.0
    window: float = 60.0
    minimum_rate: float = 20_000.0
    attempts: int = 4
    pause: float = 1.0
    longest_pause: float = 120.0
    sleep: Callable[[float], None] = time.sleep


PATIENCE = Patience()


class Refused(UserError):
    """A route, or every route, did not give the file; each argument is a line that says why."""


class _Broken(Exception):
    """A transfer that may succeed when tried again, after `retry_after` seconds."""

    def __init__(self, reason: str, retry_after: float = 0.0) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


def fetch_file(file: OfficialFile, *, scratch: Path, patience: Patience = PATIENCE) -> Path:
    """Return the path of the verified `file`: in `scratch`, or where a route found it on disk.

    `scratch` holds the verified file under its sha256 and partial ones, one for each route, until
    the file is verified. A second process waits for the first one, and finds its file.

    Raises:
        Refused: no route gave the file; one line for each route says why.
        UserError: `scratch` cannot hold the file.
    """
    try:
        scratch.mkdir(parents=True, exist_ok=True)
        with _alone(scratch / f"{file.sha256}.lock", file.name):
            return _verified(file, scratch, patience)
    except OSError as error:
        kept = "; what has come stays for the next run" if error.errno in _NO_ROOM else ""
        raise UserError(
            f"{file.name} ({file.size} bytes) cannot be stored in {scratch}: "
            f"{reason_of(error)}{kept}"
        ) from None


@contextmanager
def _alone(lock: Path, name: str) -> Iterator[None]:
    # The empty file stays, as its removal races.
    with lock.open("w") as handle:
        if not take_lock(handle):
            _say(f"{name}: another process is downloading it, waiting for that one")
            take_lock(handle, wait=True)
        yield


def _verified(file: OfficialFile, scratch: Path, patience: Patience) -> Path:
    verified = scratch / file.sha256
    if verified.exists():
        fault = _fault(verified, file)
        if fault is None:
            return verified
        _say(f"{file.name}: {verified} is damaged ({fault}), downloading it again")
        verified.unlink()
    reasons = []
    for route in file.routes:
        _say(f"{file.name}: trying {route.label}")
        try:
            path = _from_route(route, file, scratch, patience)
        except Exception as error:
            # Servers and libraries fail in ways that nobody foresees: all of it is this route's
            # failure, but what our own disk says is not.
            if _is_of_our_disk(error):
                raise
            known = isinstance(error, Refused)
            why = str(error) if known else f"{type(error).__name__}: {reason_of(error)}"
            reasons.append(f"  {route.label} ({route.address}): {why}")
            _say(f"{file.name}: {route.label}: {why}")
            continue
        for leftover in scratch.glob(f"{file.sha256}.*.part*"):
            leftover.unlink()
        return path
    raise Refused(f"{file.name}: no route gave the official file:", *reasons)


def _is_of_our_disk(error: Exception) -> bool:
    # Those of sockets, which httpx and requests translate, have no file.
    return isinstance(error, OSError) and (
        error.filename is not None or error.errno in (*_NO_ROOM, errno.EIO)
    )


def _from_route(route: Route, file: OfficialFile, scratch: Path, patience: Patience) -> Path:
    if isinstance(route, OnDisk):
        return _from_disk(route.path, file)
    # A partial file belongs to one address: another server's copy need not be the same.
    address = hashlib.sha256(route.address.encode()).hexdigest()[:8]
    part = scratch / f"{file.sha256}.{address}.part"
    if isinstance(route, Mirror):
        _from_mirror(route.address, file, part, patience)
    else:
        _from_drive(route.id, file, part, patience)
    return part.replace(scratch / file.sha256)


def _fault(path: Path, file: OfficialFile) -> str | None:
    size = path.stat().st_size
    if size != file.size:
        return f"{size} bytes instead of the official {file.size}"
    digest = sha256_of(path)
    if digest != file.sha256:
        return f"the right size but wrong bytes: sha256 {digest}, official is {file.sha256}"
    return None


def _from_disk(place: Path, file: OfficialFile) -> Path:
    reason = (
        f"holds no file named {file.name} or of its {file.size} bytes "
        "(unpacked images and Kaggle's csv files cannot be verified: download.source=local)"
    )
    try:
        for path in _files_at(place):
            try:
                if path.name == file.name or path.stat().st_size == file.size:
                    fault = _fault(path, file)
                    if fault is None:
                        return path
                    reason = f"{path}: {fault}"
            except OSError as error:
                reason = f"{path} cannot be read: {reason_of(error)}"
    except OSError as error:
        raise Refused(f"cannot be read: {reason_of(error)}") from None
    raise Refused(reason)


def _files_at(place: Path) -> Iterator[Path]:
    if place.is_dir():
        for folder, _, names in os.walk(place):
            yield from (Path(folder, name) for name in names)
    elif place.exists():
        yield from place.parent.iterdir()
    else:
        raise Refused("there is no such file or folder")


def _from_mirror(url: str, file: OfficialFile, part: Path, patience: Patience) -> None:
    in_one_piece = _fill(url, file, part, patience)
    fault = _fault(part, file)
    if fault is not None and not in_one_piece:
        # The pieces may stem from different versions, or a power cut spoilt the first one.
        _say(f"{file.name}: the pieces do not fit each other, starting afresh")
        part.unlink()
        _fill(url, file, part, patience)
        fault = _fault(part, file)
    if fault is not None:
        part.unlink()
        raise Refused(fault)


def _fill(url: str, file: OfficialFile, part: Path, patience: Patience) -> bool:
    """Request until `part` has all bytes; return whether a single answer brought them all."""
    failures, furthest, began = 0, _size(part), -1
    while _size(part) < file.size:
        try:
            began = _request(url, file, part, patience)
        except _Broken as broken:
            grown = _size(part) - furthest
            furthest = max(furthest, _size(part))
            failures = 1 if grown >= patience.minimum_rate * patience.window else failures + 1
            if failures >= patience.attempts:
                raise Refused(f"{broken}; given up after {failures} attempts") from None
            pause = patience.pause * 2 ** (failures - 1)
            pause = min(max(pause, broken.retry_after), patience.longest_pause)
            _say(f"{file.name}: {broken}; next attempt in {pause:.3g} s")
            patience.sleep(pause)
    return began == 0


def _request(url: str, file: OfficialFile, part: Path, patience: Patience) -> int:
    """Append one answer of the server to `part`, or start it afresh; return the first offset."""
    # A client for each request, for it is closed to end an answer that creeps.
    with _client(patience) as client, _watched(client.close, patience) as report:
        try:
            began = _receive(client, url, file, part, report)
        except httpx.InvalidURL as error:
            raise Refused(f"is not a usable address: {reason_of(error)}") from None
        except httpx.ConnectTimeout:
            raise _Broken(f"no connection within {patience.connect:g} s") from None
        except httpx.TimeoutException:
            raise _Broken(f"stalled: no byte for {patience.stall:g} s") from None
        except httpx.ConnectError as error:
            raise _Broken(f"no connection: {reason_of(error)}") from None
        except httpx.TransportError as error:
            raise _Broken(f"broke off: {reason_of(error)}") from None
    if _size(part) < file.size:
        raise _Broken(f"ended after {_size(part)} of {file.size} bytes")
    return began


def _client(patience: Patience) -> httpx.Client:
    try:
        return httpx.Client(
            timeout=httpx.Timeout(patience.stall, connect=patience.connect),
            # Offsets and checksums are those of the file itself, not of a compressed form of it.
            headers={"Accept-Encoding": "identity"},
            auth=_credentials(),
        )
    except (OSError, ValueError, ImportError, httpx.InvalidURL) as error:
        raise Refused(
            f"the environment's proxy or certificate settings (HTTPS_PROXY, ALL_PROXY, "
            f"SSL_CERT_FILE, ...) cannot be used: {reason_of(error)}"
        ) from None


def _credentials() -> httpx.Auth | None:
    try:
        return httpx.NetRCAuth()
    except FileNotFoundError:
        return None
    except NetrcParseError as error:
        # What it says may hold a password.
        raise Refused(
            f"~/.netrc, line {error.lineno}: is not understood, or others may read the file "
            "(chmod 600 ~/.netrc)"
        ) from None


@contextmanager
def _watched(stop: Callable[[], object], patience: Patience) -> Iterator[Callable[[int], None]]:
    """Yield a function to call with the bytes that have come; call `stop` when those creep.

    A thread looks on, because no timeout between two bytes ends an answer that drips its head,
    or redirects that never come to a file. What the stopped block raises becomes _Broken.
    """
    come, complaint, over = 0, "", threading.Event()

    def report(total: int) -> None:
        nonlocal come
        come = total

    def watch() -> None:
        nonlocal complaint
        before = 0
        while not over.wait(patience.window):
            new, before = come - before, come
            if new < patience.minimum_rate * patience.window:
                complaint = f"too slow: {new} bytes in {patience.window:g} s"
                stop()
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield report
    except Exception:
        if complaint:
            raise _Broken(complaint) from None
        raise
    finally:
        over.set()
        watcher.join()


def _receive(
    client: httpx.Client, url: str, file: OfficialFile, part: Path, report: Callable[[int], None]
) -> int:
    have = _size(part)
    # Whether the server still has the same file is left to the checksum.
    headers = {"Range": f"bytes={have}-"} if have else {}
    with _answer(client, client.build_request("GET", url, headers=headers)) as response:
        _check_status(response)
        if response.status_code == httpx.codes.OK:
            have = 0
        elif not _continues(response, have, file.size):
            part.unlink(missing_ok=True)
            raise _Broken("the server's copy has changed, starting afresh")
        chunks = response.iter_raw()
        first = next(chunks, b"")
        if have == 0:
            _check_beginning(response.headers, first, file.size)
            part.unlink(missing_ok=True)
        _append(itertools.chain([first], chunks), part, file, report)
    return have


@contextmanager
def _answer(client: httpx.Client, request: httpx.Request | None) -> Iterator[httpx.Response]:
    """Yield the answer where all redirects end, with its body unread; those of redirects stay so.

    httpx would read, and unpack, the whole body of a redirect, whatever its size.
    """
    for _ in range(_REDIRECTS):
        if request is None:
            break
        with closing(client.send(request, stream=True)) as response:
            request = response.next_request
            if request is None:
                yield response
                return
    raise Refused("redirects without end")


def _check_status(response: httpx.Response) -> None:
    status = response.status_code
    text = f"HTTP {status} {response.reason_phrase}".strip()
    if status in _PASSING_STATUS:
        raise _Broken(text, retry_after=_retry_after(response.headers))
    # 416 comes when the server's file ends before ours: `_continues` sees that it does not fit.
    if status not in (200, 206, 416):
        raise Refused(text)


def _retry_after(headers: httpx.Headers) -> float:
    """Return the seconds a server asks to wait, 0 where it does not (RFC 9110, 10.2.3)."""
    text = headers.get("Retry-After", "")
    if text.isdecimal():
        return float(text)
    try:
        return parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, OverflowError):  # a date that there is not
        return 0.0


def _continues(response: httpx.Response, have: int, size: int) -> bool:
    span = response.headers.get("Content-Range", "")
    return (
        response.status_code == httpx.codes.PARTIAL_CONTENT
        and span.startswith(f"bytes {have}-")
        and span.endswith((f"/{size}", "/*"))
    )


def _check_beginning(headers: httpx.Headers, first: bytes, size: int) -> None:
    # Before a byte is stored: a quota or login page must not replace a partial file.
    page = first.lstrip()[:5].lower() in (b"<!doc", b"<html")
    if page or headers.get("Content-Type", "").startswith("text/html"):
        raise Refused("sent an HTML page (quota, login or error) instead of the file")
    announced = headers.get("Content-Length")
    if announced is not None and announced != str(size):
        raise Refused(f"announces {announced} bytes instead of the official {size}")


def _append(
    chunks: Iterator[bytes], part: Path, file: OfficialFile, report: Callable[[int], None]
) -> None:
    began = size = _size(part)
    with (
        part.open("ab") as out,
        tqdm(
            desc=file.name,
            total=file.size,
            initial=size,
            unit="B",
            unit_scale=True,
            disable=None,  # no bar where nobody watches: in logs
        ) as bar,
    ):
        for chunk in chunks:
            size += len(chunk)
            if size > file.size:
                raise Refused(f"sends more than the official {file.size} bytes")
            out.write(chunk)
            bar.update(len(chunk))
            report(size - began)


def _from_drive(drive_id: str, file: OfficialFile, part: Path, patience: Patience) -> None:
    # Imported here, because it takes a second and this route is the last one.
    import gdown

    cancel = threading.Event()
    before = _kept_by_gdown(part)
    try:
        with _watched(cancel.set, patience) as report:
            gdown.download(
                id=drive_id,
                output=str(part),
                resume=True,
                use_cookies=False,
                timeout=(patience.connect, patience.stall),
                retries=patience.attempts - 1,
                progress=lambda size, _: report(size),
                cancel=cancel,
            )
    except gdown.exceptions.FileURLRetrievalError as error:
        # gdown quotes the page where it knows it, and the quota's page is the one it knows.
        if "Too many users" in str(error):
            raise Refused("over its quota (too many downloads by anyone): try tomorrow") from None
        raise Refused("no public link: not shared any more, or only after a login") from None
    except _Broken as broken:
        raise Refused(str(broken)) from None
    except Exception as error:
        if "byte range" in str(error) and _kept_by_gdown(part) == before:
            # What cannot be gone on with gdown keeps all the same, and fails like this each time.
            for partial in before:
                partial.unlink()
        raise
    fault = _fault(part, file)
    if fault is not None:
        part.unlink()
        raise Refused(fault)


def _kept_by_gdown(part: Path) -> dict[Path, int]:
    return {path: _size(path) for path in part.parent.glob(f"{part.name}?*.part")}


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _say(text: str) -> None:
    tqdm.write(printable(text), file=sys.stderr)
