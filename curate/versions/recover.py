"""A lost catalog, filled again: from the stored files and from what the frozen versions say of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tqdm import tqdm

from fototeca.collect.catalog import PERSON, Catalog, ImageRow, Provenance
from fototeca.collect.store import digest, stored_images
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace
from fototeca.curate.labels.review_state import said_by_people
from fototeca.curate.manifest import ManifestRow, list_versions, read_manifest
from fototeca.curate.versions.decision_log import decision_key, read_decision_log
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
        if catalog.image(path.stem):
            continue
        image = _facts_of(workspace, path)
        facts["images" if image else "broken"] += 1
        if image is None:
            continue
        row = rows.get(path.stem)
        place = row.image_url if row and row.image_url else f"file:{image.path}"
        told: dict[str, Any] = {name: getattr(row, name) for name in ("page_url", "author", "license")} if row else {}
        catalog.readmit(image, Provenance(place, row.source if row else "recovered", row.label if row else "", **told))


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
    known = catalog.decisions()
    there = {decision_key(one) for one in known}
    newest = {one.image_id: one.time for one in known if one.who.startswith(PERSON)}
    for decision in (one for version in versions for one in read_decision_log(workspace, version)):
        if decision_key(decision) in there:
            continue
        if catalog.image(decision.image_id) is None:
            facts["unknown"] += 1
        elif decision.time < newest.get(decision.image_id, ""):
            facts["older"] += 1
        else:
            made = catalog.decide(decision.image_id, decision.new, who=decision.who, why=decision.why, time=decision.time)
            facts["decisions"] += made is not None
    judged = {one.image_id for one in said_by_people(catalog.decisions())}
    undone = [(image.image_id,) for image in catalog.images() if image.reviewed and image.image_id not in judged]
    catalog.connection.executemany("UPDATE images SET reviewed = 0 WHERE image_id = ?", undone)  # as taking back does
