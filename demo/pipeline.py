"""The whole pipeline on the embedded gallery, from an empty folder to a report, told step by step."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from fototeca.analysis.evaluation.evaluate import evaluate_run
from fototeca.analysis.predict.predict import predict_paths
from fototeca.analysis.report.page import write_report
from fototeca.collect.http.client import FetchOptions
from fototeca.collect.search import SearchOptions, search
from fototeca.collect.status import workspace_status
from fototeca.core.errors import FototecaError
from fototeca.core.files import write_text
from fototeca.core.workspace import Workspace, create_workspace
from fototeca.curate.duplicates import dedup
from fototeca.curate.label_issues.find import find_label_issues
from fototeca.curate.manifest import Manifest
from fototeca.curate.quality.checks import measure_quality
from fototeca.curate.quality.thresholds import QualityThresholds
from fototeca.curate.versions.freeze import freeze_version
from fototeca.demo.backbone import Pretrained, find_pretrained
from fototeca.demo.gallery import build_gallery, new_images
from fototeca.demo.plan import Entry, plan_entries
from fototeca.demo.signs import CATEGORIES
from fototeca.demo.site import serve_gallery
from fototeca.demo.truth import keep_masks, planted_table
from fototeca.train.runs import Run
from fototeca.train.sweep.plan import sweep
from fototeca.train.tables import run_metrics, runs_table

NEW_EACH = 4
"""Newly drawn images of each sign that the best model is shown at the end."""

TARGET = 150
"""More than the gallery holds of any category, so that every tile is looked at."""

WORDS = """\
## motivation

Six traffic signs that are easily taken for one another from afar, drawn by the demo itself: what was planted among the
images is known, so what every stage finds can be compared with the truth.

## collection

A local gallery was searched with a real browser: a consent dialog, tiles that load as one scrolls, full images behind a
click, an image that opted out, one that robots.txt forbids, one that asks to wait.

## challenges

Copies in other sizes and qualities, images under a wrong sign, broken files, signs that are small, tilted, worn, half
hidden or in bad light.

## conclusions

Drawn images are easier than photographs; what this shows is that the pipeline works, not how well it would do on yours.
"""


def run_demo(folder: Path) -> None:
    """Make `folder` a workspace and take it through every stage; a second call goes on where the first one stopped."""
    workspace = _workspace(folder)
    begin = time.monotonic()
    entries = plan_entries()
    with _step("drawing the gallery"):
        build_gallery(workspace.data / "gallery", entries)
    with _step("collecting from it with a headless browser (on the internet this would use a network)"):
        _collect(workspace, entries)
    keep_masks(workspace, entries, workspace.data / "gallery")
    with _step("grouping duplicates, measuring quality"):
        duplicates = dedup(workspace)
        findings = measure_quality(workspace, QualityThresholds())
        typer.echo(
            f"  {duplicates.images} images, {duplicates.groups} groups, {duplicates.set_aside} set aside,"
            f" {len(findings)} findings"
        )
    with _step("finding a pretrained backbone"):
        pretrained = find_pretrained(workspace.data / "pretraining")
        typer.echo(f"  {pretrained.model}: {pretrained.origin}")
    with _step("suggesting label errors, for people to decide"):
        suggestions = find_label_issues(workspace, model=pretrained.model, weights=pretrained.weights)
    with _step("pushing to FiftyOne (a person would now open fototeca curate review)"):
        _review(workspace)
    with _step("freezing"):
        manifest = freeze_version(workspace).manifest
        typer.echo(f"  {manifest.version}: {len(manifest.rows)} images, {manifest.split_counts()}")
    with _step("training six models"):
        runs = sweep(workspace, _plan(pretrained), manifest.version).runs
    best = runs[0]
    with _step("one look at the test split, new images, the report"):
        test = _test(workspace, best)
        new = _predict(workspace, best)
        pages = [write_report(workspace, manifest.version, lang=lang).page for lang in ("en", "es")]
    typer.echo("")
    typer.echo(planted_table(workspace, entries, suggestions))
    typer.echo("")
    typer.echo(runs_table([run_metrics(run) for run in runs]))
    _close(workspace, manifest, test, new, pages)
    typer.echo(f"the whole demo took {time.monotonic() - begin:.0f} s")


@contextmanager
def _step(name: str) -> Iterator[None]:
    """Say what begins, and how long it took."""
    typer.echo(f"{name} ...")
    begin = time.monotonic()
    yield
    typer.echo(f"  {time.monotonic() - begin:.0f} s")


def _workspace(folder: Path) -> Workspace:
    """The folder as the demo's workspace. FototecaError when it is somebody else's."""
    workspace = Workspace(folder)
    if not workspace.config.exists():
        workspace = create_workspace(folder, list(CATEGORIES), target=TARGET, contact="demo@example.org")
        write_text(workspace.report_text, WORDS)
    if set(workspace.settings.names) != set(CATEGORIES):
        raise FototecaError(f"{workspace.root} is the workspace of another task", "name a new folder: fototeca demo DIR")
    return workspace


def _collect(workspace: Workspace, entries: Sequence[Entry]) -> None:
    """Search the gallery, unless all of it is known already. Its port is kept, since addresses are what is remembered."""
    gallery = workspace.data / "gallery"
    kept = gallery / "port.txt"
    done = gallery / "collected.txt"
    if not done.exists():
        port = int(kept.read_text()) if kept.exists() else 0
        with serve_gallery(gallery, entries, port) as address:
            write_text(kept, address.rpartition(":")[2])
            options = SearchOptions(("gallery",), url=address + "/search?q={query}")
            search(workspace, options, FetchOptions(allow_loopback=True, per_host=8))
        write_text(done, "all of it\n")
    total = workspace_status(workspace)["total"]
    refused = ", ".join(f"{reason} {n}" for reason, n in {**total["rejected"], **total["failed"]}.items())
    typer.echo(f"  {total['found']} candidates, {total['accepted']} accepted; refused: {refused}")


def _review(workspace: Workspace) -> None:
    from fototeca.curate.review.fiftyone_app import push_review

    try:
        pushed = push_review(workspace)
        typer.echo(f"  dataset {pushed.dataset} with {pushed.samples} samples")
    except FototecaError as error:
        typer.echo(f"  not pushed: {error}")


def _plan(pretrained: Pretrained) -> list[dict[str, Any]]:
    """Six models over the three regimes, small enough for two cores. From scratch, 528 images want many small steps: 60 epochs
    of batches of 16 got 70% of the validation split right, 24 got 44%, 12 of batches of 32 got 31%."""
    borrowed = {"model": pretrained.model, "weights": pretrained.weights}
    scratch = {"regime": "scratch", "image_size": 64, "batch_size": 16, "augment": "basic"}
    return [
        {**scratch, "model": "cnn", "epochs": 60},
        {**scratch, "model": "cnn-cbam", "epochs": 20},
        {**borrowed, "regime": "features", "head": "linear"},
        {**borrowed, "regime": "features", "head": "svm"},
        {**borrowed, "regime": "features", "head": "boosting"},
        {**borrowed, "regime": "finetune", "image_size": pretrained.side, "epochs": 3},
    ]


def _test(workspace: Workspace, best: Run) -> dict[str, Any]:
    """The one look; a second demo in the same folder shows what the first one saw."""
    kept = workspace.data / "gallery" / f"test-{best.id}.json"
    if not kept.exists():
        write_text(kept, json.dumps(evaluate_run(workspace, best.id, "test").to_json()))
    facts: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
    return facts


def _predict(workspace: Workspace, best: Run) -> dict[str, Any]:
    paths = new_images(workspace.data / "new", list(CATEGORIES), NEW_EACH)
    predictions = predict_paths(workspace, best.id, [str(path) for path in paths])
    right = sum(prediction.label == Path(prediction.path).parent.name for prediction in predictions)
    return {
        "n": len(predictions),
        "right": right,
        "near": sum(prediction.near_duplicate is not None for prediction in predictions),
    }


def _close(workspace: Workspace, manifest: Manifest, test: dict[str, Any], new: dict[str, Any], pages: list[Path]) -> None:
    low, high = test["accuracy_interval"]
    typer.echo(
        f"\ntest: {test['accuracy']:.1%} right (95% interval {low:.1%} to {high:.1%}, {test['n']} images), with {test['run']}"
        f"\nnew images: {new['right']} of {new['n']} right, {new['near']} taken for copies of the dataset"
        f"\nmanifest: {workspace.relative(manifest.path)}"
    )
    for page in pages:
        typer.echo(f"report: {page}")
