"""Review in the FiftyOne App: `push_review` shows the catalog, `apply_review` writes edits back as decisions.

Every sample stores the state that was pushed last beside its current state, written in one step, so that edits are recognized
after a kill of the App, the database or fototeca. Importing FiftyOne starts its database, so it is imported on use.
"""

from __future__ import annotations

import os
import secrets
import sys
import time
import webbrowser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from io import StringIO
from itertools import count
from typing import Any

from tqdm import tqdm

from fototeca.collect.catalog import Catalog, Edit, ImageRow, ReviewState
from fototeca.core.console import notify
from fototeca.core.errors import ExternalError, FototecaError
from fototeca.core.results import Result
from fototeca.core.workspace import Workspace
from fototeca.curate.labels.categories import list_renames
from fototeca.curate.labels.decisions import check_reason, check_task, current_person
from fototeca.curate.labels.review_state import encode_state, merge_edit_after_renames
from fototeca.curate.quality.checks import list_findings_by_image
from fototeca.curate.review.doctor import FIX
from fototeca.curate.review.fiftyone_samples import (
    Dataset,
    FiftyOne,
    SampleRow,
    create_fields,
    describe_progress,
    make_editable,
    make_sample,
    read_samples,
    save_views,
    update_samples,
    update_state,
)
from fototeca.curate.review.queues import Annotation, latest_annotations, list_review_items
from fototeca.curate.review.results import EditConflict, EditProblem, ReviewResult
from fototeca.curate.review.thumbnails import make_thumbnails

_CATALOG_ID = "catalog-id"
_REPORTED = "conflict-reported:"
"""Metadata prefix, before an image id: the last decision when a conflict was reported, what was pushed, and the edit."""

_WITHDRAWN = "removing this tag undoes nothing, it is set again: decide again, or undo it in fototeca curate review --web"


def dataset_name(workspace: Workspace) -> str:
    """Return `fototeca-<dataset name>`."""
    return f"fototeca-{workspace.settings.name}"


@dataclass(frozen=True)
class PushResult(Result):
    """Name of the dataset, and numbers of its samples; `pending`: edits that are not applied yet."""

    dataset: str
    samples: int
    added: int
    updated: int
    pending: int


def push_review(workspace: Workspace) -> PushResult:
    """Show the catalog in FiftyOne. Edits that are not applied yet stay.

    FototecaError (4) without a database, (2) if a dataset of that name belongs to another workspace.
    """
    with _fiftyone() as fo, Catalog.open(workspace) as catalog:
        review_items = list_review_items(catalog, workspace.settings.names, list_findings_by_image(catalog))
        items = {item.image.image_id: item for item in review_items}
        check_task((item.image for item in items.values()), workspace.settings.task)
        dataset = _own_dataset(fo, workspace, catalog, create=True)
        create_fields(fo, dataset, workspace)
        existing = set(dataset.values("image_id"))
        new = [item for image_id, item in items.items() if image_id not in existing]
        thumbnails = make_thumbnails(workspace, [item.image for item in items.values()])
        samples = (make_sample(fo, workspace, item, thumbnails) for item in new)
        bar = tqdm(samples, total=len(new), desc="pushing", unit="image", disable=None if new else True)
        dataset.add_samples(bar, progress=False, num_samples=len(new))
        updated, pending = update_samples(fo, dataset, workspace, items, existing, thumbnails)
        save_views(fo, dataset, workspace.settings.names)
        make_editable(dataset, workspace.settings.names)
        describe_progress(dataset)
        return PushResult(dataset.name, len(items), len(new), updated, pending)


def apply_review(workspace: Workspace) -> ReviewResult:
    """Write the App's edits as decisions of the person at the keyboard. Repeating it changes nothing.

    An edit of an image that somebody else decided on after it was pushed is a conflict, reported until the person here decides on
    that image. An edit that cannot be applied, such as an unknown label, is a problem. Neither overwrites anything.
    """
    applied: list[AppliedEdit] = []
    with _fiftyone() as fo, Catalog.open(workspace) as catalog:
        dataset = _own_dataset(fo, workspace, catalog, create=False)
        edits = [row for row in read_samples(dataset) if row.edited != row.pushed and catalog.images.get(row.image_id)]
        renames = list_renames(catalog) if edits else []
        for row in tqdm(edits, desc="applying", unit="edit", disable=None):
            result = _apply_edit(workspace, catalog, row, renames)
            applied.append(result)
            if result.state:
                update_state(fo, dataset[row.sample_id], row.edited, result.state, workspace)
        describe_progress(dataset)
    return ReviewResult(
        sum(result.num_decisions for result in applied),
        tuple(result.conflict for result in applied if result.conflict),
        tuple(result.problem for result in applied if result.problem),
    )


@dataclass(frozen=True)
class AppliedEdit:
    """Outcome of one edit. `state`: the sample's new state, None if the sample keeps its edit."""

    num_decisions: int = 0
    state: ReviewState | None = None
    conflict: EditConflict | None = None
    problem: EditProblem | None = None


def _apply_edit(workspace: Workspace, catalog: Catalog, row: SampleRow, renames: Sequence[tuple[str, str]]) -> AppliedEdit:
    """Apply one edit to the catalog.

    The catalog is read and written in one transaction: no other decision comes in between.
    """
    image_id, problem = row.image_id, None
    try:
        with catalog.transaction():
            current = _get_image(catalog, image_id).review_state
            categories = workspace.settings.names
            outcome, edits = merge_edit_after_renames(row.edited, row.pushed, current, renames, categories)
            if edits == [Edit.relabel(current.label)] and current.reviewed and _confirmed(catalog, image_id, current):
                edits = []  # as after an interrupted run
            reported = _REPORTED + image_id
            edit_text = f"{encode_state(row.pushed)}\n{encode_state(row.edited)}"
            if _is_answered(catalog, image_id, edit_text):
                edits = []
            elif outcome == "conflict":
                catalog.metadata.set(reported, f"{catalog.decisions.last_id()}\n{edit_text}")
                states = (encode_state(state) for state in (row.edited, row.pushed, current))
                return AppliedEdit(conflict=EditConflict(image_id, *states))
            elif outcome == "withdrawn":
                problem = EditProblem(image_id, _WITHDRAWN)
            if catalog.metadata.get(reported):
                catalog.metadata.set(reported, "")
            for edit in edits:
                catalog.decisions.add(image_id, _checked(workspace, edit), by=current_person(), reason="FiftyOne App")
            state = _get_image(catalog, image_id).review_state
    except FototecaError as error:
        return AppliedEdit(problem=EditProblem(image_id, error.message))
    return AppliedEdit(len(edits), state, problem=problem)


def _confirmed(catalog: Catalog, image_id: str, current: ReviewState) -> bool:
    """Return True if the latest annotation of the person at the keyboard is the current label."""
    annotations = latest_annotations(catalog.decisions.all(image_id)).get(image_id, {})
    return annotations.get(current_person().name) == Annotation(current.label)


def _is_answered(catalog: Catalog, image_id: str, edit_text: str) -> bool:
    """Return True if this edit was reported as a conflict and the person here has decided on the image since."""
    number, _, reported = (catalog.metadata.get(_REPORTED + image_id) or "").partition("\n")
    if reported != edit_text:
        return False
    person = current_person()
    return any(
        decision.decision_id > int(number) and decision.is_review and decision.by == person
        for decision in catalog.decisions.all(image_id)
    )


def _get_image(catalog: Catalog, image_id: str) -> ImageRow:
    image = catalog.images.get(image_id)
    assert image is not None, "images are never deleted"
    return image


def _checked(workspace: Workspace, edit: Edit) -> Edit:
    """Return the edit with its label or reason as the catalog writes it. FototecaError if one of them is invalid."""
    if edit.action == "reject":
        return Edit.reject(check_reason(edit.rejected))
    return Edit.relabel(workspace.settings.check_label(edit.label)) if edit.action == "label" else edit


def run_review(workspace: Workspace, *, port: int, browser: bool) -> ReviewResult:
    """Push, serve the App on 127.0.0.1 until interrupted, then apply the edits."""
    pushed = push_review(workspace)
    if pushed.pending:
        notify(f"{pushed.pending} edits are not applied yet and stay as they are")
    with _fiftyone() as fo:
        dataset = fo.load_dataset(pushed.dataset)
        notify("starting the App; this takes up to half a minute")
        session = serve_app(fo, dataset, port)
        url = f"http://127.0.0.1:{port}/datasets/{dataset.name}"
        notify(f"{pushed.samples} images at {url}; press Ctrl-C here to finish and apply the edits")
        if browser:
            webbrowser.open(url)
        try:
            while True:
                time.sleep(0.5)
        except KeyboardInterrupt:
            notify("closing the App")
        session.close()
    return apply_review(workspace)


def serve_app(fo: FiftyOne, dataset: Dataset, port: int) -> Any:  # noqa: ANN401 - FiftyOne's session has no type
    """Serve the App on 127.0.0.1, with up to three attempts. FototecaError (4) if its server does not start."""
    problem = ""
    for _ in range(3):
        try:
            with redirect_stdout(StringIO()):  # its client prints a line for every attempt to connect
                return fo.launch_app(dataset, remote=True, address="127.0.0.1", port=port)
        except fo.core.service.ServiceListenTimeout as error:
            problem = str(error)
    raise ExternalError(f"the App does not start: {problem}", "is the port free? choose another with --port")


@contextmanager
def _fiftyone() -> Iterator[FiftyOne]:
    """Import FiftyOne, quiet and without telemetry; errors of its database become a FototecaError (4)."""
    os.environ.setdefault("FIFTYONE_DO_NOT_TRACK", "true")
    os.environ.setdefault("FIFTYONE_DATABASE_VALIDATION", "false")
    os.environ.setdefault("FIFTYONE_LOGGING_LEVEL", "WARNING")  # it would print how to reach this machine from another one
    with redirect_stdout(sys.stderr):
        try:
            fo = import_module("fiftyone")
            fo.list_datasets()
        except Exception as error:  # FiftyOne, pymongo and the operating system each raise their own
            raise _database_error(error, f"{FIX}; or review without it: fototeca curate review --web") from None
        try:
            yield fo
        except import_module("pymongo.errors").PyMongoError as error:
            raise _database_error(error, "saved edits are kept: start it and run the same command again") from None


def _database_error(error: Exception, hint: str) -> FototecaError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
    return ExternalError(f"FiftyOne's database does not answer: {reason}", hint)


def _own_dataset(fo: FiftyOne, workspace: Workspace, catalog: Catalog, *, create: bool) -> Dataset:
    """Return the workspace's dataset. FototecaError if it belongs to another workspace, or is missing and `create` is False."""
    name, owner = dataset_name(workspace), {"catalog": _catalog_id(catalog), "workspace": str(workspace.root)}
    if create and fo.dataset_exists(name):
        _free_name(fo, name, owner["catalog"])
    if not fo.dataset_exists(name):
        if not create:
            raise FototecaError("there are no edits to apply: no dataset was pushed", "run: fototeca curate review")
        try:
            dataset = fo.Dataset(name, persistent=True)
        except ValueError as error:  # it compares names by their letters a to z and digits only
            raise FototecaError(
                f"FiftyOne rejects the dataset name {name}: {error}", "choose another name in fototeca.toml"
            ) from None
        dataset.info["fototeca"] = owner
        dataset.save()
        return dataset
    dataset = fo.load_dataset(name)
    recorded = dataset.info.get("fototeca", {})
    moved = recorded.get("catalog") == owner["catalog"] and not Workspace(recorded.get("workspace", "/")).config.is_file()
    if recorded != owner and not moved:
        raise FototecaError(
            f"the FiftyOne dataset {name} belongs to {recorded.get('workspace', 'something else')}",
            "choose another name in fototeca.toml, or remove it: fiftyone datasets delete " + name,
        )
    if moved:
        dataset.info["fototeca"] = owner
        dataset.save()
    return dataset


def _free_name(fo: FiftyOne, name: str, catalog_id: str) -> None:
    """Rename a dataset whose workspace no longer exists, with its contents, so that the name becomes free."""
    dataset = fo.load_dataset(name)
    recorded = dataset.info.get("fototeca")
    if not recorded or recorded["catalog"] == catalog_id or Workspace(recorded["workspace"]).config.is_file():
        return
    dataset.name = next(free for number in count(1) if not fo.dataset_exists(free := f"{name}-left-{number}"))
    remove = f"remove it with: fiftyone datasets delete {dataset.name}"
    notify(f"{name} belonged to {recorded['workspace']}, which no longer exists; it is now {dataset.name}; {remove}")


def _catalog_id(catalog: Catalog) -> str:
    """Return the random id of this catalog, which stays the same when the workspace moves."""
    with catalog.transaction():
        catalog_id = catalog.metadata.get(_CATALOG_ID) or secrets.token_hex(16)
        catalog.metadata.set(_CATALOG_ID, catalog_id)
    return catalog_id
