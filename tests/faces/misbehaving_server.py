"""A real HTTP server on 127.0.0.1 that misbehaves as told, one behaviour for each request."""

import re
import ssl
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PIECE = 16_384

# By these gdown tells a file from a page; they do not harm elsewhere.
OF_DRIVE = {"Content-Type": "application/zip", "Content-Disposition": "attachment"}


class MisbehavingServer(ThreadingHTTPServer):
    """Serves `contents` by path; request n follows script[n], all further ones `always`."""

    daemon_threads = True

    def __init__(
        self, contents: Mapping[str, bytes], script: Sequence["Behaviour"], always: "Behaviour"
    ) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.contents = dict(contents)
        self.script = list(script)
        self.always = always
        self.etag = '"v1"'
        self.requests: list[dict[str, str]] = []  # the headers of each request
        self.tls: ssl.SSLContext | None = None  # to be, as a proxy, whatever host is asked for
        self.sent = 0  # bytes of bodies
        self.release = threading.Event()  # ends every stall
        self.guard = threading.Lock()

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{name}"


class _Handler(BaseHTTPRequestHandler):
    server: MisbehavingServer
    protocol_version = "HTTP/1.1"

    def handle(self) -> None:
        with suppress(ConnectionError, ssl.SSLError):  # the client has had enough
            super().handle()

    def do_GET(self) -> None:
        with self.server.guard:
            behave = self.server.script.pop(0) if self.server.script else self.server.always
            self.server.requests.append(dict(self.headers))
        self.close_connection = True
        behave(self)

    def do_CONNECT(self) -> None:
        """Play the proxy: instead of passing the connection on, answer for the other side."""
        if self.server.tls is None:
            self.send_error(403)
            return
        self.send_response(200)
        self.end_headers()
        self.connection = self.server.tls.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb", buffering=0)
        self.close_connection = False

    def finish(self) -> None:
        super().finish()
        # socketserver closes the socket it accepted, not what TLS made of it.
        self.connection.close()

    def log_message(self, format: str, *args: object) -> None:
        pass

    @property
    def content(self) -> bytes:
        return self.server.contents[self.path.lstrip("/")]

    def head(self, status: int, headers: Mapping[str, object]) -> None:
        self.send_response(status)
        for name, value in {"Connection": "close", **headers}.items():
            self.send_header(name, str(value))
        self.end_headers()

    def body(self, content: bytes) -> None:
        for start in range(0, len(content), PIECE):
            piece = content[start : start + PIECE]
            self.wfile.write(piece)
            with self.server.guard:
                self.server.sent += len(piece)

    def head_of_good(self) -> bytes:
        """Send the head that an honest server sends; return the body that has to follow."""
        content, etag = self.content, self.server.etag
        span = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if span is None:
            self.head(200, {"Content-Length": len(content), "ETag": etag, **OF_DRIVE})
            return content
        start = int(span[1])
        if start >= len(content):
            self.head(416, {"Content-Range": f"bytes */{len(content)}", "Content-Length": 0})
            return b""
        rest = content[start:]
        whole = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self.head(206, {"Content-Length": len(rest), "Content-Range": whole, "ETag": etag})
        return rest


Behaviour = Callable[[_Handler], None]


def good(handler: _Handler) -> None:
    handler.body(handler.head_of_good())


def cut(handler: _Handler) -> None:
    """Announce everything, send half, close the connection."""
    body = handler.head_of_good()
    handler.body(body[: len(body) // 2])


def stall(handler: _Handler) -> None:
    """Send half, then nothing, until released; then the rest."""
    body = handler.head_of_good()
    handler.body(body[: len(body) // 2])
    handler.wfile.flush()
    handler.server.release.wait(60)
    handler.body(body[len(body) // 2 :])


def steady(handler: _Handler) -> None:
    """Send all of it, a piece every 60 ms: slow, but honest."""
    body = handler.head_of_good()
    for start in range(0, len(body), PIECE):
        handler.body(body[start : start + PIECE])
        handler.server.release.wait(0.06)


def drip(handler: _Handler) -> None:
    """Send a byte every 20 ms."""
    for byte in handler.head_of_good():
        handler.body(bytes([byte]))
        if handler.server.release.wait(0.02):
            break


def drip_head(handler: _Handler) -> None:
    """Send a header that never ends, a byte every 20 ms."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Never: ")
    while not handler.server.release.wait(0.02):
        handler.wfile.write(b"x")


def drip_chunk_size(handler: _Handler) -> None:
    """Send a chunk's size that never ends: bytes come, but none of the file."""
    handler.head(200, {"Transfer-Encoding": "chunked"})
    handler.wfile.write(b"10;x=")
    while not handler.server.release.wait(0.02):
        handler.wfile.write(b"x")


def without_range(handler: _Handler) -> None:
    handler.head(200, {"Content-Length": len(handler.content)})
    handler.body(handler.content)


def cut_without_range(handler: _Handler) -> None:
    handler.head(200, {"Content-Length": len(handler.content)})
    handler.body(handler.content[: len(handler.content) // 2])


def unannounced_end(handler: _Handler) -> None:
    """Send half of the content as if it were the whole."""
    handler.head(200, {})
    handler.body(handler.content[: len(handler.content) // 2])


def range_from_the_start(handler: _Handler) -> None:
    """Call the whole content the asked range."""
    content = handler.content
    span = f"bytes 0-{len(content) - 1}/{len(content)}"
    handler.head(206, {"Content-Length": len(content), "Content-Range": span})
    handler.body(content)


def too_short(handler: _Handler) -> None:
    handler.head(200, {"Content-Length": 1000})
    handler.body(handler.content[:1000])


def too_long(handler: _Handler) -> None:
    handler.head(200, {})
    handler.body(handler.content + b"more")


def garbage(handler: _Handler) -> None:
    body = bytes(len(handler.content))
    handler.head(200, {"Content-Length": len(body), "ETag": '"v1"'})
    handler.body(body)


def page(handler: _Handler) -> None:
    body = b"\n<!DOCTYPE html><html><title>Google Drive - Quota exceeded</title></html>"
    handler.head(200, {"Content-Type": "application/zip", "Content-Length": len(body)})
    handler.body(body)


def page_by_type(handler: _Handler) -> None:
    body = b"<?xml version='1.0'?><html/>"
    handler.head(200, {"Content-Type": "text/html; charset=utf-8"})
    handler.body(body)


def _html(handler: _Handler, body: bytes) -> None:
    kind = {"Content-Type": "text/html; charset=utf-8", "Connection": "keep-alive"}
    handler.head(200, {"Content-Length": len(body), **kind})
    handler.body(body)


def drive_confirms(handler: _Handler) -> None:
    """Google Drive's page before a file too large for its virus scan."""
    _html(
        handler,
        b'<!DOCTYPE html><html><form id="download-form" method="get" '
        b'action="https://drive.usercontent.google.com/download">'
        b'<input type="hidden" name="id" value="ID"></form></html>',
    )


def drive_without_range(handler: _Handler) -> None:
    handler.head(200, {"Content-Length": len(handler.content), **OF_DRIVE})
    handler.body(handler.content)


def garbage_of_drive(handler: _Handler) -> None:
    handler.head(200, {"Content-Length": len(handler.content), **OF_DRIVE})
    handler.body(bytes(len(handler.content)))


def drive_quota(handler: _Handler) -> None:
    _html(
        handler,
        b'<!DOCTYPE html><html><p class="uc-error-caption">Sorry, you can&#39;t view or download '
        b'this file at this time.</p>\n<p class="uc-error-subcaption">Too many users have viewed '
        b"or downloaded this file recently. Please try accessing the file again later.</p></html>",
    )


def drive_login(handler: _Handler) -> None:
    _html(handler, b"<!DOCTYPE html><html><title>Google Drive: Sign-in</title></html>")


def status(code: int, **headers: str) -> Behaviour:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler: handler.head(code, {"Content-Length": 0, **names})


def redirect_without_end_of_body(url: str) -> Behaviour:
    """Redirect with a body that never ends."""

    def behave(handler: _Handler) -> None:
        handler.head(302, {"Location": url, "Content-Encoding": "gzip"})
        while not handler.server.release.is_set():
            handler.body(bytes(PIECE))

    return behave


def raw(answer: bytes) -> Behaviour:
    """Send these bytes, be they HTTP or not."""
    return lambda handler: handler.body(answer)


def behind_password(user: str, password: str) -> Behaviour:
    """Be good to those who know the password."""
    expected = b64encode(f"{user}:{password}".encode()).decode()

    def behave(handler: _Handler) -> None:
        if handler.headers.get("Authorization") == f"Basic {expected}":
            good(handler)
        else:
            handler.head(401, {"Content-Length": 0})

    return behave


def loop(handler: _Handler) -> None:
    handler.head(302, {"Location": handler.path, "Content-Length": 0})


def redirect_to(url: str) -> Behaviour:
    return status(302, Location=url)


@contextmanager
def serving(
    contents: Mapping[str, bytes], script: Sequence[Behaviour] = (), always: Behaviour = good
) -> Iterator[MisbehavingServer]:
    server = MisbehavingServer(contents, script, always)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.release.set()
        server.shutdown()
        thread.join()
        server.server_close()
