"""Taking a decision back: the log keeps both, and the image is as it was before, not reviewed if it was not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fototeca.collect.catalog import REJECT, RENAME, RESTORE, Catalog, Decision, ImageRow
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace
from fototeca.curate.labels.categories import renamed, renamed_from
from fototeca.curate.labels.decisions import person
from fototeca.curate.labels.review_state import UNDO, said_by_people, valid
from fototeca.curate.snapshot.catalog_state import apply_decision


def take_back(workspace: Workspace, decision_ids: Sequence[int]) -> list[Decision]:
    """Take back decisions of the person here, all or none; returns what was written.

    FototecaError when one is somebody else's, or when something was decided about its image since.
    """
    with Catalog.open(workspace) as catalog, catalog.transaction():
        return [row for number in decision_ids for row in _take_back(catalog, number)]


def _take_back(catalog: Catalog, decision_id: int) -> list[Decision]:
    row = catalog.connection.execute("SELECT image_id FROM decisions WHERE decision_id = ?", (decision_id,)).fetchone()
    if row is None:
        raise FototecaError(f"there is no decision {decision_id}", "see: fototeca curate log")
    log = valid(catalog.decisions(row["image_id"]))
    spoken = [one for one in log if not one.who.startswith(RENAME)]  # a renaming is nobody's word on the image
    last = spoken[-1] if spoken else None
    if last is None or last.decision_id != decision_id or last.who != person():
        raise FototecaError("this is not your last word on the image", f"see: fototeca curate log {row['image_id'][:12]}")
    current = catalog.image(last.image_id)
    assert current is not None
    before = replace(current, label="", rejected="", keep=False)
    for decision in log:
        if decision.who.startswith(RENAME):
            before = replace(before, label=renamed(before.label, *renamed_from(decision)))
        elif decision is not last:
            before = apply_decision(before, decision)
    written = [catalog.decide(last.image_id, new, who=last.who, why=UNDO + last.time) for new in _steps(current, before)]
    if not said_by_people(catalog.decisions(last.image_id)):
        catalog.connection.execute("UPDATE images SET reviewed = 0 WHERE image_id = ?", (last.image_id,))
    return [decision for decision in written if decision]


def _steps(current: ImageRow, before: ImageRow) -> list[str]:
    """The decisions that lead back."""
    if before.rejected:
        return [*([before.label] if before.label != current.label else []), REJECT + before.rejected]
    if before.keep and not current.keep:
        return [RESTORE, *([before.label] if before.label != current.label else [])]
    if current.keep and not before.keep:
        return [f"{REJECT}undo", before.label]  # only a rejection ends a restoration
    return [before.label]
