"""Pairs of images that people declared to be no copies of each other.

A pair is one `apart` event: its `image_id` is the smaller id, its `other_image_id` the larger one. The latest word of a person
wins over every search for duplicates, until that person undoes it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import combinations

from fototeca.collect.catalog import Actor, Catalog, Decision, Edit
from fototeca.curate.labels.review_state import active_decisions

Partners = Mapping[str, frozenset[str]]
"""The images from which each image is apart, by image id; symmetric. Images without a partner are missing."""


def apart_partners(decisions: Iterable[Decision]) -> Partners:
    """Return the partners of each image in the decisions that are not undone."""
    partners: dict[str, set[str]] = defaultdict(set)
    for decision in active_decisions(decisions):
        if decision.action == "apart":
            partners[decision.image_id].add(decision.other_image_id)
            partners[decision.other_image_id].add(decision.image_id)
    return {image_id: frozenset(others) for image_id, others in partners.items()}


def read_apart_partners(catalog: Catalog) -> Partners:
    """Return the partners of each image in the catalog, to be left out wherever duplicates are tied."""
    return apart_partners(catalog.decisions.all_apart())


def add_apart(catalog: Catalog, pairs: Iterable[tuple[str, str]], *, by: Actor, reason: str = "") -> list[Decision]:
    """Declare pairs of image ids to be no copies; pairs that this person has declared already are left out.

    Call it in a transaction together with `regroup` of `curate.duplicates`, so that groups follow at once.
    """
    active = active_decisions(catalog.decisions.all_apart())
    declared = {(decision.image_id, decision.other_image_id) for decision in active if decision.by == by}
    wanted = dict.fromkeys((min(pair), max(pair)) for pair in pairs if pair[0] != pair[1])
    written = [
        catalog.decisions.add(first, Edit.apart(second), by=by, reason=reason)
        for first, second in wanted
        if (first, second) not in declared
    ]
    return [decision for decision in written if decision]


def all_pairs(image_ids: Iterable[str]) -> list[tuple[str, str]]:
    """Return every pair of distinct images, the smaller id first."""
    return list(combinations(sorted(set(image_ids)), 2))
