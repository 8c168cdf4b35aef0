"""A lost catalog, filled again: from the stored files and from what the frozen versions say of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tqdm import tqdm

from fototeca.collect.catalog import Catalog, ImageRow, Provenance
from fototeca.collect.store import digest, stored_images
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace
from fototeca.curate.labels.review_state import active_reviews
from fototeca.curate.manifest import ManifestRow, list_versions, read_manifest
from fototeca.curate.versions.decision_log import read_decision_log
from fototeca.vision.hashes import phash
from fototeca.vision.image import DecodeError, decode_grey


def recover_catalog(workspace: Workspace) -> dict[str, int]:
    """Let the catalog know every stored file and every decision of the frozen versions; twice is the same as once.

    Returns {"images", "broken", "decisions", "unknown", "older"}: files and decisions that are new to the catalog, files that
    are not what their name says, decisions about files that are gone, and decisions that a newer one has overtaken.
    FototecaError when there is no version, or one was edited.
    """
    versions = list_versions(workspace)
    if not versions:
        raise FototecaError(
            "there is no frozen version to recover from", "restore it: git checkout manifests; if none was made, collect again"
        )
    rows = {row.image_id: row for version in versions for row in read_manifest(workspace, version).rows}
    facts = dict.fromkeys(("images", "broken", "decisions", "unknown", "older"), 0)
    with Catalog.open(workspace) as catalog:
        _readmit(workspace, catalog, rows, facts)
        with catalog.transaction():
            _replay(workspace, catalog, versions, facts)
    return facts


def _readmit(workspace: Workspace, catalog: Catalog, rows: dict[str, ManifestRow], facts: dict[str, int]) -> None:
    for path in tqdm(stored_images(workspace), desc="reading", unit="image", disable=None):
        if catalog.images.get(path.stem):
            continue
        image = _facts_of(workspace, path)
        facts["images" if image else "broken"] += 1
        if image is None:
            continue
        row = rows.get(path.stem)
        place = row.image_url if row and row.image_url else f"file:{image.path}"
        told: dict[str, Any] = {name: getattr(row, name) for name in ("page_url", "author", "license")} if row else {}
        catalog.candidates.readmit(image, Provenance(place, row.source if row else "recovered", row.label if row else "", **told))


def _facts_of(workspace: Workspace, path: Path) -> ImageRow | None:
    """The facts of a stored file; None when it is not what its name says, or no image that can be decoded."""
    data = path.read_bytes()
    if digest(data) != path.stem:
        return None
    try:
        grey, info = decode_grey(data)
    except DecodeError:
        return None
    facts = (info.format, info.width, info.height, info.mode, len(data), phash(grey))
    return ImageRow(path.stem, workspace.relative(path), *facts)


def _replay(workspace: Workspace, catalog: Catalog, versions: list[str], facts: dict[str, int]) -> None:
    """Decide again, in the order in which it was decided, whatever the catalog does not know."""
    existing = catalog.decisions.all()
    keys = {decision.key for decision in existing}
    newest = {decision.image_id: decision.time for decision in existing if decision.is_review}
    for decision in (row for version in versions for row in read_decision_log(workspace, version)):
        if decision.key in keys:
            continue
        if catalog.images.get(decision.image_id) is None:
            facts["unknown"] += 1
        elif decision.time < newest.get(decision.image_id, ""):
            facts["older"] += 1
        else:
            written = catalog.decisions.add(
                decision.image_id,
                decision.edit,
                by=decision.by,
                reason=decision.reason,
                time=decision.time,
                undoes=decision.undoes,
            )
            facts["decisions"] += written is not None
    reviewed = {decision.image_id for decision in active_reviews(catalog.decisions.all())}
    catalog.images.clear_reviewed(
        image.image_id for image in catalog.images.all() if image.reviewed and image.image_id not in reviewed
    )
