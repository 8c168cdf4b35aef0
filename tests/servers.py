"""Local test servers for sites and services: a function from request to response, served on 127.0.0.1."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class ReceivedRequest:
    """One request received by a test server."""

    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    base: str
    """Base URL of the server."""

    method: str = "GET"


@dataclass(frozen=True)
class StubResponse:
    """Response of a test server."""

    body: bytes = b""
    kind: str = "text/html; charset=utf-8"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Respond = Callable[[ReceivedRequest], StubResponse]


class Site(ThreadingHTTPServer):
    """Server that records its requests."""

    daemon_threads = True
    requests: list[ReceivedRequest]
    base: str

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore clients that disconnect, which some tests do."""


@contextmanager
def serve(respond: Respond) -> Iterator[Site]:
    """Serve `respond` inside the block."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *arguments: object) -> None:
            pass

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            request = ReceivedRequest(parts.path, query, dict(self.headers), body, site.base, self.command)
            site.requests.append(request)
            answer = respond(request)
            self.send_response(answer.status)
            for name, value in {"Content-Type": answer.kind, "Content-Length": str(len(answer.body)), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body)

        do_POST = do_HEAD = do_GET  # noqa: N815 - http.server's own names

    site = Site(("127.0.0.1", 0), Handler)
    site.requests = []
    site.base = f"http://127.0.0.1:{site.server_address[1]}"
    thread = threading.Thread(target=site.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield site
    finally:
        site.shutdown()
        site.server_close()
        thread.join()


def jpeg(number: int, side: int = 96) -> bytes:
    """Return an image that differs from those of other numbers."""
    noise = np.random.default_rng(number).uniform(0, 255, (7, 7, 3)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
    return file.getvalue()


def json_response(document: object, status: int = 200, **headers: str) -> StubResponse:
    """Return a JSON response; header names have _ for -."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return StubResponse(json.dumps(document).encode(), "application/json", status, sent)


def image_response(request: ReceivedRequest) -> StubResponse | None:
    """Return the image of `/full/N.jpg` or `/thumbs/N.jpg`, 404 for robots.txt, None for other paths."""
    if request.path == "/robots.txt":
        return StubResponse(status=404)
    folder, _, name = request.path.lstrip("/").partition("/")
    number = name.removesuffix(".jpg")
    if folder not in ("full", "thumbs") or not number.isdigit():
        return None
    return StubResponse(jpeg(int(number) + 10_000 * (folder == "thumbs")), "image/jpeg")
