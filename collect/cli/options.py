"""Options shared by the commands of `fototeca collect`, and their common ending."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fototeca.core.console import echo, notify
from fototeca.core.errors import EXIT_SHORT
from fototeca.core.workspace import Workspace

if TYPE_CHECKING:
    from fototeca.collect.ingest.summary import CollectSummary

MinSide = Annotated[int, typer.Option(help="Reject images whose shorter side has fewer pixels.")]
MaxBytes = Annotated[int, typer.Option(help="Reject files with more bytes.")]
Exclude = Annotated[
    list[str] | None,
    typer.Option(metavar="GLOB", help="Pass over matching files, as in .gitignore: '*.gif', raw/, 'a/**/b.jpg'. Repeatable."),
]
MaxPixels = Annotated[int, typer.Option(help="Reject images with more pixels; a 108-megapixel phone needs 110000000.")]
Concurrency = Annotated[int, typer.Option(help="Maximum number of simultaneous downloads.")]
PerHost = Annotated[int, typer.Option(help="Maximum number of simultaneous downloads from one host.")]
Timeout = Annotated[float, typer.Option(help="Seconds for one download, redirects included.")]
SourceName = Annotated[str, typer.Option(help="Name of the source in manifests, one word.")]
License = Annotated[str, typer.Option("--license", help="License of the images: an SPDX id, a name or a URL.")]
Author = Annotated[str, typer.Option(help="Author of the images.")]
AllowLoopback = Annotated[bool, typer.Option("--allow-loopback", help="Allow fetching from loopback addresses.")]
SendKeyTo = Annotated[
    list[str] | None,
    typer.Option(metavar="HOST", help="A server of your own site files that may receive the key of its service. Repeatable."),
]
KeepSplits = Annotated[bool, typer.Option("--keep-splits", help="Keep the dataset's own train, val and test at the next freeze.")]
GroupBy = Annotated[
    str,
    typer.Option(help="What shares a split: a column, folder, a regular expression with one group, or exif-time[:MINUTES]."),
]

_MAX_LISTED = 12
"""Categories listed by name in the shortfall line."""


def finish(workspace: Workspace, summary: CollectSummary, categories: tuple[str, ...] = ()) -> None:
    """Print the summary; exit 3 if any of `categories` (all when empty) is below its target."""
    from fototeca.collect.status import compute_shortfalls

    echo(summary.text())
    short = {name: count for name, count in compute_shortfalls(workspace).items() if not categories or name in categories}
    if short:
        listed = ", ".join(f"{name} {count}" for name, count in list(short.items())[:_MAX_LISTED])
        more = f" and {len(short) - _MAX_LISTED} more categories" if len(short) > _MAX_LISTED else ""
        goal = f"the target of {workspace.settings.target} accepted images without near-duplicates"
        notify(f"fototeca: short of {goal}: {listed}{more}; collect more")
        raise typer.Exit(EXIT_SHORT)
