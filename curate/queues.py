"""What there is to review, and why: an item per image with the queues it stands in. Knows no App."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from collect.catalog import REJECT, RESTORE, Catalog, Decision, ImageRow
from curate.judgement import said_by_people
from workspace import LABEL_SEPARATOR

CONFLICT, SUGGESTED, DUPLICATE, QUALITY, DISAGREED, UNREVIEWED = (
    "label-conflict",
    "suggested",
    "near-duplicate",
    "quality",
    "disagreement",
    "unreviewed",
)
QUEUES = (CONFLICT, DISAGREED, SUGGESTED, DUPLICATE, QUALITY, UNREVIEWED)
"""In the order in which a reviewer had best take them."""


@dataclass(frozen=True)
class Item:
    """One image with what a reviewer wants to know of it."""

    image: ImageRow
    queues: tuple[str, ...]
    source: str
    license: str
    also: str
    """Other categories under which it, or a copy of it, was found, joined by spaces."""
    suggested: str
    suspicion: float
    """Score of the suggestion, higher is more suspicious; 0 without one."""
    findings: tuple[str, ...]
    quality: Mapping[str, float]


def list_items(catalog: Catalog, findings: Mapping[str, tuple[str, ...]]) -> list[Item]:
    """Every image. `findings`: the names of what a quality check found, by image."""
    images = catalog.images()
    places = _places(catalog)
    suggestions = {
        row["image_id"]: (row["suggested"], row["score"])
        for row in catalog.connection.execute("SELECT image_id, suggested, score FROM suggestions WHERE kind = 'label-error'")
    }
    quality: dict[str, dict[str, float]] = defaultdict(dict)
    for row in catalog.connection.execute("SELECT image_id, measure, value FROM quality"):
        quality[row["image_id"]][row["measure"]] = row["value"]
    seen = _seen_as(images, places)
    disagreed = _disagreed(catalog)
    items = []
    for image in images:
        suggested, suspicion = suggestions.get(image.image_id, ("", 0.0))
        found = places.get(image.image_id, [])
        also = sorted(seen[image.group or image.image_id] - {image.label, ""})
        flags = {
            CONFLICT: bool(also) and not image.reviewed,
            DISAGREED: image.image_id in disagreed,
            SUGGESTED: bool(suggested) and suggested != image.label,
            DUPLICATE: bool(image.group),
            QUALITY: bool(findings.get(image.image_id)),
            UNREVIEWED: not image.reviewed and image.status == "accepted",
        }
        items.append(
            Item(
                image,
                tuple(name for name in QUEUES if flags[name]),
                found[0][0] if found else "",
                found[0][1] if found else "unknown",
                " ".join(also),
                suggested,
                suspicion,
                findings.get(image.image_id, ()),
                quality[image.image_id],
            )
        )
    return items


def in_queue(items: Sequence[Item], queue: str) -> list[Item]:
    """The items of a queue in the order in which to take them: groups together, the most suspicious first."""
    found = [item for item in items if queue in item.queues]
    if queue == SUGGESTED:
        return sorted(found, key=lambda item: -item.suspicion)
    if queue == QUALITY:
        return sorted(found, key=lambda item: item.findings)
    return sorted(found, key=lambda item: item.image.group) if queue in (CONFLICT, DUPLICATE) else found


def _places(catalog: Catalog) -> dict[str, list[tuple[str, str, str]]]:
    """Source, licence and category of every place of every image."""
    places: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    for row in catalog.connection.execute(
        "SELECT image_id, source, license, category FROM findings JOIN candidates USING (candidate_id)"
        " WHERE image_id IS NOT NULL ORDER BY finding_id"
    ):
        places[row["image_id"]].append((row["source"], row["license"], row["category"]))
    return places


def _seen_as(images: list[ImageRow], places: Mapping[str, list[tuple[str, str, str]]]) -> dict[str, set[str]]:
    """The categories under which a group, or an image in none, was found or labelled."""
    seen: dict[str, set[str]] = defaultdict(set)
    for image in images:
        names = seen[image.group or image.image_id]
        names |= {category for _, _, category in places.get(image.image_id, ())}
        names |= {image.label} if LABEL_SEPARATOR not in image.label else set()
    return seen


def _disagreed(catalog: Catalog) -> set[str]:
    """Images about which two people last said different things."""
    last = last_said(catalog.decisions())
    return {image_id for image_id, said in last.items() if len(set(said.values())) > 1}


def last_said(decisions: Iterable[Decision]) -> dict[str, dict[str, str]]:
    """By image and person: the label that the person left it with, or `reject:` whatever the reason."""
    last: dict[str, dict[str, str]] = defaultdict(dict)
    for decision in said_by_people(decisions):
        if decision.new != RESTORE:
            last[decision.image_id][decision.who] = REJECT if decision.new.startswith(REJECT) else decision.new
    return last
