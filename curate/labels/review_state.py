"""Review state of an image as tags, and how an edit made elsewhere merges with what the catalog contains by now."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Literal

from fototeca.collect.catalog import Decision, Edit, ReviewState, rename_in_label
from fototeca.curate.labels.categories import split_label

TAG_REJECT, TAG_REVIEWED, TAG_RESTORE = "reject", "reviewed", "restore"
"""Tags of a sample that set its status. `reject:REASON` gives a reason."""

DEFAULT_REASON = "review"
"""Reason of a rejection whose tag gives none."""

EditOutcome = Literal["unchanged", "withdrawn", "agreed", "apply", "conflict"]


def state_from_tags(label: str, tags: Sequence[str]) -> ReviewState:
    """Return the state that a label and tags describe."""
    reasons = [tag.partition(":")[2] or DEFAULT_REASON for tag in tags if tag == TAG_REJECT or tag.startswith(TAG_REJECT + ":")]
    return ReviewState(label, reasons[0] if reasons else "", TAG_REVIEWED in tags, TAG_RESTORE in tags)


def state_tags(state: ReviewState) -> list[str]:
    """Return the tags that describe a state, beside its label."""
    reject = [f"{TAG_REJECT}:{state.rejected}"] if state.rejected else []
    return [*reject, *([TAG_REVIEWED] if state.reviewed else []), *([TAG_RESTORE] if state.restored else [])]


def encode_state(state: ReviewState) -> str:
    """Return a state as one line of text, to be compared and stored."""
    return "\t".join([state.label, *state_tags(state)])


def decode_state(text: str) -> ReviewState:
    """Return the state that `encode_state` wrote."""
    label, *tags = text.split("\t")
    return state_from_tags(label, tags)


def active_decisions(decisions: Iterable[Decision]) -> list[Decision]:
    """Return the decisions that are neither undone nor an undo, in order."""
    log = list(decisions)
    undone = {(decision.image_id, decision.by, decision.undoes) for decision in log if decision.undoes}
    return [decision for decision in log if not decision.undoes and (decision.image_id, decision.by, decision.time) not in undone]


def active_reviews(decisions: Iterable[Decision]) -> list[Decision]:
    """Return the active decisions of people about individual images, in order."""
    return [decision for decision in active_decisions(decisions) if decision.is_review]


def merge_edit(edited: ReviewState, pushed: ReviewState, current: ReviewState) -> tuple[EditOutcome, list[Edit]]:
    """Return how to merge a sample's edit into the catalog: the outcome, and the edits to apply in order.

    Args:
        edited: the sample's state now.
        pushed: the state that the sample was given last.
        current: the state in the catalog.

    Outcomes: `unchanged`: nobody edited the sample. `withdrawn`: a tag was removed (`reviewed`, `restore`), which is not a
    decision. `agreed`: the catalog contains the edit already, as after an interrupted run. `conflict`: somebody decided
    otherwise after the push; nothing is overwritten. `apply`: with the edits.
    """
    if edited == pushed:
        return "unchanged", []
    intended = pushed
    for edit in _edits_between(edited, pushed):
        intended = replace(edit.apply(intended), reviewed=True)
    if intended == pushed:
        return "withdrawn", []
    if current == intended:
        return "agreed", []
    if current == pushed:
        return "apply", _edits_between(edited, current)
    if current == replace(intended, reviewed=False):
        return "apply", [Edit.relabel(current.label)]  # the same result without a review: record the review
    return "conflict", []


def merge_edit_after_renames(
    edited: ReviewState,
    pushed: ReviewState,
    current: ReviewState,
    renames: Sequence[tuple[str, str]],
    categories: Collection[str],
) -> tuple[EditOutcome, list[Edit]]:
    """Return what `merge_edit` does, where categories may have been renamed since the push.

    If nothing but renames changed the image since, the edit is applied under the new names. Giving an image the very name that
    it has by now counts as a review of it.

    Args:
        renames: old and new names of categories, in order.
        categories: the configured categories.
    """
    recent = (renames[start:] for start in range(len(renames), -1, -1))
    since_push = next((part for part in recent if _rename(pushed, part) == current), None)
    if since_push is None:
        return merge_edit(edited, pushed, current)
    intended = _rename(edited, since_push)
    if not {*split_label(intended.label)} <= {*categories}:
        intended = _rename(edited, renames)
    if edited != pushed and intended == current:
        return "apply", [Edit.relabel(current.label)]
    return merge_edit(intended, current, current)


def _rename(state: ReviewState, renames: Iterable[tuple[str, str]]) -> ReviewState:
    label = state.label
    for old, new in renames:
        label = rename_in_label(label, old, new)
    return replace(state, label=label)


def _edits_between(edited: ReviewState, current: ReviewState) -> list[Edit]:
    """Return the edits that lead from `current` to `edited`; a review that changes nothing is an edit, too."""
    relabel = Edit.relabel(edited.label)
    if edited.rejected:
        return [*([relabel] if edited.label != current.label else []), Edit.reject(edited.rejected)]
    edits = [Edit.restore()] if current.rejected or (edited.restored and not current.restored) else []
    if edited.label != current.label or not edits:
        edits.append(relabel)
    return edits
