"""Read a snapshot of the catalog, of now or of the time when a version was frozen."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from fototeca.collect.catalog import Catalog, FrozenGroup, ImageRow, ReviewState
from fototeca.core.console import plain_line
from fototeca.core.kinds import Integer
from fototeca.core.public_url import public_url
from fototeca.curate.labels.review_state import active_reviews


@dataclass(frozen=True)
class ImageSource:
    """Source of an image as a manifest states it, without paths of local disks."""

    source: str = ""
    image_url: str = ""
    page_url: str = ""
    author: str = ""
    license: str = "unknown"


@dataclass(frozen=True)
class CatalogSnapshot:
    """All images with their labels and groups, their sources, and what the sources state about splits."""

    images: tuple[ImageRow, ...]
    sources: Mapping[str, ImageSource]
    source_groups: Mapping[str, frozenset[str]]
    """Relations between images of one source: originals of augmented copies and split groups (patient, video)."""
    source_splits: Mapping[str, frozenset[str]]
    """Splits that sources give for an image: train, val or test; images without one are absent."""
    last_decision: int
    threshold: int | None
    """Threshold of the last search for near-duplicates, in bits; None before the first."""
    scenes: Mapping[str, str] = field(default_factory=dict)
    """Scene of each image that is in one, where scenes share a split; empty otherwise."""


_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")
"""Scheme of a URL, of two characters or more, since a Windows drive has one letter."""

THRESHOLD = "dedup-threshold"
"""Key of the threshold in the catalog's metadata."""

THRESHOLD_KIND = Integer(0, 64)
"""Bits of a perceptual hash."""


def read_snapshot(catalog: Catalog) -> CatalogSnapshot:
    """Read one state of the catalog: that of now, or that of a connection that reads an earlier moment."""
    with catalog.reading():
        used = catalog.metadata.get_as(THRESHOLD, THRESHOLD_KIND)
        return CatalogSnapshot(tuple(catalog.images.all()), *_read_sources(catalog, "9999"), catalog.decisions.last_id(), used)


def read_past_snapshot(catalog: Catalog, metadata: Mapping[str, Any]) -> CatalogSnapshot:
    """Read the state at the time of a version by replaying the decisions up to it. `metadata`: the JSON of the version."""
    groups = catalog.groups.frozen(metadata["version"])
    images = {}
    for image in catalog.images.all():
        if image.added <= metadata["created"]:
            row = groups.get(image.image_id, FrozenGroup(image.image_id, "", True, ""))
            with_group = replace(image, group=row.group_id, component=row.component, is_representative=row.is_representative)
            images[image.image_id] = replace(with_group.with_review_state(ReviewState("")), erased=False)
    last_decision = metadata["last_decision"]
    decisions = [row for row in catalog.decisions.all() if row.decision_id <= last_decision and row.image_id in images]
    for decision in decisions:
        image = images[decision.image_id]
        images[decision.image_id] = image.with_review_state(decision.edit.apply(image.review_state))
    reviewed = {decision.image_id for decision in active_reviews(decisions)}
    images = {image_id: replace(image, reviewed=image_id in reviewed) for image_id, image in images.items()}
    sources = _read_sources(catalog, metadata["created"])
    scenes = {image_id: row.scene for image_id, row in groups.items() if row.scene}
    return CatalogSnapshot(tuple(images.values()), *sources, last_decision, metadata["threshold"], scenes)


def store_groups(catalog: Catalog, version: str, snapshot: CatalogSnapshot) -> None:
    """Store the groups and scenes of a snapshot under the name of a version, since later searches replace them."""
    scenes = snapshot.scenes
    grouped = [
        image
        for image in snapshot.images
        if image.group or image.component not in ("", image.image_id) or image.image_id in scenes
    ]
    rows = [
        FrozenGroup(image.image_id, image.group, image.is_representative, image.component, scenes.get(image.image_id, ""))
        for image in grouped
    ]
    catalog.groups.freeze(version, rows)


def _read_sources(
    catalog: Catalog, until: str
) -> tuple[dict[str, ImageSource], dict[str, frozenset[str]], dict[str, frozenset[str]]]:
    """Return by image what its places recorded by `until` state: the best source, the source groups, the source splits."""
    best: dict[str, tuple[tuple[object, ...], ImageSource]] = {}
    groups: dict[str, set[str]] = defaultdict(set)
    splits: dict[str, set[str]] = defaultdict(set)
    for row in catalog.provenance.of_images_until(until):
        source = ImageSource(_line(row.source), _public(row.url), _public(row.page_url), _line(row.author), _line(row.license))
        rank = (
            row.license == "unknown",
            not source.author,
            not source.page_url,
            not source.image_url,
            row.thumbnail,
            source.source == "folder",  # a person may have named the source later
            row.provenance_id,
        )
        if row.image_id not in best or rank < best[row.image_id][0]:
            best[row.image_id] = (rank, source)
        for kind, name in (("original", row.original), ("group", row.split_group)):
            if name:
                groups[row.image_id].add(f"{kind} {row.source}:{name}")
        if row.split:
            splits[row.image_id].add(row.split)
    return {key: source for key, (_, source) in best.items()}, _freeze_sets(groups), _freeze_sets(splits)


def _freeze_sets(sets: Mapping[str, set[str]]) -> dict[str, frozenset[str]]:
    return {image_id: frozenset(names) for image_id, names in sets.items()}


def _public(url: str) -> str:
    """Return a URL that is valid on other machines; empty for local paths and file URLs."""
    text = _line(url)
    scheme = _SCHEME.match(text)
    return public_url(text) if scheme and scheme[1].lower() != "file" else ""


def _line(text: str) -> str:
    """Return the text on one line, without control, bidi and invisible characters."""
    return text.strip() if text.isprintable() and "  " not in text else plain_line(text)
