"""Decision files beside the frozen versions (`vNNN.decisions.csv`): the copy of people's work that git keeps."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable
from typing import get_args

from fototeca.collect.catalog import LEGACY_COLUMNS, Action, ActorKind, Catalog, Decision, parse_legacy_decision
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import DECISION_COLUMNS, list_versions, read_metadata


def read_decision_log(workspace: Workspace, version: str) -> list[Decision]:
    """Return the decisions beside a version, oldest first. FototecaError if the file is missing, changed or malformed.

    Files of schema 1 do not contain the labels of rejected images: `old_label` and `new_label` are empty there.
    """
    path = workspace.manifests / f"{version}.decisions.csv"
    restore = f"restore it: git checkout manifests/{path.name}"
    if not path.is_file():
        raise FototecaError(f"manifests/{path.name} is missing", restore)
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != read_metadata(workspace, version)["decisions_sha256"]:
        raise FototecaError(f"manifests/{path.name} was changed after it was frozen: its digest differs", restore)
    try:
        return list(_parse(content.decode("utf-8")))
    except ValueError as error:
        raise FototecaError(f"manifests/{path.name} is not a decision file: {error}", restore) from None


def _parse(text: str) -> Iterable[Decision]:
    """Yield the decisions of a file. ValueError if it is malformed."""
    reader = csv.reader(io.StringIO(text, newline=""))
    columns = tuple(next(reader, ()))
    if columns not in (DECISION_COLUMNS, LEGACY_COLUMNS):
        raise ValueError("its columns are unknown")
    for cells in reader:
        if len(cells) != len(columns):
            raise ValueError(f"line {reader.line_num} has {len(cells)} cells, not {len(columns)}")
        if columns == LEGACY_COLUMNS:
            yield parse_legacy_decision(*cells)  # type: ignore[arg-type]
            continue
        values = dict(zip(columns, cells, strict=True))
        if values["action"] not in get_args(Action) or values["actor_kind"] not in get_args(ActorKind):
            raise ValueError(f"line {reader.line_num} has an unknown action or actor kind")
        yield Decision(**values)  # type: ignore[arg-type]


def list_unstored_decisions(catalog: Catalog, workspace: Workspace) -> list[Decision]:
    """Return the catalog's decisions that are in no version's file yet: those for the next version's file."""
    stored = {decision.key for version in list_versions(workspace) for decision in read_decision_log(workspace, version)}
    return [decision for decision in catalog.decisions.all() if decision.key not in stored]
