"""FiftyOne's App, served in this process behind the guard of `core.web`, without its ways to the files of this machine.

The server of FiftyOne gives any file to anybody who can connect, writes masks to any path, and lists folders. Here it answers the
routes that its App needs for images, and `/media` gives images of the workspace's store and their thumbnails only.
"""

from __future__ import annotations

import json
import logging
import os
import re
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from fototeca.collect.store import EXTENSIONS
from fototeca.core.web import LocalServer, serve_locally
from fototeca.core.web_guard import Application
from fototeca.core.workspace import Workspace
from fototeca.curate.review.browser_images import read_for_browser
from fototeca.curate.review.connection import FiftyOne
from fototeca.curate.review.fiftyone_samples import dataset_name, first_view
from fototeca.curate.review.thumbnails import thumbnail_folder
from fototeca.vision.image import DecodeError

ROUTES = frozenset(
    (
        "/aggregate",
        "/dataset/{dataset_id}/sample/{sample_id}",
        "/dataset/{dataset_id}/sample/{sample_id}/{field_path}/{field_id}",
        "/event",
        "/events",
        "/features",
        "/fiftyone",
        "/geo",
        "/graphql",
        "/ontologies",
        "/ontologies/{name}/attributes",
        "/ontologies/{name}/taxonomy",
        "/plugins",
        "/sort",
        "/tag",
        "/tagging",
        "/values",
    )
)
"""Routes of FiftyOne's server that are served."""

PREFIXES = ("/embeddings", "/operators", "/groups")
"""Beginnings of further routes that are served."""

MOUNTS = ("/plugins", "")
"""Folders that are served: that of plugins, and the App's own files."""

DENIED_OPERATORS = frozenset(("list_files",))
"""Operators that reach files of this machine."""

POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-eval' blob:; worker-src 'self' blob:; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; object-src 'none'; base-uri 'self';"
    " form-action 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy of the App. It reaches no other host; its drawing library compiles code, hence `unsafe-eval`."""

START = "/start"
"""Page that opens the dataset in a browser for which the vendor's advertisement counts as seen."""

_SEEN = "fiftyone-enterprise-tooltip-seen"
_STORED_NAME = re.compile(rf"([0-9a-f]{{2}})/\1[0-9a-f]{{62}}\.({'|'.join(sorted({*EXTENSIONS.values()}))})")
_FORMATS = {extension: name for name, extension in reversed(EXTENSIONS.items())}
"""Pillow's name of the format by the extension of a stored file."""


@contextmanager
def serve_app(fo: FiftyOne, workspace: Workspace, port: int) -> Iterator[LocalServer]:
    """Serve the App at 127.0.0.1 during the block. ExternalError (exit 4) if the port is in use."""
    with serve_locally(make_app(fo, workspace), port=port, policy=POLICY) as server:
        import_module("fiftyone.server.events").set_port(server.port)
        yield server


def make_app(fo: FiftyOne, workspace: Workspace) -> Application:
    """Return FiftyOne's ASGI application, reduced to what the App needs to show images of this workspace."""
    os.environ["FIFTYONE_SERVER"] = "1"
    fo.config.singleton_cache = False  # as in its own server: other processes change datasets too
    app = import_module("fiftyone.server.app").app
    app.debug = False  # errors would show source code
    logging.getLogger("fiftyone.operators.store.notification_service").setLevel(logging.ERROR)  # it polls, and says so
    served = [route for route in app.router.routes if _is_served(route)]
    app.router.routes[:] = [_start_route(fo, workspace), _media_route(workspace), *served]
    managed = import_module("fiftyone.operators.permissions").ManagedOperators
    managed.has_operator = lambda self, uri: str(uri).rpartition("/")[2] not in DENIED_OPERATORS
    application: Application = app
    return application


def _is_served(route: object) -> bool:
    path: str = getattr(route, "path", "")
    if not isinstance(route, Route):
        return path in MOUNTS
    return path in ROUTES or any(path == prefix or path.startswith(f"{prefix}/") for prefix in PREFIXES)


def _start_route(fo: FiftyOne, workspace: Workspace) -> Route:
    """Return the route that opens the dataset at its first queue with images."""
    name = dataset_name(workspace)

    def start(request: Request) -> Response:
        view = first_view(fo, fo.load_dataset(name)) if fo.dataset_exists(name) else ""
        target = json.dumps(f"/datasets/{quote(name)}" + (f"?view={quote(view)}" if view else ""))
        script = f'localStorage.setItem("{_SEEN}", "true"); location.replace({target})'
        digest = b64encode(sha256(script.encode()).digest()).decode()
        page = f'<!doctype html><meta charset="utf-8"><title>fototeca</title><script>{script}</script>'
        return HTMLResponse(page, headers={"Content-Security-Policy": f"default-src 'none'; script-src 'sha256-{digest}'"})

    return Route(START, start)


def _media_route(workspace: Workspace) -> Route:
    folders = (workspace.images, thumbnail_folder(workspace))

    def media(request: Request) -> Response:
        path = find_image_file(folders, request.query_params.get("filepath", ""))
        if path is None:
            return Response("Not found", 404)
        try:
            data, media_type = read_for_browser(path, _FORMATS[path.suffix[1:]])
        except (DecodeError, OSError):
            return Response("Not found", 404)
        return Response(data, media_type=media_type)

    return Route("/media", media)


def find_image_file(folders: tuple[Path, ...], text: str) -> Path | None:
    """Return the file at the path `text` if it is, with all links followed, an image file of one of the folders, else None.

    Files there are named by their SHA-256 and format: a link to another folder gives nothing else of it.
    """
    try:
        path = Path(text).resolve(strict=True)
        roots = [folder.resolve() for folder in folders]
    except (OSError, ValueError, RuntimeError):  # missing, not a path, or a circle of links
        return None
    inside = (path.relative_to(root).as_posix() for root in roots if path.is_relative_to(root))
    return path if path.is_file() and any(_STORED_NAME.fullmatch(name) for name in inside) else None
