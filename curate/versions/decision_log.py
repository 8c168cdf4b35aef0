"""Decision files beside the frozen versions (`vNNN.decisions.csv`): the copy of people's work that git keeps."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, get_args

from fototeca.collect.catalog import LEGACY_COLUMNS, Action, ActorKind, Catalog, Decision, parse_legacy_decision
from fototeca.core.documents import read_table
from fototeca.core.errors import FototecaError
from fototeca.core.kinds import IMAGE_ID, LABEL, TIME, Anything, Choice, Kind, Problem, Text, is_time
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import DECISION_COLUMNS, list_versions, read_metadata, version_file

_ACTOR = {"action": Choice(get_args(Action)), "actor_kind": Choice(get_args(ActorKind)), "actor": Text(max_length=1000)}
_STATES = {"old_label": LABEL, "old_rejected": Anything(), "new_label": LABEL, "new_rejected": Anything()}
_IMAGE = {"image_id": IMAGE_ID, "time": TIME}

COLUMNS: dict[str, Kind] = {
    **_IMAGE,
    **_ACTOR,
    **_STATES,
    "reason": Anything(),
    "undoes": Text("", "the time of a decision, or empty", 40, lambda text: not text or is_time(text)),
    "other_image_id": Text("([0-9a-f]{64})?", "64 hexadecimal digits, or empty", 64),
}
"""The columns of `vNNN.decisions.csv`, in order."""

LEGACY: dict[str, Kind] = {**_IMAGE, "who": Text(max_length=1000), "old": Text(), "new": Text(), "why": Text()}
"""The columns in schema 1, in order."""

assert tuple(COLUMNS) == DECISION_COLUMNS
assert tuple(LEGACY) == LEGACY_COLUMNS


def read_decision_log(workspace: Workspace, version: str) -> list[Decision]:
    """Return the decisions beside a version, oldest first. FototecaError if the file is missing, changed or malformed.

    Files of schema 1 do not contain the labels of rejected images: `old_label` and `new_label` are empty there.
    """
    metadata = read_metadata(workspace, version)
    document = version_file(workspace, f"{metadata['version']}.decisions.csv")
    content = document.read()
    if hashlib.sha256(content).hexdigest() != metadata["decisions_sha256"]:
        raise FototecaError(f"{document.name} was changed after it was frozen: its digest differs", document.hint)
    decisions, problems = parse_decisions(content)
    if problems:
        raise document.error(*problems)
    return decisions


def parse_decisions(content: bytes) -> tuple[list[Decision], list[str]]:
    """Return the decisions of a file, and what is wrong with its lines."""
    if content.startswith(",".join(LEGACY).encode() + b"\n"):
        table = read_table(content, LEGACY)
        return ([] if table.problems else [parse_legacy_decision(**row) for row in table.rows]), table.problems
    table = read_table(content, COLUMNS, _check_edit)
    return [Decision(**row) for row in table.rows if not table.problems], table.problems


def _check_edit(row: dict[str, Any]) -> Iterator[Problem]:
    """Yield what is wrong with a decision whose cells are of their kinds: names that its action needs."""
    needed = {"label": (), "reject": ("new_rejected",), "restore": (), "rename": ("old_label", "new_label")}
    for name in needed.get(row["action"], ("other_image_id",)):
        if not row[name]:
            yield Problem(name, row[name], f"the text that the action {row['action']} needs")


def list_unstored_decisions(catalog: Catalog, workspace: Workspace) -> list[Decision]:
    """Return the catalog's decisions that are in no version's file yet: those for the next version's file."""
    stored = {decision.key for version in list_versions(workspace) for decision in read_decision_log(workspace, version)}
    return [decision for decision in catalog.decisions.all() if decision.key not in stored]
