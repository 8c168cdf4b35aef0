"""Review in the FiftyOne App: `push_review` shows the catalog, `apply_review` writes edits back as decisions.

Every sample stores the state that was pushed last beside its current state, written in one step, so that edits are recognized
after a kill of the App, the database or fototeca.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from itertools import count

from tqdm import tqdm

from fototeca.collect.catalog import Catalog
from fototeca.core.console import notify
from fototeca.core.counting import count_of
from fototeca.core.errors import FototecaError
from fototeca.core.results import Result
from fototeca.core.web import check_port
from fototeca.core.workspace import Workspace
from fototeca.curate.labels.categories import list_renames
from fototeca.curate.labels.decisions import check_task
from fototeca.curate.labels.review_state import decode_state
from fototeca.curate.labels.words import DELETED, SampleEdit, SampleMarks
from fototeca.curate.quality.checks import list_findings_by_image
from fototeca.curate.review.apart import regroup_apart
from fototeca.curate.review.app_edits import apply_apart, apply_edit
from fototeca.curate.review.app_server import START, serve_app
from fototeca.curate.review.connection import FiftyOne, connect_fiftyone
from fototeca.curate.review.fiftyone_samples import (
    PUSHED,
    Dataset,
    SampleRow,
    create_fields,
    dataset_name,
    describe_progress,
    make_editable,
    make_sample,
    read_samples,
    save_views,
    update_samples,
    update_state,
)
from fototeca.curate.review.queues import list_review_items
from fototeca.curate.review.results import EditProblem, ReviewResult
from fototeca.curate.review.running import announce_review
from fototeca.curate.review.thumbnails import make_thumbnails

_CATALOG_ID = "catalog-id"
_TOKEN = "fototeca-token"
"""Key of the dataset's info: a random id, since a deleted dataset may be made again under the same name."""

_ALL_DELETED = "every sample was deleted, so nothing is rejected: fototeca curate review shows them again"


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
    with connect_fiftyone() as fo, Catalog.open(workspace) as catalog:
        review_items = list_review_items(catalog, workspace.settings.names, list_findings_by_image(catalog))
        items = {item.image.image_id: item for item in review_items}
        check_task((item.image for item in items.values()), workspace.settings.task)
        dataset = _own_dataset(fo, workspace, catalog, create=True)
        create_fields(fo, dataset, workspace)
        existing = set(dataset.values("image_id"))
        deleted = {row.image_id for row in _deleted_samples(dataset, catalog)[0]}
        new = [item for image_id, item in items.items() if image_id not in existing | deleted]
        thumbnails = make_thumbnails(workspace, [item.image for item in items.values()])
        samples = (make_sample(fo, workspace, item, thumbnails) for item in new)
        bar = tqdm(samples, total=len(new), desc="pushing", unit="image", disable=None if new else True)
        dataset.add_samples(bar, progress=False, num_samples=len(new))
        updated, pending = update_samples(fo, dataset, workspace, items, existing, thumbnails)
        save_views(fo, dataset, workspace.settings.names)
        make_editable(dataset, workspace.settings.names)
        describe_progress(dataset)
        catalog.app_samples.set(dataset.info[_TOKEN], zip(*dataset.values(["image_id", PUSHED]), strict=True))
        return PushResult(dataset.name, len(items), len(new), updated, pending + len(deleted))


def apply_review(workspace: Workspace) -> ReviewResult:
    """Write the App's edits as decisions of the person at the keyboard. Repeating it changes nothing.

    A deleted sample rejects its image. An edit of an image that somebody else decided on after it was pushed is a conflict,
    reported until the person here decides on that image. An edit that cannot be applied, such as an unknown label or tag, is a
    problem. Neither overwrites anything.
    """
    with connect_fiftyone() as fo, Catalog.open(workspace) as catalog:
        dataset = _own_dataset(fo, workspace, catalog, create=False)
        rows = [row for row in read_samples(dataset, workspace) if row.is_touched and catalog.images.get(row.image_id)]
        deleted, problems = _deleted_samples(dataset, catalog)
        num_decisions, apart_problems = apply_apart(catalog, rows)
        keep = {problem.image_id for problem in apart_problems}
        problems += apart_problems
        conflicts = []
        renames = list_renames(catalog) if rows or deleted else []
        for row in tqdm([*rows, *deleted], desc="applying", unit="edit", disable=None):
            applied = apply_edit(workspace, catalog, row, renames)
            num_decisions += applied.num_decisions
            conflicts += [applied.conflict] if applied.conflict else []
            problems += [EditProblem(row.image_id, text) for text in applied.problems]
            if applied.state and not row.sample_id:
                catalog.app_samples.remove([row.image_id])
            elif applied.state and row.image_id not in keep:
                update_state(fo, dataset[row.sample_id], row, applied.state, workspace)
        regroup_apart(workspace, catalog)
        describe_progress(dataset)
        names = catalog.provenance.file_names() if problems else {}
    named = tuple(replace(problem, file_name=names.get(problem.image_id, "")) for problem in problems)
    return ReviewResult(num_decisions, tuple(conflicts), named)


def _deleted_samples(dataset: Dataset, catalog: Catalog) -> tuple[list[SampleRow], list[EditProblem]]:
    """Return the samples that a person deleted, as rejections; if none is left, a problem for each instead."""
    pushed = catalog.app_samples.of(dataset.info.get(_TOKEN, ""))
    existing = set(dataset.values("image_id"))
    deleted = {image_id: decode_state(text) for image_id, text in pushed.items() if image_id not in existing}
    if not existing and len(deleted) > 1:
        return [], [EditProblem(image_id, _ALL_DELETED) for image_id in deleted]
    rows = []
    for image_id, state in deleted.items():
        edit = SampleEdit(replace(state, rejected=state.rejected or DELETED))
        rows.append(SampleRow("", image_id, SampleMarks(()), edit, state))
    return rows, []


def run_review(workspace: Workspace, *, port: int, browser: bool) -> ReviewResult:
    """Push, serve the App on 127.0.0.1 until interrupted, then apply the edits.

    FototecaError (4) if the port is in use, or as `push_review` and `apply_review`.
    """
    check_port(port)
    notify("starting FiftyOne")
    pushed = push_review(workspace)
    if pushed.pending:
        notify(
            count_of(
                pushed.pending, "edit is not applied yet and stays as it is", "edits are not applied yet and stay as they are"
            )
        )
    with connect_fiftyone() as fo:
        notify("starting the App")
        with serve_app(fo, workspace, port) as server, announce_review(workspace, server, fo.config.database_uri, START):
            server.announce(f"{count_of(pushed.samples, 'image')}; press Ctrl-C here to finish and apply the edits", START)
            if browser:
                server.open_browser(workspace.data, START)
            server.wait()
        notify("closing the App")
    return apply_review(workspace)


def _own_dataset(fo: FiftyOne, workspace: Workspace, catalog: Catalog, *, create: bool) -> Dataset:
    """Return the workspace's dataset. FototecaError if it belongs to another workspace, or is missing and `create` is False."""
    name, owner = dataset_name(workspace), {"catalog": _catalog_id(catalog), "workspace": str(workspace.root)}
    if create and fo.dataset_exists(name):
        _free_name(fo, name, owner)
    if not fo.dataset_exists(name):
        if not create:
            raise FototecaError("there are no edits to apply: no dataset was pushed", "run: fototeca curate review")
        try:
            dataset = fo.Dataset(name, persistent=True)
        except ValueError as error:  # it compares names by their letters a to z and digits only
            raise FototecaError(
                f"FiftyOne rejects the dataset name {name}: {error}", "choose another name in fototeca.toml"
            ) from None
        dataset.info.update({"fototeca": owner, _TOKEN: secrets.token_hex(16)})
        dataset.save()
        return dataset
    dataset = fo.load_dataset(name)
    recorded = dataset.info.get("fototeca", {})
    moved = recorded.get("catalog") == owner["catalog"] and not Workspace(recorded.get("workspace", "/")).config.is_file()
    if recorded != owner and not moved:
        raise FototecaError(
            f"the FiftyOne dataset {name} belongs to {recorded.get('workspace', 'something else')}",
            "choose another name in fototeca.toml",
        )
    if moved or _TOKEN not in dataset.info:
        dataset.info.update({"fototeca": owner, _TOKEN: dataset.info.get(_TOKEN) or secrets.token_hex(16)})
        dataset.save()
    return dataset


def _free_name(fo: FiftyOne, name: str, owner: dict[str, str]) -> None:
    """Rename a dataset whose workspace no longer exists, or had another catalog, with its contents; the name becomes free."""
    dataset = fo.load_dataset(name)
    recorded = dataset.info.get("fototeca")
    if not recorded or recorded["catalog"] == owner["catalog"]:
        return
    same_folder = recorded["workspace"] == owner["workspace"]
    if not same_folder and Workspace(recorded["workspace"]).config.is_file():
        return
    dataset.name = next(free for number in count(1) if not fo.dataset_exists(free := f"{name}-left-{number}"))
    former = "an earlier catalog of this workspace" if same_folder else f"{recorded['workspace']}, which no longer exists"
    notify(f"{name} belonged to {former}; it is now {dataset.name}")


def _catalog_id(catalog: Catalog) -> str:
    """Return the random id of this catalog, which stays the same when the workspace moves."""
    with catalog.transaction():
        catalog_id = catalog.metadata.get(_CATALOG_ID) or secrets.token_hex(16)
        catalog.metadata.set(_CATALOG_ID, catalog_id)
    return catalog_id
