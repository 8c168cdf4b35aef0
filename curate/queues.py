"""What there is to review, and why: an item per image with the queues it stands in. Knows no App."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from collect.catalog import PERSON, REJECT, RESTORE, Catalog, Decision, ImageRow
from curate.judgement import RENAME, said_by_people, valid
from curate.state import Origin, current_state
from workspace import LABEL_SEPARATOR

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
class Item:
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


def list_items(catalog: Catalog, names: Sequence[str], findings: Mapping[str, tuple[str, ...]]) -> list[Item]:
    """Every image. `names`: the configured categories; `findings`: the names of what a quality check found, by image."""
    state = current_state(catalog)
    images, origins, categories = state.images, state.origins, _categories(catalog)
    suspects = _suspects(catalog, images)
    quality: dict[str, dict[str, float]] = defaultdict(dict)
    for row in catalog.connection.execute("SELECT image_id, measure, value FROM quality"):
        quality[row["image_id"]][row["measure"]] = row["value"]
    seen = _seen_as(images, categories)
    waiting, given = _looked_at(images)
    disagreed = _disagreed(catalog)
    items = []
    for image in images:
        suspected, suggested, suspicion = suspects.get(image.image_id, ("", "", 0.0))
        origin = origins.get(image.image_id, Origin())
        also = sorted(seen[image.group or image.image_id] - set(split_label(image.label)))
        flags = {
            CONFLICT: len(given[image.group]) > 1 if image.reviewed else bool(also),
            UNKNOWN: image.status == "accepted" and not set(split_label(image.label)) <= set(names),
            DISAGREED: image.image_id in disagreed,
            suspected: True,
            DUPLICATE: image.group in waiting,
            QUALITY: bool(findings.get(image.image_id)) and not image.reviewed,
            UNREVIEWED: not image.reviewed and image.status == "accepted",
        }
        items.append(
            Item(
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


def split_label(label: str) -> list[str]:
    """The categories of a label."""
    return label.split(LABEL_SEPARATOR) if label else []


def in_queue(items: Sequence[Item], queue: str) -> list[Item]:
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


def _looked_at(images: Sequence[ImageRow]) -> tuple[set[str], dict[str, set[str]]]:
    """The groups with a member that nobody has reviewed, and by group the labels that people left its members with.

    Who calls two copies of one picture by two names has not settled what it shows.
    """
    waiting, given = set(), defaultdict[str, set[str]](set)
    for image in images:
        if image.group and not image.rejected:
            if image.reviewed:
                given[image.group].add(image.label)
            else:
                waiting.add(image.group)
    return waiting, given


def _disagreed(catalog: Catalog) -> set[str]:
    """Images about which two people last said different things."""
    last = last_said(catalog.decisions())
    return {image_id for image_id, said in last.items() if len(set(said.values())) > 1}


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
        else:
            labels[decision.image_id] = word
        silent = decision.new == RESTORE and not decision.old.startswith(REJECT)
        if decision.who.startswith(PERSON) and not silent:
            last[decision.image_id][decision.who] = word
        elif decision.who.startswith(RENAME) and decision.image_id in last:
            said = last[decision.image_id]
            said.update({who: word for who, before in said.items() if before == decision.old})
    return last


def _suspects(catalog: Catalog, images: Iterable[ImageRow]) -> dict[str, tuple[str, str, float]]:
    """Queue, suggested label and score of what `suggest` found, but for what a person has answered."""
    labels, before = {image.image_id: image.label for image in images}, _remembered(catalog)
    since = {row["image_id"] for row in _answered_now(catalog)}
    return {
        row["image_id"]: (_SUSPECTS[row["kind"]], row["suggested"] if row["kind"] != "outlier" else "", row["score"])
        for row in catalog.connection.execute("SELECT image_id, label, suggested, score, kind FROM suggestions")
        if labels[row["image_id"]] == row["label"] and row["image_id"] not in since and before.get(row["image_id"]) != _word(row)
    }


def remember_answers(catalog: Catalog) -> None:
    """Keep which of the suggestions people have answered, before others take their place: the same is not asked again."""
    for row in _answered_now(catalog):
        catalog.set_fact(ANSWERED + row["image_id"], _word(row))


def _answered_now(catalog: Catalog) -> list[sqlite3.Row]:
    """The suggestions on whose image a person has decided since they were made."""
    since = int(catalog.fact(SUGGESTED_AFTER) or 0)
    decided = {row.image_id for row in said_by_people(catalog.decisions()) if row.decision_id > since}
    rows = catalog.connection.execute("SELECT image_id, label, suggested, kind FROM suggestions")
    return [row for row in rows if row["image_id"] in decided]


def _remembered(catalog: Catalog) -> dict[str, str]:
    rows = catalog.connection.execute("SELECT name, value FROM facts WHERE name >= ? AND name < ?", (ANSWERED, ANSWERED + "g"))
    return {row["name"][len(ANSWERED) :]: row["value"] for row in rows}


def _word(row: sqlite3.Row) -> str:
    """What a suggestion says."""
    return "\n".join((row["kind"], row["label"], row["suggested"]))
