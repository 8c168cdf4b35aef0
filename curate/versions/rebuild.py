"""Rebuild a frozen version from the catalog as it was at that time and from the splits stored with the version."""

from __future__ import annotations

import hashlib
from pathlib import Path

from fototeca.collect.catalog import Catalog
from fototeca.core.errors import FototecaError
from fototeca.core.files import write_bytes
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import list_versions, manifest_bytes, read_manifest, read_metadata, read_stored_splits
from fototeca.curate.snapshot.catalog_state import read_past_snapshot
from fototeca.curate.versions.plan import plan_rows, select_images


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
    facts = read_metadata(workspace, version)
    names = list_versions(workspace)
    earlier = [read_manifest(workspace, name) for name in names[: names.index(facts["version"])]]
    with Catalog.open(workspace) as catalog:
        state = read_past_snapshot(catalog, facts)
    if len(state.images) < facts["rows"]:
        known = f"the catalog has known {len(state.images)} images since before {facts['version']} was frozen"
        raise FototecaError(
            f"{facts['version']} cannot be made again: {known}, of {facts['rows']} that it has",
            "a recovered catalog is younger than its versions; the CSV itself is checked by: fototeca curate verify",
        )
    image_ids = [image.image_id for image in select_images(state, facts["task"])]
    stored = read_stored_splits(workspace, facts, image_ids)
    plan = plan_rows(state, facts["task"], facts["categories"], earlier, facts["ratios"], facts["seed"], stored)
    content = manifest_bytes(plan.rows)
    same = hashlib.sha256(content).hexdigest() == str(facts["sha256"])
    if output is not None:
        _check_place(workspace, output, facts["version"] if same else "")
        write_bytes(output, content)
    return same


def _check_place(workspace: Workspace, output: Path, version: str) -> None:
    """FototecaError where a CSV would take the place of another manifest's file; `version`: what it is, if it is one."""
    manifests = workspace.manifests.resolve()
    place = output.resolve()
    if place.is_relative_to(manifests) and place != manifests / f"{version}.csv":
        what = f"this would be no {place.name}" if version else "what can be made again is not what was frozen"
        raise FototecaError(f"{what}: nothing was written", "name a file outside manifests/ to see it")
