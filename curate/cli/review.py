"""The commands `check`, `review`, `pull` and `agreement`."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from fototeca.core.console import notify
from fototeca.core.errors import EXIT_SHORT, EXIT_USAGE
from fototeca.core.workspace import Workspace
from fototeca.curate.quality.thresholds import QualityThresholds

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands to `fototeca curate`."""
    for command in (check, review, pull, agreement):
        app.command()(command)


def check(
    blurry: Annotated[float, typer.Option(help="Sharpness below this is blurry.")] = QualityThresholds.blurry,
    dark: Annotated[float, typer.Option(help="95% of the pixels darker than this is dark.")] = QualityThresholds.dark,
    light: Annotated[float, typer.Option(help="95% of the pixels lighter than this is light.")] = QualityThresholds.light,
    low_information: Annotated[
        float, typer.Option(help="Entropy below this is next to nothing.")
    ] = QualityThresholds.low_information,
    odd_aspect: Annotated[
        float, typer.Option(help="Short side by long side below this is an odd shape.")
    ] = QualityThresholds.odd_aspect,
    odd_size: Annotated[
        float, typer.Option(help="So many times the median, or a part of it, is an odd size.")
    ] = QualityThresholds.odd_size,
    border: Annotated[float, typer.Option(help="Share of plain strips along the sides above this.")] = QualityThresholds.border,
    thumbnail: Annotated[
        float, typer.Option(help="The side by that of a larger original below this.")
    ] = QualityThresholds.thumbnail,
    limit: Annotated[int, typer.Option(help="Images to print per kind; --json has all.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Find images that are corrupt, blurry, dark, light, nearly empty, framed, thumbnails, or of an odd size or shape.

    Findings are for people: nothing is rejected.

    Example: fototeca curate check --blurry 0.3
    """
    from fototeca.curate.quality.checks import findings_table, measure_quality

    limits = QualityThresholds(blurry, dark, light, low_information, odd_aspect, odd_size, border, thumbnail)
    findings = measure_quality(Workspace.find(), limits)
    as_rows = [finding.__dict__ for finding in findings]
    typer.echo(json.dumps(as_rows, indent=2) if as_json else findings_table(findings, limit))


def review(
    simple: Annotated[bool, typer.Option("--simple", help="A keyboard page instead of the App; needs no database.")] = False,
    port: Annotated[int, typer.Option(help="Port of the page.")] = 5151,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")] = True,
    as_json: AsJson = False,
) -> None:
    """Open the FiftyOne App on the catalog; edits become label decisions when you leave with Ctrl-C.

    With --simple a page with one image at a time, for keyboard or touch, where every decision is kept at once.

    Example: fototeca curate review --simple
    """
    workspace = Workspace.find()
    if simple:
        from fototeca.curate.review.server import run_page

        _tell(run_page(workspace, port=port, browser=browser), as_json)
        return
    from fototeca.curate.review.fiftyone_app import run_review

    _tell(run_review(workspace, port=port, browser=browser), as_json)


def pull(as_json: AsJson = False) -> None:
    """Bring the App's edits back as label decisions. Twice is the same as once.

    Example: fototeca curate pull
    """
    from fototeca.curate.review.fiftyone_app import pull_review

    _tell(pull_review(Workspace.find()), as_json)


def agreement(
    limit: Annotated[int, typer.Option(help="Disagreements to print for each two people; --json has all.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Show how far every two reviewers agree: share, Cohen's kappa, kappa by category, and where they do not.

    Example: fototeca curate agreement
    """
    from fototeca.curate.review.agreement import agreement_table, measure_agreement

    rows = measure_agreement(Workspace.find())
    typer.echo(json.dumps(rows, ensure_ascii=False, indent=2) if as_json else agreement_table(rows, limit))


def _tell(facts: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(facts, ensure_ascii=False, indent=2))
    else:
        typer.echo(f"{facts['decisions']} decisions")
        for row in facts["conflicts"]:
            shown = {name: text.replace("\t", " ") for name, text in row.items()}
            notify(f"conflict: {row['image_id'][:12]} is {shown['catalog']!r} in the catalog by now, {shown['app']!r} in the App")
        for row in facts["problems"]:
            notify(f"not followed: {row['image_id'][:12]}: {row['problem']}")
    if facts["problems"]:
        raise typer.Exit(EXIT_USAGE)
    if facts["conflicts"]:
        notify("to settle a conflict: fototeca curate label IMAGE_ID --label L, then review again")
        raise typer.Exit(EXIT_SHORT)
