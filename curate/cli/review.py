"""The commands `quality`, `review`, `apart` and `agreement`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from fototeca.core.console import echo, notify
from fototeca.core.counting import count_of
from fototeca.core.errors import EXIT_SHORT, EXIT_USAGE, FototecaError
from fototeca.core.passed_over import PassedOver
from fototeca.core.workspace import Workspace
from fototeca.curate.quality.thresholds import QualityThresholds

if TYPE_CHECKING:
    from fototeca.curate.review.results import ReviewResult

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands to `fototeca curate`."""
    for command in (quality, review, apart, agreement):
        app.command()(command)


def quality(
    blurry: Annotated[float, typer.Option(help="Sharpness below this is blurry.")] = QualityThresholds.blurry,
    dark: Annotated[float, typer.Option(help="95% of the pixels darker than this is dark.")] = QualityThresholds.dark,
    light: Annotated[float, typer.Option(help="95% of the pixels lighter than this is light.")] = QualityThresholds.light,
    low_information: Annotated[
        float, typer.Option(help="Entropy below this is low information.")
    ] = QualityThresholds.low_information,
    odd_aspect: Annotated[
        float, typer.Option(help="A short side divided by the long side below this is an odd shape.")
    ] = QualityThresholds.odd_aspect,
    odd_size: Annotated[
        float, typer.Option(help="A size this many times the median, or this fraction of it, is odd.")
    ] = QualityThresholds.odd_size,
    border: Annotated[float, typer.Option(help="A share of plain margins above this is a border.")] = QualityThresholds.border,
    thumbnail: Annotated[
        float, typer.Option(help="Side divided by that of a larger original below this: a thumbnail.")
    ] = QualityThresholds.thumbnail,
    limit: Annotated[int, typer.Option(help="Images to print per kind; --json prints all.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Find images that are corrupt, blurry, dark, light, nearly empty, framed, thumbnails, or of an odd size or shape.

    Rejects nothing: the results fill a review queue.

    Example: fototeca curate quality --blurry 0.3
    """
    from fototeca.curate.quality.checks import measure_quality, quality_table

    limits = QualityThresholds(blurry, dark, light, low_information, odd_aspect, odd_size, border, thumbnail)
    issues = measure_quality(Workspace.find(), limits)
    rows = [issue.to_json() for issue in issues]
    echo(json.dumps(rows, indent=2) if as_json else quality_table(issues, limit))


def review(
    web: Annotated[bool, typer.Option("--web", help="Open a keyboard page instead of the App; needs no database.")] = False,
    apply: Annotated[bool, typer.Option("--apply", help="Open nothing; write the App's edits as label decisions.")] = False,
    port: Annotated[int, typer.Option(help="Port of the page.")] = 5151,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")] = True,
    as_json: AsJson = False,
) -> None:
    """Open the FiftyOne App on the catalog; Ctrl-C closes it and writes its edits as label decisions.

    With --web, open a page with one image at a time, for keyboard or touch, that saves every decision at once. With --apply,
    write the edits of an App that was closed otherwise; repeating it changes nothing.

    Example: fototeca curate review --web
    """
    if web and apply:
        raise FototecaError("--apply writes the edits of the App; the page of --web saves its own", "give one of the two")
    workspace = Workspace.find()
    if web:
        from fototeca.curate.review.server import run_page

        _print_result(run_page(workspace, port=port, browser=browser), as_json)
        return
    from fototeca.curate.review.fiftyone_app import apply_review, run_review

    _print_result(apply_review(workspace) if apply else run_review(workspace, port=port, browser=browser), as_json)


def apart(
    image_id: Annotated[list[str], typer.Argument(help="Two or more image ids, or unique beginnings of ids.")],
    comment: Annotated[str, typer.Option(help="A remark to store with the decisions.")] = "",
    as_json: AsJson = False,
) -> None:
    """Declare images to be no copies of each other. No search ties them again; their groups and splits follow at once.

    Every two of the images become one decision, which `curate history` shows and the review page can undo.

    Example: fototeca curate apart 3fa2b7 91cc04
    """
    from fototeca.curate.labels.decisions import describe_decision
    from fototeca.curate.review.apart import declare_apart

    decisions = declare_apart(Workspace.find(), image_id, comment=comment)
    if as_json:
        echo(json.dumps([decision.to_json() for decision in decisions], ensure_ascii=False, indent=2))
        return
    for decision in decisions:
        echo(f"{decision.image_id[:12]}  {describe_decision(decision)}")
    if not decisions:
        notify("nothing to declare: these images are apart already")


def agreement(
    limit: Annotated[int, typer.Option(help="Disagreements to print for each two people; --json prints all.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Show the agreement of every two reviewers: share, Cohen's kappa, kappa by category, and the disagreements.

    Example: fototeca curate agreement
    """
    from fototeca.curate.review.agreement import agreement_table, measure_agreement

    results = measure_agreement(Workspace.find())
    rows = [result.to_json() for result in results]
    echo(json.dumps(rows, ensure_ascii=False, indent=2) if as_json else agreement_table(results, limit))


def _print_result(result: ReviewResult, as_json: bool) -> None:
    if as_json:
        echo(json.dumps(result.to_json(), ensure_ascii=False, indent=2))
    else:
        echo(count_of(result.decisions, "decision"))
        for conflict in result.conflicts:
            in_catalog, in_app = (state.replace("\t", " ") for state in (conflict.catalog, conflict.app))
            notify(f"conflict: {conflict.image_id[:12]} is {in_catalog!r} in the catalog, {in_app!r} in the App")
        not_applied = PassedOver()
        for problem in result.problems:
            name = f" ({problem.file_name})" if problem.file_name else ""
            not_applied.add(problem.problem, f"{problem.image_id[:12]}{name}")
        for count in not_applied.counts():
            notify(f"not applied: {count.text()}")
    if result.problems:
        raise typer.Exit(EXIT_USAGE)
    if result.conflicts:
        notify("to resolve a conflict: fototeca curate label IMAGE_ID --label L, then review again")
        raise typer.Exit(EXIT_SHORT)
