"""Rebuild a frozen version from the catalog as it was at that time and from the splits stored with the version."""

from __future__ import annotations

import hashlib
from pathlib import Path

from fototeca.collect.catalog import Catalog
from fototeca.core.errors import FototecaError
from fototeca.core.files import write_bytes
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import list_versions, manifest_bytes, read_manifest, read_metadata
from fototeca.curate.snapshot.catalog_state import read_past_snapshot
from fototeca.curate.versions.plan import plan_rows, select_images
from fototeca.curate.versions.stored_splits import read_stored_splits


def rebuild_version(workspace: Workspace, version: str, output: Path | None = None) -> bool:
    """Rebuild a version's CSV from the catalog; return True if it has the frozen digest.

    Images, labels, groups and origins are recomputed from the decisions up to the version's time. Splits are read from the
    version, so that a later optimizer does not break earlier versions: an image frozen before must have the split that it had,
    and all images of a group share one, or the digest differs. The version's own CSV is read only where its JSON stores no
    splits, so a lost or edited CSV can be replaced.

    `output`: path for the rebuilt CSV. Bytes that differ from the frozen ones are not written inside `manifests/`.

    Raises:
        FototecaError: the output path is refused, the splits cannot be read, or the catalog is younger than the version, as
            after `recover`.
    """
    metadata = read_metadata(workspace, version)
    names = list_versions(workspace)
    earlier = [read_manifest(workspace, name) for name in names[: names.index(metadata["version"])]]
    with Catalog.open(workspace) as catalog:
        snapshot = read_past_snapshot(catalog, metadata)
    if len(snapshot.images) < metadata["rows"]:
        known = f"the catalog has {len(snapshot.images)} images from before {metadata['version']} was frozen"
        raise FototecaError(
            f"{metadata['version']} cannot be rebuilt: {known}, of {metadata['rows']} in it",
            "a recovered catalog is younger than its versions; to check the CSV itself: fototeca curate verify",
        )
    image_ids = [image.image_id for image in select_images(snapshot, metadata["task"], metadata["categories"])]
    stored = read_stored_splits(workspace, metadata, image_ids)
    plan = plan_rows(snapshot, metadata["task"], metadata["categories"], earlier, metadata["ratios"], metadata["seed"], stored)
    content = manifest_bytes(plan.rows)
    same = hashlib.sha256(content).hexdigest() == str(metadata["sha256"])
    if output is not None:
        _check_place(workspace, output, metadata["version"] if same else "")
        write_bytes(output, content)
    return same


def _check_place(workspace: Workspace, output: Path, version: str) -> None:
    """Check that the output does not replace another file of `manifests/`.

    `version`: the version whose bytes are written; empty if the bytes are not those of any version.

    Raises:
        FototecaError: the output is in `manifests/` and is not the CSV of that version.
    """
    manifests = workspace.manifests.resolve()
    place = output.resolve()
    if place.is_relative_to(manifests) and place != manifests / f"{version}.csv":
        problem = f"the rebuilt CSV is not {place.name}" if version else "the rebuilt CSV differs from the frozen one"
        raise FototecaError(f"{problem}: nothing was written", "give a path outside manifests/ to inspect it")
