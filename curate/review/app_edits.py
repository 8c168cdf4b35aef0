"""Edits of samples in the FiftyOne App as decisions. Independent of FiftyOne; see `fiftyone_app` for the dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fototeca.collect.catalog import Catalog, Edit, ImageRow, ReviewState
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace
from fototeca.curate.labels.apart import add_apart, read_apart_partners
from fototeca.curate.labels.decisions import check_reason, current_person, find_image_id
from fototeca.curate.labels.review_state import encode_state, merge_edit_after_renames
from fototeca.curate.labels.words import describe_unknown_tag
from fototeca.curate.review.apart import add_edit, find_copies
from fototeca.curate.review.fiftyone_samples import SampleRow
from fototeca.curate.review.queues import Annotation, latest_annotations
from fototeca.curate.review.results import EditConflict, EditProblem

COMMENT = "FiftyOne App"

_REPORTED = "conflict-reported:"
"""Metadata prefix, before an image id: the last decision when a conflict was reported, what was pushed, and the edit."""

_WITHDRAWN = "removing this tag undoes nothing, it is set again: decide again, or undo it in fototeca curate review --web"


@dataclass(frozen=True)
class AppliedEdit:
    """Outcome of one edit. `state`: the sample's new state, None if the sample keeps its edit."""

    num_decisions: int = 0
    state: ReviewState | None = None
    conflict: EditConflict | None = None
    problems: tuple[str, ...] = ()


def apply_edit(workspace: Workspace, catalog: Catalog, row: SampleRow, renames: Sequence[tuple[str, str]]) -> AppliedEdit:
    """Apply one edit to the catalog.

    The catalog is read and written in one transaction: no other decision comes in between.
    """
    unknown = dict.fromkeys([*row.edit.unknown_tags, *row.edit.unknown_label_tags])
    problems = (*row.edit.problems, *(describe_unknown_tag(tag) for tag in unknown))
    if row.edit.problems:
        return AppliedEdit(problems=problems)
    image_id, edited = row.image_id, row.edit.state
    try:
        with catalog.transaction():
            current = _get_image(catalog, image_id).review_state
            outcome, edits = merge_edit_after_renames(edited, row.pushed, current, renames, workspace.settings.names)
            if edits == [Edit.relabel(current.label)] and current.reviewed and _confirmed(catalog, image_id, current):
                edits = []  # as after an interrupted run
            reported = _REPORTED + image_id
            edit_text = f"{encode_state(row.pushed)}\n{encode_state(edited)}"
            if _is_answered(catalog, image_id, edit_text):
                edits = []
            elif outcome == "conflict":
                catalog.metadata.set(reported, f"{catalog.decisions.last_id()}\n{edit_text}")
                states = (encode_state(state) for state in (edited, row.pushed, current))
                return AppliedEdit(conflict=EditConflict(image_id, *states), problems=problems)
            elif outcome == "withdrawn":
                problems = (*problems, _WITHDRAWN)
            if catalog.metadata.get(reported):
                catalog.metadata.set(reported, "")
            written = [
                decision for edit in edits for decision in add_edit(catalog, [image_id], _checked(workspace, edit), COMMENT)
            ]
            state = _get_image(catalog, image_id).review_state
    except FototecaError as error:
        return AppliedEdit(problems=(*problems, error.message))
    return AppliedEdit(len(written), state, problems=problems)


def apply_apart(catalog: Catalog, rows: Sequence[SampleRow]) -> tuple[int, list[EditProblem]]:
    """Declare the images that were tagged `apart` to be no copies; return the number of decisions, and the problems.

    Several tagged images of one group are different images; a single one differs from every other in its group.
    """
    pairs, problems = [], []
    with catalog.transaction():
        partners = read_apart_partners(catalog)
        tagged = {row.image_id for row in rows if "" in row.edit.apart}
        for row in rows:
            image_id = row.image_id
            for prefix in row.edit.apart:
                try:
                    copies = {find_image_id(catalog, prefix)} if prefix else find_copies(catalog, image_id)
                except FototecaError as error:
                    problems.append(EditProblem(image_id, f"apart:{prefix}: {error.message}"))
                    continue
                pairs += [(image_id, other) for other in (copies & tagged or copies) - {image_id}]
                if not copies and image_id not in partners:
                    problems.append(EditProblem(image_id, "it has no copies from which it could be set apart"))
        return len(add_apart(catalog, pairs, by=current_person(), reason=COMMENT)), problems


def _confirmed(catalog: Catalog, image_id: str, current: ReviewState) -> bool:
    """Return True if the latest annotation of the person at the keyboard is the current label."""
    annotations = latest_annotations(catalog.decisions.all(image_id)).get(image_id, {})
    return annotations.get(current_person().name) == Annotation(current.label)


def _is_answered(catalog: Catalog, image_id: str, edit_text: str) -> bool:
    """Return True if this edit was reported as a conflict and the person here has decided on the image since."""
    number, _, reported = (catalog.metadata.get(_REPORTED + image_id) or "").partition("\n")
    if reported != edit_text or not number.isdecimal():
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
