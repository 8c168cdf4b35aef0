"""The keyboard page: served to one reviewer from this machine, without FiftyOne and without anything from elsewhere.

A request is answered only if it carries the key of the printed address, names this server as its host and comes from its own
page: another site open in the same browser can neither read nor decide anything.
"""

from __future__ import annotations

import io
import json
import re
import secrets
import sqlite3
import sys
import webbrowser
from collections.abc import Mapping
from contextlib import suppress
from hmac import compare_digest
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from fototeca.core.console import notify
from fototeca.core.errors import EXIT_OUTSIDE, FototecaError
from fototeca.core.workspace import Workspace
from fototeca.curate.review.session import ReviewSession, StaleError
from fototeca.vision.image import DecodeError, decode

PAGE = Path(__file__).parent / "pages" / "review.html"

LOCAL = "127.0.0.1"
"""The only address that is served: nobody else in the network can ask."""
MAX_BODY = 4_000_000
"""Bytes of a decision; one about a group of ten thousand images has two million."""

_KINDS = {"JPEG": "jpeg", "MPO": "jpeg", "PNG": "png", "WEBP": "webp", "GIF": "gif", "BMP": "bmp", "AVIF": "avif"}
"""What browsers show as it is; everything else is shown as JPEG."""

_CHOICES = {"label": str, "reject": str, "restore": bool}


class RefusedError(Exception):
    """A request that is not answered, with its status."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


class PageServer(ThreadingHTTPServer):
    """Serves a desk at `url`, which holds the key."""

    daemon_threads = True

    def __init__(self, desk: ReviewSession, port: int) -> None:
        super().__init__((LOCAL, port), Handler)
        self.desk = desk
        self.key = secrets.token_urlsafe(12)
        self.hosts = {f"{name}:{self.server_port}" for name in (LOCAL, "localhost")}
        self.url = f"http://{LOCAL}:{self.server_port}/?key={self.key}"
        self.decisions = 0

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that goes away in the middle of an answer is nothing to tell; a bug is."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    timeout = 30
    server: PageServer

    def log_message(self, format: str, *arguments: object) -> None:
        """The terminal is for people."""

    def do_GET(self) -> None:
        """The page, what it asks, and images."""
        self._answer(lambda: self._get(*self._ask()))

    def do_POST(self) -> None:
        """Decisions; only from the page itself."""
        self._answer(self._post)

    def _answer(self, act: Any) -> None:  # noqa: ANN401 - a function that sends
        try:
            if self.headers.get("Host", "") not in self.server.hosts:
                raise RefusedError(HTTPStatus.FORBIDDEN)
            act()
        except RefusedError as refusal:
            self.close_connection = True
            self._json({"error": refusal.status.phrase}, refusal.status)
        except (UnicodeError, OverflowError, RecursionError):  # a request that the page does not make
            self._json({"error": HTTPStatus.BAD_REQUEST.phrase}, HTTPStatus.BAD_REQUEST)
        except StaleError as error:
            self._json({"error": str(error)}, HTTPStatus.CONFLICT)
        except (FototecaError, sqlite3.Error) as error:
            self._json({"error": str(error)}, HTTPStatus.BAD_REQUEST)

    def _ask(self) -> tuple[list[str], Mapping[str, str]]:
        """The path's parts and the query, if the request has the key and does not come from another site."""
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        origins = {f"http://{host}" for host in self.server.hosts}
        foreign = self.headers.get("Origin") not in (None, *origins)
        if foreign or not compare_digest(query.get("key", "").encode(), self.server.key.encode()):
            raise RefusedError(HTTPStatus.FORBIDDEN)
        return [unquote(part) for part in parts.path.split("/") if part], query

    def _get(self, path: list[str], query: Mapping[str, str]) -> None:
        desk = self.server.desk
        match path:
            case []:
                self._page()
            case ["overview"]:
                self._json(desk.overview())
            case ["queue"]:
                self._json({"queue": desk.queue(query.get("name", "")), **desk.progress()})
            case ["show", image_id]:
                self._json(desk.show(image_id))
            case ["image" | "thumbnail" as kind, image_id]:
                self._draw_image(image_id, small=kind == "thumbnail")
            case _:
                raise RefusedError(HTTPStatus.NOT_FOUND)

    def _post(self) -> None:
        path, _ = self._ask()
        wanted = self._body()
        desk = self.server.desk
        if path == ["decide"] and _fits(wanted, {"image_id": str, "seen": dict, "group": bool}):
            choice = {name: wanted[name] for name, kind in _CHOICES.items() if _fits(wanted, {name: kind})}
            written = desk.decide(wanted["seen"], wanted["image_id"], group=wanted["group"], **choice)
        elif path == ["undo"] and _fits(wanted, {"decisions": list}) and all(type(row) is int for row in wanted["decisions"]):
            written = desk.undo(wanted["decisions"])
        else:
            raise RefusedError(HTTPStatus.BAD_REQUEST)
        self.server.decisions += len(written)
        rows = [{"decision_id": row.decision_id, "image_id": row.image_id} for row in written]
        self._json({"decisions": rows, **self.server.desk.progress()})

    def _body(self) -> dict[str, Any]:
        """The JSON object sent by the page: a form of another site cannot send this type, nor this page's origin."""
        size = self.headers.get("Content-Length", "")
        if self.headers.get("Origin") is None or self.headers.get("Content-Type") != "application/json":
            raise RefusedError(HTTPStatus.FORBIDDEN)
        if not re.fullmatch(r"[0-9]{1,9}", size) or int(size) > MAX_BODY:
            raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        with suppress(ValueError):
            found = json.loads(self.rfile.read(int(size)))
            if isinstance(found, dict):
                return found
        raise RefusedError(HTTPStatus.BAD_REQUEST)

    def _page(self) -> None:
        nonce = secrets.token_urlsafe(16)
        policy = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src 'self' data:;"
            " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        text = PAGE.read_text(encoding="utf-8").replace("NONCE", nonce)
        self._send(text.encode(), "text/html; charset=utf-8", {"Content-Security-Policy": policy})

    def _draw_image(self, image_id: str, *, small: bool) -> None:
        path, form = self.server.desk.image_file(image_id, small=small)
        file = io.BytesIO()
        try:
            if form in _KINDS:
                file.write(path.read_bytes())
            else:
                decode(path).save(file, "JPEG", quality=92)
        except (DecodeError, OSError):
            raise RefusedError(HTTPStatus.NOT_FOUND) from None
        kind = f"image/{_KINDS.get(form, 'jpeg')}"
        self._send(file.getvalue(), kind, {"Cache-Control": "private, max-age=86400, immutable"})

    def _json(self, document: object, status: HTTPStatus = HTTPStatus.OK) -> None:
        self._send(json.dumps(document, ensure_ascii=False).encode(), "application/json", {}, status)

    def _send(self, body: bytes, kind: str, headers: Mapping[str, str], status: HTTPStatus = HTTPStatus.OK) -> None:
        fixed = {
            "Content-Type": kind,
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


def _fits(wanted: Mapping[str, Any], kinds: Mapping[str, type]) -> bool:
    return all(isinstance(wanted.get(name), kind) for name, kind in kinds.items())


def run_page(workspace: Workspace, *, port: int, browser: bool) -> dict[str, Any]:
    """Serve the page until interrupted; returns how many decisions were made, in the shape of `pull_review`.

    FototecaError (4) when the port is taken.
    """
    try:
        server = PageServer(ReviewSession(workspace), port)
    except (OSError, OverflowError) as error:
        hint = "is the port free? choose another with --port"
        raise FototecaError(f"the page cannot be served at {LOCAL}:{port}: {error}", hint, EXIT_OUTSIDE) from None
    with server:
        name = server.desk.who.partition(":")[2]
        notify(f"{server.url}\ndecide there as {name}; every decision is kept at once; press Ctrl-C here when you are done")
        if browser:
            webbrowser.open(server.url)
        with suppress(KeyboardInterrupt):
            server.serve_forever()
    return {"decisions": server.decisions, "conflicts": [], "problems": []}
