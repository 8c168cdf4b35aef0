"""Recover a lost catalog from the stored images and the frozen versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from fototeca.collect.catalog import Catalog, Decision, ImageRow, Provenance
from fototeca.collect.store import compute_image_id, list_stored_images
from fototeca.core.errors import FototecaError
from fototeca.core.results import Result
from fototeca.core.workspace import Workspace
from fototeca.curate.labels.review_state import active_reviews
from fototeca.curate.manifest import ManifestRow, list_versions, read_manifest
from fototeca.curate.tombstones import read_tombstones
from fototeca.curate.versions.decision_log import read_decision_log
from fototeca.vision.exif import read_time_taken
from fototeca.vision.hashes import phash
from fototeca.vision.image import DecodeError, decode_grey


@dataclass
class _Counts:
    images: int = 0
    broken: int = 0
    decisions: int = 0
    unknown: int = 0
    older: int = 0
    erased: int = 0


@dataclass(frozen=True)
class RecoverResult(Result):
    """Counts of a recovery."""

    images: int
    """Files added to the catalog."""
    broken: int
    """Files whose bytes do not match their name, or that cannot be decoded."""
    decisions: int
    """Decisions added to the catalog."""
    unknown: int
    """Decisions about missing files."""
    older: int
    """Decisions not added because the catalog has a newer review of the image."""
    erased: int = 0
    """Files of images that were erased on request; they are not added."""


def recover_catalog(workspace: Workspace) -> RecoverResult:
    """Add every stored file and every decision of the frozen versions to the catalog. Repeating it changes nothing.

    Raises:
        FototecaError: there is no version, or one was edited.
    """
    versions = list_versions(workspace)
    if not versions:
        raise FototecaError(
            "there is no frozen version to recover from", "restore it: git checkout manifests; if none was made, collect again"
        )
    rows = {row.image_id: row for version in versions for row in read_manifest(workspace, version).rows}
    counts = _Counts()
    with Catalog.open(workspace) as catalog:
        catalog.erasures.add(read_tombstones(workspace).values())
        _add_files(workspace, catalog, rows, counts)
        decisions = [decision for version in versions for decision in read_decision_log(workspace, version)]
        with catalog.planned_transaction(lambda: _plan_replay(catalog, decisions)) as replay:
            _replay(catalog, replay, counts)
        with catalog.planned_transaction(lambda: _find_unreviewed(catalog)) as image_ids:
            catalog.images.clear_reviewed(image_ids)
    return RecoverResult(**counts.__dict__)


def _add_files(workspace: Workspace, catalog: Catalog, rows: dict[str, ManifestRow], counts: _Counts) -> None:
    """Add the stored files that the catalog lacks."""
    erased = {erasure.image_id for erasure in catalog.erasures.all()}
    for path in tqdm(list_stored_images(workspace), desc="reading", unit="image", disable=None):
        if path.stem in erased:
            counts.erased += 1
        if path.stem in erased or catalog.images.get(path.stem):
            continue
        image = _read_image(workspace, path)
        if image is None:
            counts.broken += 1
            continue
        counts.images += 1
        row = rows.get(path.stem)
        place = row.image_url if row and row.image_url else f"file:{image.path}"
        rights: dict[str, Any] = {name: getattr(row, name) for name in ("page_url", "author", "license")} if row else {}
        catalog.candidates.readmit(
            image, Provenance(place, row.source if row else "recovered", row.label if row else "", **rights)
        )


def _read_image(workspace: Workspace, path: Path) -> ImageRow | None:
    """Read the catalog row of a stored file; None if its bytes do not match its name or cannot be decoded."""
    data = path.read_bytes()
    if compute_image_id(data) != path.stem:
        return None
    try:
        grey, info = decode_grey(data)
    except DecodeError:
        return None
    properties = (info.format, info.width, info.height, info.mode, len(data), phash(grey))
    row = ImageRow(path.stem, workspace.relative(path), *properties)
    normalized = ",".join(info.normalized)
    return replace(row, background=info.background, frame=info.frame, normalized=normalized, taken=read_time_taken(data))


@dataclass(frozen=True)
class _Replay:
    """Decisions that the catalog lacks, in their original order, and the time of the last review of each image in it."""

    decisions: Sequence[Decision]
    last_reviews: Mapping[str, str]


def _plan_replay(catalog: Catalog, decisions: Sequence[Decision]) -> _Replay:
    existing = catalog.decisions.all()
    keys = {decision.key for decision in existing}
    last_reviews = {decision.image_id: decision.time for decision in existing if decision.is_review}
    return _Replay([decision for decision in decisions if decision.key not in keys], last_reviews)


def _replay(catalog: Catalog, replay: _Replay, counts: _Counts) -> None:
    """Add the decisions, without those about missing images and those before the last review in the catalog."""
    for decision in replay.decisions:
        if catalog.images.get(decision.image_id) is None:
            counts.unknown += 1
        elif decision.action != "apart" and decision.time < replay.last_reviews.get(decision.image_id, ""):
            counts.older += 1
        else:
            written = catalog.decisions.add(
                decision.image_id,
                decision.edit,
                by=decision.by,
                reason=decision.reason,
                time=decision.time,
                undoes=decision.undoes,
            )
            counts.decisions += written is not None


def _find_unreviewed(catalog: Catalog) -> list[str]:
    """Return the images that count as reviewed although every review of them was undone."""
    reviewed = {decision.image_id for decision in active_reviews(catalog.decisions.all())}
    return [image.image_id for image in catalog.images.all() if image.reviewed and image.image_id not in reviewed]
