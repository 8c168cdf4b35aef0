"""Making a frozen version again, from what the catalog knew at its time."""

from __future__ import annotations

import hashlib
from pathlib import Path

from fototeca.collect.catalog import Catalog
from fototeca.core.errors import FototecaError
from fototeca.core.files import write_bytes
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import list_versions, manifest_bytes, read_facts, read_manifest
from fototeca.curate.snapshot.catalog_state import past_state
from fototeca.curate.versions.freeze import plan_rows


def rebuild_version(workspace: Workspace, version: str, output: Path | None = None) -> bool:
    """Whether the version's CSV, made again from the decisions up to its time, has the frozen digest.

    `output`: where to write the CSV. The version's own CSV is not read, so that a lost or edited one can be replaced, if by the
    frozen bytes: others are not written among the manifests. FototecaError then, and when the catalog is younger than the
    version, as after `recover`.
    """
    facts = read_facts(workspace, version)
    names = list_versions(workspace)
    earlier = [read_manifest(workspace, name) for name in names[: names.index(facts["version"])]]
    with Catalog.open(workspace) as catalog:
        state = past_state(catalog, facts)
    if len(state.images) < facts["rows"]:
        known = f"the catalog has known {len(state.images)} images since before {facts['version']} was frozen"
        raise FototecaError(
            f"{facts['version']} cannot be made again: {known}, of {facts['rows']} that it has",
            "a recovered catalog is younger than its versions; the CSV itself is checked by: fototeca curate verify",
        )
    plan = plan_rows(state, facts["task"], facts["categories"], earlier, facts["ratios"], facts["seed"])
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
