"""The commands `dedup` and `groups`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from fototeca.core.console import echo, notify
from fototeca.core.workspace import Workspace


def register(app: typer.Typer) -> None:
    """Add this module's commands to `fototeca curate`."""
    app.command()(dedup)
    app.command()(groups)


def dedup(
    threshold: Annotated[int, typer.Option(help="Bits in which hashes may differ for two images to be compared.")] = 10,
    similarity: Annotated[
        float, typer.Option(help="How alike a copy must be, 0.5 to 1: 0.8 tolerates strong compression, 1 nothing.")
    ] = 0.8,
    keep_near: Annotated[bool, typer.Option("--keep-near", help="Set aside only copies with equal pixels.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Group near-duplicates, keep the best of each group and set the rest aside. Nothing is deleted.

    Example: fototeca curate dedup
    """
    from fototeca.curate.duplicates import dedup

    result = dedup(Workspace.find(), threshold=threshold, similarity=similarity, keep_near=keep_near)
    if as_json:
        echo(json.dumps(result.to_json()))
    else:
        ties = ", ".join(f"{kind} {count}" for kind, count in result.ties.to_json().items() if count)
        if ties:
            echo(f"pairs compared in detail: {ties}")
        echo(f"{result.images} images, {result.groups} groups of near-duplicates, {result.set_aside} set aside")


def groups(
    csv: Annotated[Path | None, typer.Option(help="Write the rows to this CSV file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the duplicate groups, those with several labels first: one row per image, with its match to the group.

    Example: fototeca curate groups --csv groups.csv
    """
    from fototeca.curate.duplicates.listing import groups_table, list_groups, list_possible_copies, write_groups_csv

    workspace = Workspace.find()
    rows = list_groups(workspace)
    if csv is not None:
        write_groups_csv(rows, csv)
        notify(f"written: {csv}")
    if as_json:
        echo(json.dumps(rows, ensure_ascii=False, indent=2))
    elif csv is None:
        echo(groups_table(rows, list_possible_copies(workspace)))
