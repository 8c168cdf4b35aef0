"""The keyboard page: a local server for one reviewer that needs neither FiftyOne nor anything from the network.

A request is answered only if it has the key of the printed address, names this server as its host and comes from its own page:
another site open in the same browser can neither read nor decide anything.
"""

from __future__ import annotations

import io
import json
import re
import secrets
import sqlite3
import sys
import webbrowser
from collections.abc import Callable, Mapping
from contextlib import suppress
from hmac import compare_digest
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from PIL import Image

from fototeca.core.console import notify
from fototeca.core.errors import ExternalError, FototecaError
from fototeca.core.workspace import Workspace
from fototeca.curate.labels.decisions import make_edit
from fototeca.curate.review.results import ReviewResult
from fototeca.curate.review.session import ReviewSession, StaleError
from fototeca.vision.image import DecodeError, decode, find_changes

PAGE = Path(__file__).parent / "pages" / "review.html"

LOCAL = "127.0.0.1"
"""Address to listen on; other machines cannot reach it."""
MAX_BODY = 4_000_000
"""Maximum bytes of a request; a decision about a group of ten thousand images has two million."""

_BROWSER_FORMATS = {"JPEG": "jpeg", "MPO": "jpeg", "PNG": "png", "WEBP": "webp", "GIF": "gif", "BMP": "bmp", "AVIF": "avif"}
"""Image formats that browsers show; other formats are converted to JPEG."""

_CHANGES = frozenset(("animation", "depth", "cmyk", "lab", "transparency"))
"""How reading changes images that browsers show otherwise; people see what the models see. Browsers rotate and apply profiles."""

_CHOICES: dict[str, type] = {"label": str, "reject": str, "restore": bool}


class RequestRejectedError(Exception):
    """A request that is rejected with an HTTP status."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


class PageServer(ThreadingHTTPServer):
    """Serves a review session at `url`, which contains the key."""

    daemon_threads = True

    def __init__(self, session: ReviewSession, port: int) -> None:
        super().__init__((LOCAL, port), Handler)
        self.session = session
        self.key = secrets.token_urlsafe(12)
        self.hosts = {f"{name}:{self.server_port}" for name in (LOCAL, "localhost")}
        self.url = f"http://{LOCAL}:{self.server_port}/?key={self.key}"
        self.num_decisions = 0

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore browsers that close the connection early; report every other error."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class Handler(BaseHTTPRequestHandler):
    """Handles one connection."""

    protocol_version = "HTTP/1.1"
    timeout = 30
    server: PageServer

    def log_message(self, format: str, *arguments: object) -> None:
        """Log nothing."""

    def do_GET(self) -> None:
        """Send the page, its data, and images."""
        self._respond(lambda: self._get(*self._authorize()))

    def do_POST(self) -> None:
        """Accept decisions from the page."""
        self._respond(self._post)

    def _respond(self, respond: Callable[[], None]) -> None:
        try:
            if self.headers.get("Host", "") not in self.server.hosts:
                raise RequestRejectedError(HTTPStatus.FORBIDDEN)
            respond()
        except RequestRejectedError as rejection:
            self.close_connection = True
            self._send_json({"error": rejection.status.phrase}, rejection.status)
        except (UnicodeError, OverflowError, RecursionError):  # malformed
            self._send_json({"error": HTTPStatus.BAD_REQUEST.phrase}, HTTPStatus.BAD_REQUEST)
        except StaleError as error:
            self._send_json({"error": str(error)}, HTTPStatus.CONFLICT)
        except (FototecaError, sqlite3.Error) as error:
            self._send_json({"error": str(error)}, HTTPStatus.BAD_REQUEST)

    def _authorize(self) -> tuple[list[str], Mapping[str, str]]:
        """Return the parts of the path and the query; reject a request without the key or from another site."""
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        origins = {f"http://{host}" for host in self.server.hosts}
        foreign = self.headers.get("Origin") not in (None, *origins)
        if foreign or not compare_digest(query.get("key", "").encode(), self.server.key.encode()):
            raise RequestRejectedError(HTTPStatus.FORBIDDEN)
        return [unquote(part) for part in parts.path.split("/") if part], query

    def _get(self, path: list[str], query: Mapping[str, str]) -> None:
        session = self.server.session
        match path:
            case []:
                self._send_page()
            case ["overview"]:
                self._send_json(session.overview().to_json())
            case ["queue"]:
                entries = session.queue(query.get("name", ""))
                self._send_json({"queue": [entry.to_json() for entry in entries], **session.progress().to_json()})
            case ["details", image_id]:
                self._send_json(session.image_details(image_id).to_json())
            case ["image" | "thumbnail" as size, image_id]:
                self._send_image(image_id, small=size == "thumbnail")
            case _:
                raise RequestRejectedError(HTTPStatus.NOT_FOUND)

    def _post(self) -> None:
        path, _ = self._authorize()
        body = self._read_json()
        session = self.server.session
        if path == ["decide"] and _has_types(body, {"image_id": str, "shown": dict, "group": bool}):
            choice = {name: body[name] for name, kind in _CHOICES.items() if _has_types(body, {name: kind})}
            edit = make_edit(session.workspace.settings, **choice)
            written = session.decide(body["shown"], body["image_id"], edit, group=body["group"])
        elif path == ["apart"] and _has_types(body, {"image_id": str, "shown": dict}):
            written = session.apart(body["shown"], body["image_id"])
        elif path == ["undo"] and _has_types(body, {"decisions": list}) and all(type(row) is int for row in body["decisions"]):
            written = session.undo(body["decisions"])
        else:
            raise RequestRejectedError(HTTPStatus.BAD_REQUEST)
        self.server.num_decisions += len(written)
        rows = [{name: getattr(decision, name) for name in ("decision_id", "image_id", "action")} for decision in written]
        self._send_json({"decisions": rows, **session.progress().to_json()})

    def _read_json(self) -> dict[str, Any]:
        """Return the JSON object of the request. A form of another site can send neither this type nor this page's origin."""
        size = self.headers.get("Content-Length", "")
        if self.headers.get("Origin") is None or self.headers.get("Content-Type") != "application/json":
            raise RequestRejectedError(HTTPStatus.FORBIDDEN)
        if not re.fullmatch(r"[0-9]{1,9}", size) or int(size) > MAX_BODY:
            raise RequestRejectedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        with suppress(ValueError):
            document = json.loads(self.rfile.read(int(size)))
            if isinstance(document, dict):
                return document
        raise RequestRejectedError(HTTPStatus.BAD_REQUEST)

    def _send_page(self) -> None:
        nonce = secrets.token_urlsafe(16)
        policy = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src 'self' data:;"
            " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        text = PAGE.read_text(encoding="utf-8").replace("NONCE", nonce)
        self._send(text.encode(), "text/html; charset=utf-8", {"Content-Security-Policy": policy})

    def _send_image(self, image_id: str, *, small: bool) -> None:
        path, image_format = self.server.session.image_file(image_id, small=small)
        content_type = _BROWSER_FORMATS.get(image_format, "")
        try:
            data = path.read_bytes()
            if not content_type or _CHANGES & set(find_changes(data)):
                content_type, data = "jpeg", _encode_jpeg(decode(data))
        except (DecodeError, OSError):
            raise RequestRejectedError(HTTPStatus.NOT_FOUND) from None
        self._send(data, f"image/{content_type}", {"Cache-Control": "private, max-age=86400, immutable"})

    def _send_json(self, document: object, status: HTTPStatus = HTTPStatus.OK) -> None:
        self._send(json.dumps(document, ensure_ascii=False).encode(), "application/json", {}, status)

    def _send(self, body: bytes, content_type: str, headers: Mapping[str, str], status: HTTPStatus = HTTPStatus.OK) -> None:
        fixed = {
            "Content-Type": content_type,
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
        }
        self.send_response(status)
        for name, value in {**fixed, **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def _has_types(body: Mapping[str, Any], types: Mapping[str, type]) -> bool:
    return all(isinstance(body.get(name), kind) for name, kind in types.items())


def run_page(workspace: Workspace, *, port: int, browser: bool) -> ReviewResult:
    """Serve the page until interrupted; return the number of decisions.

    FototecaError (4) if the port is in use.
    """
    try:
        server = PageServer(ReviewSession(workspace), port)
    except (OSError, OverflowError) as error:
        hint = "is the port free? choose another with --port"
        raise ExternalError(f"the page cannot be served at {LOCAL}:{port}: {error}", hint) from None
    with server:
        reviewer = server.session.person.name
        notify(f"{server.url}\nreview there as {reviewer}; every decision is saved at once; press Ctrl-C here to finish")
        if browser:
            webbrowser.open(server.url)
        with suppress(KeyboardInterrupt):
            server.serve_forever()
    return ReviewResult(server.num_decisions)


def _encode_jpeg(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=92)
    return file.getvalue()
