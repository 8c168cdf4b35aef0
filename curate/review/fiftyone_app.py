"""Review in the FiftyOne App: `push_review` shows the catalog, `pull_review` brings edits back. The only door to FiftyOne.

Every sample keeps what was last pushed beside what it says now, written in one step, so that an edit is known as one
whenever the App, the database or fototeca was killed. Importing FiftyOne starts its database: it is imported on use.
"""

from __future__ import annotations

import os
import secrets
import sys
import time
import webbrowser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from importlib import import_module
from io import StringIO
from itertools import count
from typing import Any

from tqdm import tqdm

from fototeca.collect.catalog import REJECT, RESTORE, Catalog, ImageRow
from fototeca.core.console import notify
from fototeca.core.errors import EXIT_OUTSIDE, FototecaError
from fototeca.core.workspace import Workspace
from fototeca.curate.labels.categories import renamings
from fototeca.curate.labels.decisions import check_reason, check_task, person
from fototeca.curate.labels.review_state import Judgement, settle_renamed
from fototeca.curate.quality.checks import found_by_image
from fototeca.curate.review.doctor import FIX
from fototeca.curate.review.fiftyone_samples import (
    Dataset,
    FiftyOne,
    declare,
    make_editable,
    make_sample,
    mark,
    read_samples,
    save_views,
    show_progress,
    update_samples,
)
from fototeca.curate.review.queues import last_said, list_items
from fototeca.curate.review.thumbnails import make_thumbnails

_CATALOG_ID = "catalog-id"
_TOLD = "conflict-told:"
"""Before an image id: the last decision when a conflict was told, what was pushed, and the edit."""

_WITHDRAWN = "removing this tag takes nothing back, it is set again: decide anew, or undo it in fototeca curate review --simple"


def dataset_name(workspace: Workspace) -> str:
    """`fototeca-<dataset name>`."""
    return f"fototeca-{workspace.settings.name}"


def push_review(workspace: Workspace) -> dict[str, Any]:
    """Show the catalog in FiftyOne. Edits that were not pulled yet stay as they are.

    Returns {"dataset", "samples", "added", "updated", "pending"}. FototecaError (4) without a database, (2) when a dataset of
    that name belongs to another workspace.
    """
    with _fiftyone() as fo, Catalog.open(workspace) as catalog:
        items = {item.image.image_id: item for item in list_items(catalog, workspace.settings.names, found_by_image(catalog))}
        check_task((item.image for item in items.values()), workspace.settings.task)
        dataset = _own_dataset(fo, workspace, catalog, create=True)
        declare(fo, dataset, workspace)
        known = dict(zip(dataset.values("image_id"), dataset.values("id"), strict=True))
        new = [item for image_id, item in items.items() if image_id not in known]
        thumbnails = make_thumbnails(workspace, [item.image for item in items.values()])
        samples = (make_sample(fo, workspace, item, thumbnails) for item in new)
        bar = tqdm(samples, total=len(new), desc="pushing", unit="image", disable=None if new else True)
        dataset.add_samples(bar, progress=False, num_samples=len(new))
        updated, pending = update_samples(fo, dataset, workspace, items, set(known), thumbnails)
        save_views(fo, dataset, workspace.settings.names)
        make_editable(dataset, workspace.settings.names)
        show_progress(dataset)
        return {"dataset": dataset.name, "samples": len(items), "added": len(new), "updated": updated, "pending": pending}


def pull_review(workspace: Workspace) -> dict[str, Any]:
    """Write the App's edits down as decisions of the person here. Pulling twice is the same as once.

    Returns {"decisions", "conflicts", "problems"}: a conflict is an image that somebody else decided on after it was pushed, and
    is told until the person here decides on that image. A problem is an edit that cannot be followed, such as an unknown label.
    Neither is overwritten.
    """
    facts: dict[str, Any] = {"decisions": 0, "conflicts": [], "problems": []}
    with _fiftyone() as fo, Catalog.open(workspace) as catalog:
        dataset = _own_dataset(fo, workspace, catalog, create=False)
        edits = [row for row in read_samples(dataset) if row[2] != row[3] and catalog.image(row[1])]
        names = renamings(catalog) if edits else []
        for sample_id, image_id, said, pushed in tqdm(edits, desc="pulling", unit="edit", disable=None):
            after = _pull_one(workspace, catalog, image_id, said, pushed, names, facts)
            if after:
                mark(fo, dataset[sample_id], said, after, workspace)
        show_progress(dataset)
    return facts


def _pull_one(
    workspace: Workspace,
    catalog: Catalog,
    image_id: str,
    said: Judgement,
    pushed: Judgement,
    names: Sequence[tuple[str, str]],
    facts: dict[str, Any],
) -> Judgement | None:
    """Follow one edit, or tell in `facts` why not; what the catalog says then, None where the sample is to stay as it is.
    `names`: the renamings of categories.

    What the catalog says is read, judged and written in one transaction: nobody's decision comes in between.
    """
    try:
        with catalog.transaction():
            current = Judgement.of_image(_image(catalog, image_id))
            outcome, decisions = settle_renamed(said, pushed, current, names, workspace.settings.names)
            if decisions == [current.label] and current.reviewed and _said(catalog, image_id) == current.label:
                decisions = []  # as after a pull that was killed
            told, edit = _TOLD + image_id, f"{pushed.encode()}\n{said.encode()}"
            if _answered(catalog, image_id, edit):
                decisions = []
            elif outcome == "conflict":
                catalog.set_fact(told, f"{catalog.last_decision()}\n{edit}")
                texts = {"app": said.encode(), "pushed": pushed.encode(), "catalog": current.encode()}
                facts["conflicts"].append({"image_id": image_id, **texts})
                return None
            elif outcome == "withdrawn":
                facts["problems"].append({"image_id": image_id, "problem": _WITHDRAWN})
            if catalog.fact(told):
                catalog.set_fact(told, "")
            for decision in decisions:
                catalog.decide(image_id, _checked(workspace, decision), who=person(), why="FiftyOne App")
            after = Judgement.of_image(_image(catalog, image_id))
    except FototecaError as error:
        facts["problems"].append({"image_id": image_id, "problem": error.message})
        return None
    facts["decisions"] += len(decisions)
    return after


def _said(catalog: Catalog, image_id: str) -> str | None:
    """The last word of the person here on an image."""
    return last_said(catalog.decisions(image_id)).get(image_id, {}).get(person())


def _answered(catalog: Catalog, image_id: str, edit: str) -> bool:
    """Whether this edit was told as a conflict and the person here has decided on the image since: then the catalog holds."""
    number, _, told = (catalog.fact(_TOLD + image_id) or "").partition("\n")
    return told == edit and any(one.decision_id > int(number) and one.who == person() for one in catalog.decisions(image_id))


def _image(catalog: Catalog, image_id: str) -> ImageRow:
    image = catalog.image(image_id)
    assert image is not None, "images are never deleted"
    return image


def _checked(workspace: Workspace, decision: str) -> str:
    """The decision as the catalog writes it. FototecaError for a label or a reason that cannot be."""
    if decision.startswith(REJECT):
        return REJECT + check_reason(decision[len(REJECT) :])
    return decision if decision == RESTORE else workspace.settings.check_label(decision)


def run_review(workspace: Workspace, *, port: int, browser: bool) -> dict[str, Any]:
    """Push, serve the App on 127.0.0.1 until interrupted, then pull; returns what `pull_review` does."""
    facts = push_review(workspace)
    if facts["pending"]:
        notify(f"{facts['pending']} edits were not pulled yet and stay as they are")
    with _fiftyone() as fo:
        dataset = fo.load_dataset(facts["dataset"])
        notify("starting the App; slow machines need half a minute")
        session = serve_app(fo, dataset, port)
        url = f"http://127.0.0.1:{port}/datasets/{dataset.name}"
        notify(f"{facts['samples']} images at {url}; press Ctrl-C here when you are done, and the edits are pulled")
        if browser:
            webbrowser.open(url)
        try:
            while True:
                time.sleep(0.5)
        except KeyboardInterrupt:
            notify("closing the App")
        session.close()
    return pull_review(workspace)


def serve_app(fo: FiftyOne, dataset: Dataset, port: int) -> Any:  # noqa: ANN401 - FiftyOne's session ships no type
    """Serve the App on 127.0.0.1; slow machines need more than one try. FototecaError (4) when its server does not come up."""
    problem = ""
    for _ in range(3):
        try:
            with redirect_stdout(StringIO()):  # its client says that the server is not there yet, each time that it is not
                return fo.launch_app(dataset, remote=True, address="127.0.0.1", port=port)
        except fo.core.service.ServiceListenTimeout as error:
            problem = str(error)
    raise FototecaError(f"the App does not start: {problem}", "is the port free? choose another with --port", EXIT_OUTSIDE)


@contextmanager
def _fiftyone() -> Iterator[FiftyOne]:
    """The module, quiet, without telemetry; whatever it says about its database is one line of ours."""
    os.environ.setdefault("FIFTYONE_DO_NOT_TRACK", "true")
    os.environ.setdefault("FIFTYONE_DATABASE_VALIDATION", "false")
    os.environ.setdefault("FIFTYONE_LOGGING_LEVEL", "WARNING")  # else it tells how to reach this machine from another one
    with redirect_stdout(sys.stderr):
        try:
            fo = import_module("fiftyone")
            fo.list_datasets()
        except Exception as error:  # FiftyOne, pymongo and the operating system each have their own
            raise _no_answer(error, f"{FIX}; or review without it: fototeca curate review --simple") from None
        try:
            yield fo
        except import_module("pymongo.errors").PyMongoError as error:
            raise _no_answer(error, "nothing that was saved is lost: start it and give the command again") from None


def _no_answer(error: Exception, hint: str) -> FototecaError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
    return FototecaError(f"FiftyOne's database does not answer: {reason}", hint, EXIT_OUTSIDE)


def _own_dataset(fo: FiftyOne, workspace: Workspace, catalog: Catalog, *, create: bool) -> Dataset:
    """The workspace's dataset. FototecaError when it is another's, or is not there and may not be made."""
    name, owner = dataset_name(workspace), {"catalog": _catalog_id(catalog), "workspace": str(workspace.root)}
    if create and fo.dataset_exists(name):
        _clear_the_name(fo, name, owner["catalog"])
    if not fo.dataset_exists(name):
        if not create:
            raise FototecaError("there is nothing to pull: no dataset was pushed", "run: fototeca curate review")
        try:
            dataset = fo.Dataset(name, persistent=True)
        except ValueError as error:  # it tells names apart by their letters from a to z and digits alone
            raise FototecaError(f"FiftyOne takes no dataset {name}: {error}", "choose another name in fototeca.toml") from None
        dataset.info["fototeca"] = owner
        dataset.save()
        return dataset
    dataset = fo.load_dataset(name)
    found = dataset.info.get("fototeca", {})
    moved = found.get("catalog") == owner["catalog"] and not Workspace(found.get("workspace", "/")).config.is_file()
    if found != owner and not moved:
        raise FototecaError(
            f"the FiftyOne dataset {name} belongs to {found.get('workspace', 'something else')}",
            "choose another name in fototeca.toml, or remove it: fiftyone datasets delete " + name,
        )
    if moved:
        dataset.info["fototeca"] = owner
        dataset.save()
    return dataset


def _clear_the_name(fo: FiftyOne, name: str, catalog_id: str) -> None:
    """Rename a dataset whose workspace is gone, with all that is in it, so that it does not keep the name for ever."""
    dataset = fo.load_dataset(name)
    found = dataset.info.get("fototeca")
    if not found or found["catalog"] == catalog_id or Workspace(found["workspace"]).config.is_file():
        return
    dataset.name = next(free for number in count(1) if not fo.dataset_exists(free := f"{name}-left-{number}"))
    remove = f"remove it with: fiftyone datasets delete {dataset.name}"
    notify(f"{name} belonged to {found['workspace']}, which is gone; it is now {dataset.name}; {remove}")


def _catalog_id(catalog: Catalog) -> str:
    """What tells this catalog from every other, wherever it lies."""
    with catalog.transaction():
        catalog_id = catalog.fact(_CATALOG_ID) or secrets.token_hex(16)
        catalog.set_fact(_CATALOG_ID, catalog_id)
    return catalog_id
