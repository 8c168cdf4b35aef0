"""`analysis serve`: serve runs until interrupted."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from fototeca.analysis.serving.app import ServingApp
from fototeca.analysis.serving.served_run import ServedRun
from fototeca.core.console import notify
from fototeca.core.files import write_text
from fototeca.core.results import Result
from fototeca.core.web import check_port, serve_locally
from fototeca.core.web_limits import WebLimits
from fototeca.core.workspace import Workspace

LIMITS = WebLimits(max_body=32_000_000, body_seconds=60, requests=64, per_second=500)


@dataclass(frozen=True)
class ServeResult(Result):
    """What happened while runs were served."""

    added: int
    """Images added to the catalog with the label that a person gave them."""


def serve_runs(
    workspace: Workspace, run_ids: Sequence[str], *, port: int, browser: bool, allow_loopback: bool = False
) -> ServeResult:
    """Serve the page and the API of finished runs at 127.0.0.1 until Ctrl-C.

    Programs send the header in `data/serve-PORT.header`, which only this user can read and which is removed at the end.

    Args:
        workspace: the runs' workspace.
        run_ids: ids of finished runs.
        port: port of 127.0.0.1.
        browser: open the page in the user's browser.
        allow_loopback: allow URLs of loopback addresses.

    Raises:
        FototecaError: a run is unknown or unfinished (2), or the port cannot be used (4).
    """
    check_port(port)
    with ExitStack() as stack:
        served = []
        for run_id in dict.fromkeys(run_ids):
            notify(f"loading {run_id}")
            served.append(ServedRun(workspace, run_id))
            stack.callback(served[-1].close)
        app = ServingApp(workspace, served, allow_loopback=allow_loopback)
        key = secrets.token_urlsafe(32)
        server = stack.enter_context(serve_locally(app.app, port=port, limits=LIMITS, api_key=key))
        header = workspace.data / f"serve-{server.port}.header"
        stack.callback(header.unlink, missing_ok=True)
        write_text(header, f"Authorization: Bearer {key}\n", mode=0o600)
        notify(f"API: curl -H @{header} --data-binary @photo.jpg {server.guard.origin}/predict")
        server.announce("press Ctrl-C here to finish")
        if browser:
            server.open_browser(workspace.data)
        server.wait()
    return ServeResult(len(app.added))
