"""A real HTTP server on 127.0.0.1 that misbehaves as told, one behaviour for each request."""

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PIECE = 16_384


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
        self.times: list[float] = []  # monotonic seconds of each request
        self.sent = 0  # bytes of bodies
        self.release = threading.Event()  # ends every stall
        self.guard = threading.Lock()

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{name}"


class _Handler(BaseHTTPRequestHandler):
    server: MisbehavingServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        with self.server.guard:
            behave = self.server.script.pop(0) if self.server.script else self.server.always
            self.server.requests.append(dict(self.headers))
            self.server.times.append(time.monotonic())
        self.close_connection = True
        with suppress(BrokenPipeError, ConnectionResetError):  # the client has had enough
            behave(self)

    def log_message(self, format: str, *args: object) -> None:
        pass

    @property
    def content(self) -> bytes:
        return self.server.contents[self.path.lstrip("/")]

    def head(self, status: int, headers: Mapping[str, object]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.send_header("Connection", "close")
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
        if span is None or self.headers.get("If-Range", etag) != etag:
            self.head(200, {"Content-Length": len(content), "ETag": etag})
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


def drip(handler: _Handler) -> None:
    """Send a byte every 20 ms."""
    for byte in handler.head_of_good():
        handler.body(bytes([byte]))
        if handler.server.release.wait(0.02):
            break


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


def ignore_if_range(handler: _Handler) -> None:
    """Answer any range out of the present content, changed or not."""
    handler.headers.replace_header("If-Range", handler.server.etag)
    good(handler)


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


def status(code: int, **headers: str) -> Behaviour:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler: handler.head(code, {"Content-Length": 0, **names})


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
