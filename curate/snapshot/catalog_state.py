"""What the catalog knows, now or as it was when a version was frozen."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from fototeca.collect.catalog import PERSON, Catalog, Decision, ImageRow
from fototeca.curate.labels.review_state import Judgement, said_by_people


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
    threshold = catalog.fact(THRESHOLD)
    used = None if threshold is None else int(threshold)
    return CatalogSnapshot(tuple(catalog.images()), origins, originals, catalog.last_decision(), used, _newest(catalog))


def read_past_snapshot(catalog: Catalog, facts: Mapping[str, Any]) -> CatalogSnapshot:
    """The catalog as it was when the version with these facts was frozen, the decisions up to it played again."""
    groups = {
        row["image_id"]: row
        for row in catalog.connection.execute(
            "SELECT image_id, group_id, kept, component FROM frozen_groups WHERE version = ?", (facts["version"],)
        )
    }
    images = {}
    for image in catalog.images():
        if image.added <= facts["created"]:
            row = groups.get(image.image_id)
            group, component, kept = (row["group_id"], row["component"], bool(row["kept"])) if row else ("", "", True)
            place = replace(image, group=group, component=component, kept=kept)
            images[image.image_id] = replace(place, label="", rejected="", reviewed=False, keep=False)
    decisions = [row for row in catalog.decisions() if row.decision_id <= facts["last_decision"] and row.image_id in images]
    for decision in decisions:
        images[decision.image_id] = apply_decision(images[decision.image_id], decision)
    looked_at = {decision.image_id for decision in said_by_people(decisions)}
    images = {image_id: replace(image, reviewed=image_id in looked_at) for image_id, image in images.items()}
    origins, originals = _read_findings(catalog, facts["created"])
    return CatalogSnapshot(
        tuple(images.values()), origins, originals, facts["last_decision"], facts["threshold"], facts["created"]
    )


def apply_decision(image: ImageRow, decision: Decision) -> ImageRow:
    """The image after the decision, as the catalog lets it follow. Whether it is reviewed after an undo, all of them tell."""
    after = Judgement.of_image(image).after(decision.new)
    reviewed = image.reviewed or decision.who.startswith(PERSON)
    return replace(image, label=after.label, rejected=after.rejected, keep=after.restored, reviewed=reviewed)


def store_groups(catalog: Catalog, version: str, images: Iterable[ImageRow]) -> None:
    """Remember the groups that images have at this moment under a version's name, since a later search replaces them."""
    tied = [image for image in images if image.group or image.component not in ("", image.image_id)]
    rows = [(version, image.image_id, image.group, int(image.kept), image.component) for image in tied]
    with catalog.transaction() as sql:
        sql.execute("DELETE FROM frozen_groups WHERE version = ?", (version,))
        sql.executemany("INSERT INTO frozen_groups (version, image_id, group_id, kept, component) VALUES (?, ?, ?, ?, ?)", rows)


def _read_findings(catalog: Catalog, until: str) -> tuple[dict[str, ImageSource], dict[str, frozenset[str]]]:
    """The best place of every image that had been found by `until`, and the originals of augmented copies."""
    best: dict[str, tuple[tuple[object, ...], ImageSource]] = {}
    originals: dict[str, set[str]] = defaultdict(set)
    for row in _finding_rows(catalog, until):
        origin = ImageSource(row["source"], _public(row["url"]), _public(row["page_url"]), _line(row["author"]), row["license"])
        rank = (
            row["license"] == "unknown",
            not origin.author,
            not origin.page_url,
            not origin.image_url,
            row["thumbnail"],
            row["finding_id"],
        )
        if row["image_id"] not in best or rank < best[row["image_id"]][0]:
            best[row["image_id"]] = (rank, origin)
        if row["original"]:
            originals[row["image_id"]].add(f"{row['source']}:{row['original']}")
    return {key: origin for key, (_, origin) in best.items()}, {key: frozenset(names) for key, names in originals.items()}


def _newest(catalog: Catalog) -> str:
    times = "SELECT max(added) AS t FROM images UNION SELECT max(found) FROM findings UNION SELECT max(time) FROM attempts"
    row = catalog.connection.execute(f"SELECT max(t) FROM ({times} UNION SELECT max(updated) FROM candidates)").fetchone()
    return str(row[0] or "")


def _finding_rows(catalog: Catalog, until: str) -> Iterator[Mapping[str, Any]]:
    """Findings that were there by `until`, of candidates whose image was theirs by then.

    The first attempt that brought the image tells when; `updated` would not, since a slower process that tried the same
    candidate once more moves it.
    """
    return catalog.connection.execute(
        "SELECT c.image_id, c.url, f.finding_id, f.source, f.page_url, f.author, f.license, f.thumbnail, f.original"
        " FROM findings f JOIN candidates c USING (candidate_id)"
        " WHERE c.image_id IS NOT NULL AND f.found <= ? AND coalesce((SELECT min(time) FROM attempts a"
        " WHERE a.candidate_id = c.candidate_id AND (a.state = 'accepted' OR a.reason = 'duplicate')), c.updated) <= ?",
        (until, until),
    )


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
