"""What there is to review, and why: an item per image with the queues it stands in. Knows no App."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from fototeca.collect.catalog import PERSON, REJECT, RENAME, RESTORE, Catalog, Decision, ImageRow
from fototeca.curate.labels.categories import renamed, renamed_from, split_label
from fototeca.curate.labels.review_state import said_by_people, valid
from fototeca.curate.snapshot.catalog_state import ImageSource, read_snapshot

CONFLICT, UNKNOWN, SUGGESTED, OUTLIER, BOUNDARY, DUPLICATE, QUALITY, DISAGREED, UNREVIEWED = (
    "label-conflict",
    "unknown-category",
    "suggested",
    "outlier",
    "boundary",
    "near-duplicate",
    "quality",
    "disagreement",
    "unreviewed",
)
QUEUES = (CONFLICT, DISAGREED, UNKNOWN, SUGGESTED, OUTLIER, BOUNDARY, DUPLICATE, QUALITY, UNREVIEWED)
"""In the order in which a reviewer had best take them."""

SUGGESTED_AFTER = "suggested-after"
"""Where the catalog's facts keep the last decision that the suggestions knew of."""

ANSWERED = "suggestion-answered:"
"""Before an image id: the last suggestion about it after which a person decided, so that it is not made again."""

_SUSPECTS = {"label-error": SUGGESTED, "outlier": OUTLIER, "boundary": BOUNDARY}
"""The queue of each kind of suggestion."""


@dataclass(frozen=True)
class ReviewItem:
    """One image with what a reviewer wants to know of it."""

    image: ImageRow
    queues: tuple[str, ...]
    source: str
    license: str
    also: tuple[str, ...]
    """Other categories under which it, or a copy of it, was found or labelled."""
    suggested: str
    """The label that `curate suggest` would give it; empty without one."""
    suspicion: float
    """Score of the suggestion, higher is more suspicious; 0 without one."""
    findings: tuple[str, ...]
    quality: Mapping[str, float]


def list_items(catalog: Catalog, names: Sequence[str], findings: Mapping[str, tuple[str, ...]]) -> list[ReviewItem]:
    """Every image. `names`: the configured categories; `findings`: the names of what a quality check found, by image."""
    state = read_snapshot(catalog)
    images, origins, categories = state.images, state.sources, _categories(catalog)
    decisions = catalog.decisions()
    suspects = _suspects(catalog, images, decisions)
    quality: dict[str, dict[str, float]] = defaultdict(dict)
    for row in catalog.connection.execute("SELECT image_id, measure, value FROM quality"):
        quality[row["image_id"]][row["measure"]] = row["value"]
    seen = _seen_as(images, categories)
    waiting, given = _looked_at(images)
    disagreed = _disagreed(images, decisions)
    items = []
    for image in images:
        suspected, suggested, suspicion = suspects.get(image.image_id, ("", "", 0.0))
        origin = origins.get(image.image_id, ImageSource())
        also = sorted(seen[image.group or image.image_id] - set(split_label(image.label)))
        flags = {
            CONFLICT: len(given.get(image.group, ())) > 1 and not image.rejected if image.reviewed else bool(also),
            UNKNOWN: image.status == "accepted" and not set(split_label(image.label)) <= set(names),
            DISAGREED: image.image_id in disagreed,
            suspected: True,
            DUPLICATE: image.group in waiting,
            QUALITY: bool(findings.get(image.image_id)) and not image.reviewed,
            UNREVIEWED: not image.reviewed and image.status == "accepted",
        }
        items.append(
            ReviewItem(
                image,
                tuple(name for name in QUEUES if flags.get(name)),
                origin.source,
                origin.license,
                tuple(also),
                suggested,
                suspicion,
                findings.get(image.image_id, ()),
                quality[image.image_id],
            )
        )
    return items


def in_queue(items: Sequence[ReviewItem], queue: str) -> list[ReviewItem]:
    """The items of a queue in the order in which to take them: groups together, the most suspicious first."""
    found = [item for item in items if queue in item.queues]
    if queue in _SUSPECTS.values():
        return sorted(found, key=lambda item: -item.suspicion)
    if queue == QUALITY:
        return sorted(found, key=lambda item: item.findings)
    return sorted(found, key=lambda item: item.image.group) if queue in (CONFLICT, DUPLICATE) else found


def _categories(catalog: Catalog) -> dict[str, set[str]]:
    """The categories under which each image was found."""
    found: dict[str, set[str]] = defaultdict(set)
    for row in catalog.connection.execute(
        "SELECT image_id, category FROM findings JOIN candidates USING (candidate_id) WHERE image_id IS NOT NULL"
    ):
        found[row["image_id"]].update(split_label(row["category"]))
    return found


def _seen_as(images: Sequence[ImageRow], categories: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """The categories under which a group, or an image in none, was found or labelled."""
    seen: dict[str, set[str]] = defaultdict(set)
    for image in images:
        names = seen[image.group or image.image_id]
        names.update(categories.get(image.image_id, ()))
        names.update(split_label(image.label))
    return seen


def _looked_at(images: Sequence[ImageRow]) -> tuple[set[str], dict[str, set[frozenset[str]]]]:
    """The groups with a member that nobody has reviewed, and by group the labels that people left its members with.

    Who calls two copies of one image by two names has not settled what it shows; a crop may show less than the whole, so a
    label whose categories another one has too is left out.
    """
    waiting, given = set(), defaultdict[str, set[frozenset[str]]](set)
    for image in images:
        if image.group and not image.rejected:
            if image.reviewed:
                given[image.group].add(frozenset(split_label(image.label)))
            else:
                waiting.add(image.group)
    return waiting, {name: {one for one in labels if not any(one < other for other in labels)} for name, labels in given.items()}


def _disagreed(images: Iterable[ImageRow], decisions: Iterable[Decision]) -> set[str]:
    """Images about which people last said different things, unless most of them say what the catalog does."""
    last = last_said(decisions)
    found = set()
    for image in images:
        said = list(last.get(image.image_id, {}).values())
        agreeing = said.count(REJECT if image.rejected else image.label)
        if len(set(said)) > 1 and agreeing * 2 <= len(said):
            found.add(image.image_id)
    return found


def last_said(decisions: Iterable[Decision]) -> dict[str, dict[str, str]]:
    """By image and person: the label that the person left it with, or `reject:` whatever the reason.

    Who takes a rejection back leaves the label that the image had; to bring back a set-aside copy says nothing about its label.
    Where a category was renamed, those who had said the old name are taken to say the new one.
    """
    last: dict[str, dict[str, str]] = defaultdict(dict)
    labels: dict[str, str] = {}
    for decision in valid(decisions):
        word = decision.new
        if word.startswith(REJECT):
            word = REJECT
        elif word == RESTORE:
            word = labels.get(decision.image_id, "")
        elif decision.who.startswith(RENAME):  # of the label that is left when the word that it met is taken back
            labels[decision.image_id] = renamed(labels.get(decision.image_id, ""), *renamed_from(decision))
        else:
            labels[decision.image_id] = word
        silent = decision.new == RESTORE and not decision.old.startswith(REJECT)
        if decision.who.startswith(PERSON) and not silent:
            last[decision.image_id][decision.who] = word
        if decision.who.startswith(RENAME):
            said = last[decision.image_id]
            said.update({who: renamed(before, *renamed_from(decision)) for who, before in said.items()})
    return last


def _suspects(catalog: Catalog, images: Iterable[ImageRow], decisions: Iterable[Decision]) -> dict[str, tuple[str, str, float]]:
    """Queue, suggested label and score of what `suggest` found, but for what a person has answered."""
    labels, since = (
        {image.image_id: image.label for image in images},
        {row["image_id"] for row in _answered_now(catalog, decisions)},
    )
    return {
        row["image_id"]: (_SUSPECTS[row["kind"]], row["suggested"] if row["kind"] != "outlier" else "", row["score"])
        for row in catalog.connection.execute("SELECT image_id, label, suggested, score, kind FROM suggestions")
        if labels[row["image_id"]] == row["label"] and row["image_id"] not in since
    }


def answered(catalog: Catalog) -> dict[str, tuple[str, ...]]:
    """By image the last suggestion that a person has answered: kind, label and suggested label.

    Those that were answered since the last `suggest` are remembered from here on: others will take their place.
    """
    for row in _answered_now(catalog, catalog.decisions()):
        _remember(catalog, row["image_id"], (row["kind"], row["label"], row["suggested"]))
    rows = catalog.connection.execute("SELECT name, value FROM facts WHERE name >= ? AND name < ?", (ANSWERED, ANSWERED + "g"))
    return {row["name"][len(ANSWERED) :]: tuple(row["value"].split("\n")) for row in rows}


def rename_suggestions(catalog: Catalog, old: str, new: str) -> None:
    """Let suggestions, and those that were answered, say the new name of a category."""
    for image_id, (kind, *labels) in answered(catalog).items():
        _remember(catalog, image_id, (kind, *(renamed(label, old, new) for label in labels)))
    rows = catalog.connection.execute("SELECT image_id, label, suggested FROM suggestions").fetchall()
    catalog.connection.executemany(
        "UPDATE suggestions SET label = ?, suggested = ? WHERE image_id = ?",
        [(renamed(row["label"], old, new), renamed(row["suggested"], old, new), row["image_id"]) for row in rows],
    )
    catalog.connection.execute("DELETE FROM suggestions WHERE kind = 'label-error' AND label = suggested")


def _remember(catalog: Catalog, image_id: str, suggestion: Sequence[str]) -> None:
    catalog.set_fact(ANSWERED + image_id, "\n".join(suggestion))


def _answered_now(catalog: Catalog, decisions: Iterable[Decision]) -> list[sqlite3.Row]:
    """The suggestions on whose image a person has decided since they were made."""
    since = int(catalog.fact(SUGGESTED_AFTER) or 0)
    decided = {row.image_id for row in said_by_people(decisions) if row.decision_id > since}
    rows = catalog.connection.execute("SELECT image_id, label, suggested, kind FROM suggestions")
    return [row for row in rows if row["image_id"] in decided]
