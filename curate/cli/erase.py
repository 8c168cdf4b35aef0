"""The command `erase`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from fototeca.core.console import echo, notify
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace


def register(app: typer.Typer) -> None:
    """Add this module's command to `fototeca curate`."""
    app.command()(erase)


def erase(
    image_id: Annotated[list[str] | None, typer.Argument(help="Image ids, or unique beginnings of ids.")] = None,
    reason: Annotated[str, typer.Option(help="Reason, in one line, stored with the decision.")] = "",
    url: Annotated[list[str] | None, typer.Option(help="URL of an image or of its page; can be repeated.")] = None,
    source: Annotated[list[str] | None, typer.Option(help="Name of a source, all of whose images go; can be repeated.")] = None,
    file_name: Annotated[list[str] | None, typer.Option("--file-name", help="Original file name; can be repeated.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON; needs --yes.")] = False,
) -> None:
    """Erase images on request: files, thumbnails, caches, reports and predictions. It cannot be undone.

    A tombstone stays, so that the same bytes are never collected again. Frozen versions, runs and exports that contain the
    images are named. An interrupted erasure is completed by the same command, or by the command without images.

    Example: fototeca curate erase 3fa2b7 --reason "request of the author"
    """
    from fototeca.curate.erasure.erase import Selection, erase_images, plan_erasure

    workspace = Workspace.find()
    selection = Selection(tuple(image_id or ()), tuple(url or ()), tuple(source or ()), tuple(file_name or ()))
    if not reason.strip() and selection != Selection():
        raise FototecaError("an erasure needs a reason", "give --reason, such as 'request of the author'")
    if not yes:
        if as_json:
            raise FototecaError("--json asks no question", "add --yes")
        notify(plan_erasure(workspace, selection).text())
        typer.confirm("Erase these images for good?", abort=True, err=True)
    result = erase_images(workspace, selection, reason)
    if as_json:
        echo(json.dumps(result.to_json(), ensure_ascii=False, indent=2))
    else:
        echo(f"{result.text()}\nerased; {result.files} files deleted or rewritten")
