"""The decisions that lie beside the frozen versions: what git keeps of people's work."""

from __future__ import annotations

import csv
import hashlib
import io

from fototeca.collect.catalog import Catalog, Decision
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import list_versions, read_metadata


def read_decision_log(workspace: Workspace, version: str) -> list[Decision]:
    """Those beside a version, oldest first. FototecaError when they are gone or were edited."""
    path = workspace.manifests / f"{version}.decisions.csv"
    restore = f"restore it: git checkout manifests/{path.name}"
    if not path.is_file():
        raise FototecaError(f"manifests/{path.name} is missing", restore)
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != read_metadata(workspace, version)["decisions_sha256"]:
        raise FototecaError(f"manifests/{path.name} was changed after it was frozen: its digest differs", restore)
    reader = csv.DictReader(io.StringIO(content.decode("utf-8"), newline=""))
    return [Decision(row["image_id"], row["time"], row["who"], row["old"], row["new"], row["why"]) for row in reader]


def decision_key(decision: Decision) -> tuple[str, str, str, str]:
    """What makes two records the same decision, whatever number a catalog gave them."""
    return decision.image_id, decision.time, decision.who, decision.new


def list_unstored_decisions(catalog: Catalog, workspace: Workspace) -> list[Decision]:
    """The catalog's decisions that no version keeps yet: those that the next one is to keep."""
    kept = {decision_key(decision) for version in list_versions(workspace) for decision in read_decision_log(workspace, version)}
    return [decision for decision in catalog.decisions() if decision_key(decision) not in kept]
