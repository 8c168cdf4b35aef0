"""Copies whose reviewed labels contradict each other, until people confirm them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fototeca.collect.catalog import Decision, ImageRow, rename_in_label
from fototeca.curate.labels.categories import differing_labels
from fototeca.curate.labels.review_state import active_decisions


@dataclass(frozen=True)
class LabelReviews:
    """Numbers of the first and the last decision by which people gave an image its current label."""

    first: int
    last: int


def find_label_conflicts(images: Iterable[ImageRow], decisions: Iterable[Decision]) -> set[str]:
    """Return the groups whose reviewed members have labels that contradict each other.

    A conflict is settled by one label for all, by a rejection, by `curate apart`, or by confirming: after all members were
    labeled, people give each of them its label again. Copies of a multi-label dataset may rightly differ, as two crops do.
    """
    groups: dict[str, list[ImageRow]] = defaultdict(list)
    for image in images:
        if image.group and image.reviewed and not image.rejected:
            groups[image.group].append(image)
    differing = {name: members for name, members in groups.items() if differing_labels(image.label for image in members)}
    if not differing:
        return set()
    reviews = _label_reviews(decisions)
    return {name for name, members in differing.items() if not _is_settled(members, reviews)}


def _is_settled(members: Sequence[ImageRow], reviews: dict[str, LabelReviews]) -> bool:
    """Return True if each member was confirmed after the last of them got its label."""
    known = [reviews[image.image_id] for image in members if image.image_id in reviews]
    arisen = max((review.first for review in known), default=0)
    return len(known) == len(members) and all(review.last > arisen for review in known)


def _label_reviews(decisions: Iterable[Decision]) -> dict[str, LabelReviews]:
    """Return the reviews of the current label by image id; images whose current label nobody gave are missing."""
    labels: dict[str, str] = {}
    reviews: dict[str, LabelReviews] = {}
    for decision in active_decisions(decisions):
        image_id = decision.image_id
        if decision.action == "rename":
            labels[image_id] = rename_in_label(labels.get(image_id, ""), decision.old_label, decision.new_label)
        elif decision.action == "label":
            if labels.get(image_id) != decision.new_label:
                reviews.pop(image_id, None)
            labels[image_id] = decision.new_label
            if decision.is_review:
                first = reviews[image_id].first if image_id in reviews else decision.decision_id
                reviews[image_id] = LabelReviews(first, decision.decision_id)
    return reviews
