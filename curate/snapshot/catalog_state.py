"""What the catalog knows, now or as it was when a version was frozen."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from fototeca.collect.catalog import Catalog, FrozenGroup, ImageRow, ReviewState
from fototeca.curate.labels.review_state import active_reviews


@dataclass(frozen=True)
class ImageSource:
    """Where an image comes from, as a manifest says it. Places on somebody's own disk are left out."""

    source: str = ""
    image_url: str = ""
    page_url: str = ""
    author: str = ""
    license: str = "unknown"


@dataclass(frozen=True)
class CatalogSnapshot:
    """All images with their decisions and groups, where each comes from, and which are copies of one original."""

    images: tuple[ImageRow, ...]
    sources: Mapping[str, ImageSource]
    originals: Mapping[str, frozenset[str]]
    """For images that a source calls augmented copies: the originals, as `source:id`."""
    last_decision: int
    threshold: int | None
    """What the last search for near-duplicates used; None before the first."""
    newest: str
    """The latest time of anything that is known of them: the clock may have been set back."""


_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")
"""Of an address; a drive has one letter."""

THRESHOLD = "dedup-threshold"
"""Where the catalog's facts keep that threshold."""


def read_snapshot(catalog: Catalog) -> CatalogSnapshot:
    """The catalog as it is; read it inside a transaction to have all of one moment."""
    origins, originals = _read_findings(catalog, "9999")
    threshold = catalog.metadata.get(THRESHOLD)
    used = None if threshold is None else int(threshold)
    newest = catalog.candidates.latest_time()
    return CatalogSnapshot(tuple(catalog.images.all()), origins, originals, catalog.decisions.last_id(), used, newest)


def read_past_snapshot(catalog: Catalog, facts: Mapping[str, Any]) -> CatalogSnapshot:
    """The catalog as it was when the version with these facts was frozen, the decisions up to it played again."""
    groups = catalog.groups.frozen(facts["version"])
    images = {}
    for image in catalog.images.all():
        if image.added <= facts["created"]:
            row = groups.get(image.image_id, FrozenGroup(image.image_id, "", True, ""))
            grouped = replace(image, group=row.group_id, component=row.component, is_representative=row.is_representative)
            images[image.image_id] = grouped.with_review_state(ReviewState(""))
    decisions = [row for row in catalog.decisions.all() if row.decision_id <= facts["last_decision"] and row.image_id in images]
    for decision in decisions:
        image = images[decision.image_id]
        images[decision.image_id] = image.with_review_state(decision.edit.apply(image.review_state))
    reviewed = {decision.image_id for decision in active_reviews(decisions)}
    images = {image_id: replace(image, reviewed=image_id in reviewed) for image_id, image in images.items()}
    origins, originals = _read_findings(catalog, facts["created"])
    return CatalogSnapshot(
        tuple(images.values()), origins, originals, facts["last_decision"], facts["threshold"], facts["created"]
    )


def store_groups(catalog: Catalog, version: str, images: Iterable[ImageRow]) -> None:
    """Remember the groups that images have at this moment under a version's name, since a later search replaces them."""
    tied = [image for image in images if image.group or image.component not in ("", image.image_id)]
    rows = [FrozenGroup(image.image_id, image.group, image.is_representative, image.component) for image in tied]
    catalog.groups.freeze(version, rows)


def _read_findings(catalog: Catalog, until: str) -> tuple[dict[str, ImageSource], dict[str, frozenset[str]]]:
    """The best place of every image that had been found by `until`, and the originals of augmented copies."""
    best: dict[str, tuple[tuple[object, ...], ImageSource]] = {}
    originals: dict[str, set[str]] = defaultdict(set)
    for row in catalog.provenance.of_images_until(until):
        origin = ImageSource(row.source, _public(row.url), _public(row.page_url), _line(row.author), row.license)
        rank = (
            row.license == "unknown",
            not origin.author,
            not origin.page_url,
            not origin.image_url,
            row.thumbnail,
            row.provenance_id,
        )
        if row.image_id not in best or rank < best[row.image_id][0]:
            best[row.image_id] = (rank, origin)
        if row.original:
            originals[row.image_id].add(f"{row.source}:{row.original}")
    return {key: origin for key, (_, origin) in best.items()}, {key: frozenset(names) for key, names in originals.items()}


def _public(url: str) -> str:
    """The address if it means something elsewhere too; nothing for a file of this machine."""
    text = _line(url)
    scheme = _SCHEME.match(text)
    return text if scheme and scheme[1].lower() != "file" else ""


def _line(text: str) -> str:
    """The text on one line, without control characters."""
    if not text.isprintable() or "  " in text:
        text = re.sub(r"[\s\x00-\x1f\x7f]+", " ", text)
    return text.strip()
