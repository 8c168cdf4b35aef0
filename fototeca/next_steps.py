"""`fototeca next`: the steps from an empty folder to a report, those that are done, and the command of the next one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from shlex import quote

from fototeca.analysis.evaluation.test_access_log import read_accesses
from fototeca.analysis.predict.results import stored_predictions_path
from fototeca.collect.catalog import Catalog, ImageRow
from fototeca.core.counting import count_of
from fototeca.core.report_text import HEADINGS, read_report_text
from fototeca.core.results import Result
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import list_versions, read_manifest
from fototeca.train.runs import Run
from fototeca.train.runs.registry import list_runs

MIN_RUNS = 6
"""Trained models wanted."""


@dataclass(frozen=True)
class Step(Result):
    """One step: if it is done, how far it is, and the command that continues it."""

    name: str
    done: bool
    detail: str
    command: str


def list_steps(workspace: Workspace) -> list[Step]:
    """Return all steps in order."""
    with Catalog.open(workspace) as catalog:
        accepted = [image for image in catalog.images.all() if image.status == "accepted"]
        has_issues = bool(catalog.label_issues.all())
    versions = list_versions(workspace)
    latest = versions[-1] if versions else ""
    runs = [run for run in list_runs(workspace) if run.manifest_version == latest]
    return [
        *_dataset_steps(workspace, accepted, has_issues=has_issues),
        _freeze_step(workspace, accepted, latest),
        *_model_steps(runs, latest),
        *_analysis_steps(workspace, runs, latest),
    ]


def _dataset_steps(workspace: Workspace, accepted: list[ImageRow], *, has_issues: bool) -> Iterator[Step]:
    settings = workspace.settings
    counts = {name: sum(name in image.label.split("|") for image in accepted) for name in settings.names}
    short = {name: count for name, count in counts.items() if count < settings.target}
    worst = min(short, key=short.__getitem__, default="")
    detail = f"{worst} has {short[worst]} of {settings.target}" if short else f"{settings.target} or more in each category"
    more = f"; {count_of(len(short), 'category', 'categories')} short" if len(short) > 1 else ""
    yield Step("collect", bool(accepted) and not short, detail + more, "fototeca collect --help")
    compared = sum(bool(image.component) for image in accepted)
    detail = f"{compared} of {count_of(len(accepted), 'image')} compared"
    yield Step("find duplicates", bool(accepted) and compared == len(accepted), detail, "fototeca curate dedup")
    detail = "searched" if has_issues else "not searched"
    yield Step("find label issues", has_issues, detail, "fototeca curate label-issues")
    reviewed = sum(image.reviewed for image in accepted)
    detail = f"{reviewed} of {count_of(len(accepted), 'image')} reviewed"
    yield Step("review", bool(accepted) and reviewed == len(accepted), detail, "fototeca curate review")


def _freeze_step(workspace: Workspace, accepted: list[ImageRow], latest: str) -> Step:
    if not latest:
        return Step("freeze", False, "no version", "fototeca curate freeze")
    frozen = {row.image_id: row.label for row in read_manifest(workspace, latest).rows}
    changed = sum(frozen.get(image.image_id) != image.label for image in accepted if image.label)
    detail = f"{latest}, {count_of(len(frozen), 'image')}" + (f"; {changed} differ since" if changed else "")
    return Step("freeze", not changed, detail, "fototeca curate freeze")


def _model_steps(runs: list[Run], latest: str) -> Iterator[Step]:
    sweep = f"fototeca train sweep --manifest {latest or 'latest'}"
    single = [run for run in runs if "members" not in run.config]
    own = [run for run in single if run.regime == "scratch"]
    scratch = f"fototeca train run --manifest {latest or 'latest'} --model cnn --regime scratch"
    yield Step("train an own network", bool(own), count_of(len(own), "run"), scratch)
    yield Step("train six models", len(single) >= MIN_RUNS, f"{count_of(len(single), 'run')} of {MIN_RUNS}", sweep)
    ensembles = len(runs) - len(single)
    members = " ".join(quote(run.id) for run in single[:3]) or "RUN RUN"
    yield Step("combine models", ensembles > 0, count_of(ensembles, "ensemble"), f"fototeca train ensemble {members}")


def _analysis_steps(workspace: Workspace, runs: list[Run], latest: str) -> Iterator[Step]:
    best = max(runs, key=lambda run: run.metrics.val_accuracy, default=None)
    name = quote(best.id) if best else "RUN"
    accesses = read_accesses(workspace, latest) if latest else []
    tested = sum(access.accuracy is not None for access in accesses)
    yield Step("test once", tested > 0, f"tested {count_of(tested, 'time')}", f"fototeca analysis evaluate {name} --split test")
    predicted = sum(stored_predictions_path(workspace, run).is_file() for run in runs)
    yield Step("predict new images", predicted > 0, count_of(predicted, "run"), f"fototeca analysis predict {name} PATH")
    text = read_report_text(workspace.report_text)
    written = sum(bool(text.own(key)) for key in HEADINGS)
    detail = f"{written} of {len(HEADINGS)} sections of {workspace.report_text.name} written"
    yield Step("write own words", written == len(HEADINGS), detail, f"edit {workspace.report_text.name}")
    pages = list((workspace.reports / latest).glob("report-*.html")) if latest else []
    newest = max((run.folder / "done.json").stat().st_mtime for run in runs) if runs else 0.0
    fresh = [page for page in pages if page.stat().st_mtime >= newest]
    detail = "up to date" if fresh else "older than the newest run" if pages else "none"
    yield Step("report", bool(fresh), detail, f"fototeca analysis report --manifest {latest or 'latest'}")


def steps_text(steps: list[Step]) -> str:
    """Return a line for each step, and last the command of the first one that is not done."""
    width = max(len(step.name) for step in steps)
    lines = [f"[{'x' if step.done else ' '}] {step.name.ljust(width)}  {step.detail}" for step in steps]
    following = next((step for step in steps if not step.done), None)
    return "\n".join([*lines, "", f"next: {following.command}" if following else "all steps are done"])
