"""The keyboard page: a local application for one reviewer that needs neither FiftyOne nor anything from the network.

`core.web` serves it, so that neither another site open in the same browser nor another user of this machine reads or decides.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from fototeca.core.console import escape_values
from fototeca.core.errors import FototecaError
from fototeca.core.web import serve_locally
from fototeca.core.workspace import Workspace
from fototeca.curate.labels.decisions import make_edit
from fototeca.curate.review.browser_images import read_for_browser
from fototeca.curate.review.results import ReviewResult
from fototeca.curate.review.session import ReviewSession, StaleError
from fototeca.vision.image import DecodeError

PAGE = Path(__file__).parent / "pages" / "review.html"

_CHOICES: dict[str, type] = {"label": str, "reject": str, "restore": bool}

_REFUSED = (HTTPException, FototecaError, sqlite3.Error, UnicodeError, OverflowError, RecursionError)
"""Exceptions that a request of the page can raise; the last three are for malformed ones."""


class ReviewPage:
    """The page of a review session.

    Attributes:
        app: the ASGI application; it checks neither keys nor origins, so it is served by `core.web` only.
        num_decisions: decisions saved so far.
    """

    def __init__(self, session: ReviewSession) -> None:
        self.session = session
        self.num_decisions = 0
        self._server_id = secrets.token_hex(8)  # undo in a tab's memory belongs to one server
        routes = [
            Route("/", self._page),
            Route("/overview", self._overview),
            Route("/queue", self._queue),
            Route("/details/{image_id}", self._details),
            Route("/image/{image_id}", self._image),
            Route("/thumbnail/{image_id}", self._thumbnail),
            *(Route(f"/{action}", self._post, methods=["POST"]) for action in ("decide", "apart", "undo")),
        ]
        self.app = Starlette(routes=routes, exception_handlers=dict.fromkeys(_REFUSED, _refuse))
        self.app.router.redirect_slashes = False

    def _page(self, request: Request) -> Response:
        nonce = secrets.token_urlsafe(16)
        policy = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src 'self' data:;"
            " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        text = PAGE.read_text(encoding="utf-8").replace("NONCE", nonce).replace("SERVER_ID", self._server_id)
        return HTMLResponse(text, headers={"Content-Security-Policy": policy})

    def _overview(self, request: Request) -> Response:
        return JSONResponse(escape_values(self.session.overview().to_json()))

    def _queue(self, request: Request) -> Response:
        entries = self.session.queue(request.query_params.get("name", ""))
        return JSONResponse(escape_values({"queue": [entry.to_json() for entry in entries], **self.session.progress().to_json()}))

    def _details(self, request: Request) -> Response:
        return JSONResponse(escape_values(self.session.image_details(request.path_params["image_id"]).to_json()))

    def _image(self, request: Request) -> Response:
        return self._send_image(request.path_params["image_id"], small=False)

    def _thumbnail(self, request: Request) -> Response:
        return self._send_image(request.path_params["image_id"], small=True)

    def _send_image(self, image_id: str, *, small: bool) -> Response:
        path, image_format = self.session.image_file(image_id, small=small)
        try:
            data, media_type = read_for_browser(path, image_format)
        except (DecodeError, OSError):
            raise HTTPException(404) from None
        return Response(data, media_type=media_type, headers={"Cache-Control": "private, max-age=86400, immutable"})

    async def _post(self, request: Request) -> Response:
        if request.headers.get("Content-Type") != "application/json":  # a form of another site cannot send this type
            raise HTTPException(403)
        body = await request.body()
        return await run_in_threadpool(self._write, request.url.path, _parse_object(body))

    def _write(self, path: str, body: dict[str, Any]) -> Response:
        session = self.session
        if path == "/decide" and _has_types(body, {"image_id": str, "shown": dict, "group": bool}):
            choice = {name: body[name] for name, kind in _CHOICES.items() if _has_types(body, {name: kind})}
            edit = make_edit(session.workspace.settings, **choice)
            written = session.decide(body["shown"], body["image_id"], edit, group=body["group"])
        elif path == "/apart" and _has_types(body, {"image_id": str, "shown": dict}):
            written = session.apart(body["shown"], body["image_id"])
        elif path == "/undo" and _has_types(body, {"decisions": list}) and all(type(row) is int for row in body["decisions"]):
            written = session.undo(body["decisions"])
        else:
            raise HTTPException(400)
        self.num_decisions += len(written)
        rows = [{name: getattr(decision, name) for name in ("decision_id", "image_id", "action")} for decision in written]
        return JSONResponse({"decisions": rows, **session.progress().to_json()})


def _refuse(request: Request, error: Exception) -> Response:
    """Answer with the reason as JSON."""
    if isinstance(error, HTTPException):
        return JSONResponse({"error": error.detail}, error.status_code)
    text = str(error) if isinstance(error, FototecaError | sqlite3.Error) else "Bad Request"
    return JSONResponse({"error": text}, 409 if isinstance(error, StaleError) else 400)


def _parse_object(body: bytes) -> dict[str, Any]:
    with suppress(ValueError):
        document = json.loads(body)
        if isinstance(document, dict):
            return document
    raise HTTPException(400)


def _has_types(body: Mapping[str, Any], types: Mapping[str, type]) -> bool:
    return all(isinstance(body.get(name), kind) for name, kind in types.items())


def run_page(workspace: Workspace, *, port: int, browser: bool) -> ReviewResult:
    """Serve the page until interrupted; return the number of decisions.

    FototecaError (4) if the port is in use.
    """
    page = ReviewPage(ReviewSession(workspace))
    with serve_locally(page.app, port=port) as server:
        reviewer = page.session.person.name
        server.announce(f"review there as {reviewer}; every decision is saved at once; press Ctrl-C here to finish")
        if browser:
            server.open_browser(workspace.data)
        server.wait()
    return ReviewResult(page.num_decisions)
