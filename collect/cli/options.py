"""What the commands of `fototeca collect` share: their options, and how they end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fototeca.core.console import notify
from fototeca.core.errors import EXIT_SHORT
from fototeca.core.workspace import Workspace

if TYPE_CHECKING:
    from fototeca.collect.ingest.summary import Summary

MinSide = Annotated[int, typer.Option(help="Reject images whose shorter side has fewer pixels.")]
MaxBytes = Annotated[int, typer.Option(help="Reject longer files.")]
Concurrency = Annotated[int, typer.Option(help="Downloads at once.")]
PerHost = Annotated[int, typer.Option(help="Downloads at once from one host.")]
Timeout = Annotated[float, typer.Option(help="Seconds for one download, redirects included.")]
AllowLoopback = Annotated[bool, typer.Option("--allow-loopback", help="Allow fetching from loopback addresses.")]


def close(workspace: Workspace, summary: Summary, categories: tuple[str, ...] = ()) -> None:
    """Say what came of a collection; exit 3 when a category is short of its target."""
    from fototeca.collect.status import short_categories

    typer.echo(summary.text())
    short = {name: count for name, count in short_categories(workspace).items() if not categories or name in categories}
    if short:
        listed = ", ".join(f"{name} {count}" for name, count in list(short.items())[:12])
        more = f" and {len(short) - 12} categories more" if len(short) > 12 else ""
        goal = f"the target of {workspace.settings.target} accepted images that do not look alike"
        notify(f"fototeca: short of {goal}: {listed}{more}; collect more")
        raise typer.Exit(EXIT_SHORT)
