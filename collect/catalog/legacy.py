"""Decisions as fototeca wrote them before they were typed events: strings with prefixes, in catalogs and `v*.decisions.csv`."""

from __future__ import annotations

import sqlite3

from fototeca.collect.catalog.events import Action, Actor, Decision, ReviewState
from fototeca.core.settings import LABEL_SEPARATOR

LEGACY_COLUMNS = ("image_id", "time", "who", "old", "new", "why")
"""Columns of the table and of decision files of schema 1."""

_REJECT = "reject:"
_RESTORE = "restore"
_RENAMED = "renamed: "
_UNDO = "undo of "


def parse_legacy_decision(image_id: str, time: str, who: str, old: str, new: str, why: str, decision_id: int = 0) -> Decision:
    """Return the typed event of a row of schema 1.

    Such a row does not contain the label of a rejected image: `old_label` and `new_label` are empty there.
    """
    kind, _, name = who.partition(":")
    undoes = why.removeprefix(_UNDO) if why.startswith(_UNDO) else ""
    old_rejected = old.removeprefix(_REJECT) if old.startswith(_REJECT) else ""
    old_label = "" if old_rejected else old
    new_rejected = new.removeprefix(_REJECT) if new.startswith(_REJECT) else ""
    action: Action = "reject" if new_rejected else "restore" if new == _RESTORE else "label"
    new_label = new if action == "label" else ""
    if kind == "rename":
        old_label, _, new_label = why.removeprefix(_RENAMED).partition(LABEL_SEPARATOR)
        action, why, old_rejected, new_rejected = "rename", "", "", ""
    by = {"person": Actor("person", name), "rename": Actor("person", name), "collect": Actor("source", name)}.get(
        kind, Actor("rule", name or who)
    )
    reason = "" if undoes else why
    return Decision(
        image_id,
        time,
        action,
        by.kind,
        by.name,
        old_label,
        old_rejected,
        new_label,
        new_rejected,
        reason,
        undoes,
        decision_id=decision_id,
    )


def migrate_decisions(connection: sqlite3.Connection) -> None:
    """Convert the table `legacy_decisions` into `decisions`, with the same ids and with the labels of rejected images."""
    states: dict[str, ReviewState] = {}
    columns = f"{', '.join(LEGACY_COLUMNS)}, decision_id"
    rows = connection.execute(f"SELECT {columns} FROM legacy_decisions ORDER BY decision_id")
    connection.executemany(
        "INSERT INTO decisions (image_id, time, action, actor_kind, actor, old_label, old_rejected, new_label, new_rejected,"
        " reason, undoes, decision_id) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
        (_migrated(tuple(row), states) for row in rows.fetchall()),
    )
    connection.execute("DROP TABLE legacy_decisions")


def _migrated(row: tuple[object, ...], states: dict[str, ReviewState]) -> tuple[object, ...]:
    """Return a row of the new table; `states` follows the images through the log."""
    event = parse_legacy_decision(*row)  # type: ignore[arg-type]
    before = states.get(event.image_id, ReviewState(""))
    after = states[event.image_id] = event.edit.apply(before)
    old_label, new_label = event.old_label, event.new_label
    if event.action != "rename":
        old_label, new_label = before.label, after.label
    return (
        event.image_id,
        event.time,
        event.action,
        event.actor_kind,
        event.actor,
        old_label,
        event.old_rejected,
        new_label,
        event.new_rejected,
        event.reason,
        event.undoes,
        event.decision_id,
    )
