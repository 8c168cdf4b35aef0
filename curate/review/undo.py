"""Undo of a person's decisions: the log keeps both, and the image returns to its previous state, including not reviewed."""

from __future__ import annotations

from collections.abc import Sequence

from fototeca.collect.catalog import Catalog, Decision, Edit, ReviewState
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace
from fototeca.curate.labels.decisions import current_person
from fototeca.curate.labels.review_state import active_decisions, active_reviews
from fototeca.curate.review.apart import regroup_apart


def undo_decisions(workspace: Workspace, decision_ids: Sequence[int]) -> list[Decision]:
    """Undo decisions of the person at the keyboard, all or none; return the decisions written.

    FototecaError if one belongs to somebody else, or if its image was decided on since. A declaration that two images are no
    copies can be undone at any time; the two are then grouped again.
    """
    with Catalog.open(workspace) as catalog:
        with catalog.transaction():
            written = [decision for number in decision_ids for decision in _undo(catalog, number)]
        together = [
            image_id for event in written if event.action == "apart" for image_id in (event.image_id, event.other_image_id)
        ]
        regroup_apart(workspace, catalog, together)
    return written


def _undo(catalog: Catalog, decision_id: int) -> list[Decision]:
    requested = catalog.decisions.get(decision_id)
    if requested is None:
        raise FototecaError(f"there is no decision {decision_id}", "see: fototeca curate history")
    log = active_decisions(catalog.decisions.all(requested.image_id))
    if requested.action == "apart":
        return _undo_apart(catalog, requested, log)
    last = next((decision for decision in reversed(log) if decision.action not in ("rename", "apart")), None)
    if last is None or last.decision_id != decision_id or last.by != current_person():
        hint = f"see: fototeca curate history {requested.image_id[:12]}"
        raise FototecaError("only your own latest decision on an image can be undone", hint)
    image = catalog.images.get(last.image_id)
    assert image is not None, "images are never deleted"
    previous = ReviewState("")
    for decision in log:
        if decision is not last:
            previous = decision.edit.apply(previous)
    edits = _edits_back(image.review_state, previous)
    written = [catalog.decisions.add(last.image_id, edit, by=last.by, undoes=last.time) for edit in edits]
    if not active_reviews(catalog.decisions.all(last.image_id)):
        catalog.images.clear_reviewed([last.image_id])
    return [decision for decision in written if decision]


def _undo_apart(catalog: Catalog, requested: Decision, log: Sequence[Decision]) -> list[Decision]:
    if requested not in log or requested.by != current_person():
        hint = f"see: fototeca curate history {requested.image_id[:12]}"
        raise FototecaError("only your own declaration, not undone yet, can be undone", hint)
    written = catalog.decisions.add(requested.image_id, requested.edit, by=requested.by, undoes=requested.time)
    assert written is not None, "a person's decision is always written"
    return [written]


def _edits_back(current: ReviewState, previous: ReviewState) -> list[Edit]:
    """Return the edits that lead from `current` back to `previous`."""
    relabel = Edit.relabel(previous.label)
    if previous.rejected:
        return [*([relabel] if previous.label != current.label else []), Edit.reject(previous.rejected)]
    if previous.restored and not current.restored:
        return [Edit.restore(), *([relabel] if previous.label != current.label else [])]
    if current.restored and not previous.restored:
        return [Edit.reject("undo"), relabel]  # only a rejection ends a restoration
    return [relabel]
