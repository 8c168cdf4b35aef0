"""The catalog: what was found where, what became of it, and every label decision. Nothing in it is deleted.

An image has one status, derived from what people and `curate dedup` decided: `accepted`, `duplicate` (set aside, a
better copy is kept) or `rejected` (with a reason). Its label is what the last decision left.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, replace
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self

from fototeca.collect.catalog.models import (
    PERSON,
    REJECT,
    RENAME,
    RESTORE,
    Candidate,
    Decision,
    FetchAttempt,
    GroupRow,
    ImageRow,
    Provenance,
    State,
    Status,
    now,
    user_name,
)
from fototeca.collect.catalog.schema import connect, told
from fototeca.collect.http.urls import url_key
from fototeca.core.workspace import Workspace

__all__ = [
    "PERSON",
    "REJECT",
    "RENAME",
    "RESTORE",
    "Candidate",
    "Catalog",
    "Decision",
    "FetchAttempt",
    "GroupRow",
    "ImageRow",
    "Provenance",
    "State",
    "Status",
    "now",
    "user_name",
]

_IMAGE = (
    "SELECT i.image_id, path, format, width, height, mode, bytes, phash, added, label, rejected, reviewed, keep,"
    " coalesce(group_id, '') AS group_id, coalesce(component, '') AS component, coalesce(kept, 1) AS kept"
    " FROM images i LEFT JOIN groups USING (image_id) LEFT JOIN components USING (image_id)"
)

_CANDIDATE = "candidate_id, url_key, url, state, reason, image_id"

AFTER_LAST_VERSION = "after-the-last-version"
"""Where the facts keep the first moment after the last version."""

_UNTOLD = FetchAttempt()


class Catalog:
    """The ledger of one workspace. Safe to open from several processes; use one object per thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.connection = connect(path)

    @classmethod
    def open(cls, workspace: Workspace) -> Self:
        """The workspace's catalog, made if missing."""
        return cls(workspace.catalog)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.connection.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing; blocks inside one another belong to the outermost.

        FototecaError (exit 4) when the disk is full or broken, or the file locked.
        """
        sql = self.connection
        if sql.in_transaction:
            yield sql
            return
        with told(self.path):
            sql.execute("BEGIN IMMEDIATE")
            try:
                yield sql
                sql.execute("COMMIT")
            except BaseException:
                if self.connection.in_transaction:  # SQLite ends it by itself when the disk is full
                    sql.execute("ROLLBACK")
                raise

    # ---- candidates

    def add_finding(self, finding: Provenance, url_key: str) -> Candidate:
        """Remember a place, once and as first told: versions are frozen of that. Returns the candidate with the state it has."""
        with self.transaction() as sql:
            sql.execute(
                "INSERT INTO candidates (url_key, url, updated) VALUES (?, ?, ?) ON CONFLICT (url_key) DO NOTHING",
                (url_key, finding.url, self.moment()),
            )
            candidate = self.candidate(url_key)
            assert candidate is not None
            f = finding
            sql.execute(
                "INSERT INTO findings (candidate_id, source, category, query, rank, page_url, author, license, license_found,"
                " width, height, thumbnail, original, found) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING",
                (candidate.candidate_id, f.source, f.category, f.query, f.rank, f.page_url, *_rights(f), self.moment()),
            )
        return candidate

    def candidate(self, url_key: str) -> Candidate | None:
        """The candidate with this key, if it was ever found."""
        row = self.connection.execute(f"SELECT {_CANDIDATE} FROM candidates WHERE url_key = ?", (url_key,)).fetchone()
        return Candidate(**row) if row else None

    def candidates(self, state: State, reasons: Sequence[str] = ()) -> list[Candidate]:
        """Candidates in a state, oldest first; `reasons` narrow it."""
        narrowed = f" AND reason IN ({','.join('?' * len(reasons))})" if reasons else ""
        rows = self.connection.execute(
            f"SELECT {_CANDIDATE} FROM candidates WHERE state = ?{narrowed} ORDER BY candidate_id", (state, *reasons)
        )
        return [Candidate(**row) for row in rows]

    def findings(self, image_id: str) -> list[Provenance]:
        """Every place an image was found, first found first."""
        return self._findings("c.image_id = ?", image_id)

    def places(self, candidate_id: int) -> list[Provenance]:
        """Every place a candidate was found, first found first."""
        return self._findings("c.candidate_id = ?", candidate_id)

    def _findings(self, where: str, value: str | int) -> list[Provenance]:
        rows = self.connection.execute(
            "SELECT c.url, source, category, query, rank, page_url, author, license, license_found,"
            " width, height, thumbnail, original FROM findings f JOIN candidates c USING (candidate_id)"
            f" WHERE {where} ORDER BY finding_id",
            (value,),
        )
        return [Provenance(**{**row, "thumbnail": bool(row["thumbnail"])}) for row in rows]

    def record(
        self,
        candidate_id: int,
        state: State,
        reason: str = "",
        *,
        image: ImageRow | None = None,
        quality: Mapping[str, float] = MappingProxyType({}),
        attempt: FetchAttempt = _UNTOLD,
    ) -> State:
        """Write down one attempt, and all that follows from it, in one transaction. Returns the candidate's new state.

        With `image`, an accepted file, come the scores of its `quality`, where they were measured. A file the store already had
        makes the candidate `rejected` for `duplicate`, and its places count as places of the image it equals. A candidate that
        has an image keeps it: another process may have been quicker.
        """
        with self.transaction() as sql:
            before = sql.execute(
                "SELECT state, reason, image_id FROM candidates WHERE candidate_id = ?", (candidate_id,)
            ).fetchone()
            image_id = image.image_id if image else None
            if before["image_id"]:
                state, reason, image_id = before
            elif image and state == "accepted":
                if self._add_image(image):
                    scores = [(image_id, name, value) for name, value in quality.items()]
                    sql.executemany("INSERT INTO quality (image_id, measure, value) VALUES (?, ?, ?)", scores)
                else:
                    state, reason = "rejected", "duplicate"
            time = self.moment()
            sql.execute(
                "INSERT INTO attempts (candidate_id, time, state, reason, status, bytes, seconds, declared, announced)"
                " VALUES (?,?,?,?,?,?,?,?,?)",
                (candidate_id, time, state, reason, *astuple(attempt)),
            )
            sql.execute(
                "UPDATE candidates SET state = ?, reason = ?, image_id = ?, attempts = attempts + 1, updated = ?"
                " WHERE candidate_id = ?",
                (state, reason, image_id, time, candidate_id),
            )
        return state

    def readmit(self, image: ImageRow, finding: Provenance) -> None:
        """Know a stored file again that this catalog has no row for, as found at a place; of one that has another image by now,
        the file itself is the place."""
        with self.transaction():
            try:
                candidate = self.add_finding(finding, url_key(finding.url))
            except ValueError:  # a file
                candidate = self.add_finding(finding, finding.url)
            if candidate.image_id:
                finding = replace(finding, url=f"file:{image.path}")
                candidate = self.add_finding(finding, finding.url)
            self.record(candidate.candidate_id, "accepted", image=image, attempt=FetchAttempt(size=image.bytes))

    # ---- images

    def _add_image(self, i: ImageRow) -> bool:
        """Insert the image; False when it is there already."""
        cursor = self.connection.execute(
            "INSERT INTO images (image_id, path, format, width, height, mode, bytes, phash, added) VALUES (?,?,?,?,?,?,?,?,?)"
            " ON CONFLICT (image_id) DO NOTHING",
            (i.image_id, i.path, i.format, i.width, i.height, i.mode, i.bytes, i.phash, i.added or self.moment()),
        )
        return cursor.rowcount == 1

    def image(self, image_id: str) -> ImageRow | None:
        """One image, or None."""
        row = self.connection.execute(f"{_IMAGE} WHERE i.image_id = ?", (image_id,)).fetchone()
        return _image(row) if row else None

    def images(self, status: Status | None = None) -> list[ImageRow]:
        """All images in the order of their ids, or those of one status."""
        rows = [_image(row) for row in self.connection.execute(f"{_IMAGE} ORDER BY i.image_id")]
        return [row for row in rows if status in (None, row.status)]

    # ---- decisions

    def decide(self, image_id: str, new: str, *, who: str, why: str, time: str = "") -> Decision | None:
        """Append a decision and let the image follow it. None when a machine's decision would change nothing.

        A person's decision is always written, since agreeing with a label is a review of it; a renaming too, as it holds for
        what was said before.
        """
        with self.transaction() as sql:
            image = self.image(image_id)
            assert image is not None, f"no image {image_id}"
            old = f"{REJECT}{image.rejected}" if image.rejected else image.label
            person = who.startswith(PERSON)
            if new == old and not who.startswith((PERSON, RENAME)):
                return None
            decision = Decision(image_id, time or now(), who, old, new, why)
            cursor = sql.execute(
                "INSERT INTO decisions (image_id, time, who, old, new, why) VALUES (?,?,?,?,?,?)",
                (image_id, decision.time, who, old, new, why),
            )
            rejected = new[len(REJECT) :] if new.startswith(REJECT) else ""
            label = image.label if rejected or new == RESTORE else new
            keep = new == RESTORE or (image.keep and not rejected)
            sql.execute(
                "UPDATE images SET label = ?, rejected = ?, keep = ?, reviewed = reviewed OR ? WHERE image_id = ?",
                (label, rejected, int(keep), int(person), image_id),
            )
        return Decision(**{**decision.__dict__, "decision_id": cursor.lastrowid or 0})

    def decisions(self, image_id: str | None = None) -> list[Decision]:
        """Decisions in the order they were made, of one image or of all."""
        rows = self.connection.execute(
            "SELECT image_id, time, who, old, new, why, decision_id FROM decisions"
            " WHERE ? IS NULL OR image_id = ? ORDER BY decision_id",
            (image_id, image_id),
        )
        return [Decision(**row) for row in rows]

    def last_decision(self) -> int:
        """The id of the newest decision; 0 before the first."""
        return int(self.connection.execute("SELECT coalesce(max(decision_id), 0) FROM decisions").fetchone()[0])

    # ---- groups

    def replace_groups(self, rows: Iterable[GroupRow], components: Iterable[Sequence[str]] = ()) -> None:
        """Set all near-duplicate groups at once, and which images verified pairs tie together, across groups too; each image that
        was looked at is in a component, if only by itself."""
        with self.transaction() as sql:
            sql.execute("DELETE FROM groups")
            sql.execute("DELETE FROM components")
            ties = [(image_id, min(members)) for members in components for image_id in members]
            sql.executemany("INSERT INTO components (image_id, component) VALUES (?, ?)", ties)
            values = [(row.image_id, row.group_id, int(row.kept), row.reason, row.distance) for row in rows]
            sql.executemany("INSERT INTO groups (image_id, group_id, kept, reason, distance) VALUES (?,?,?,?,?)", values)

    def groups(self) -> list[GroupRow]:
        """Every grouped image, by group."""
        rows = self.connection.execute(
            "SELECT image_id, group_id, kept, reason, distance FROM groups ORDER BY group_id, image_id"
        )
        return [GroupRow(**{**row, "kept": bool(row["kept"])}) for row in rows]

    # ---- facts

    def moment(self) -> str:
        """The time, but after the last version's whatever the clock was set to: what comes later is known to be later."""
        return max(now(), self.fact(AFTER_LAST_VERSION) or "")

    def fact(self, name: str) -> str | None:
        """What `set_fact` kept under this name last."""
        row = self.connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return str(row["value"]) if row else None

    def set_fact(self, name: str, value: str) -> None:
        """Keep one text that belongs to no image, such as what a stage was last run with."""
        with self.transaction() as sql:
            sql.execute("INSERT OR REPLACE INTO facts (name, value) VALUES (?, ?)", (name, value))


def _rights(f: Provenance) -> tuple[object, ...]:
    return f.author, f.license, f.license_found, f.width, f.height, int(f.thumbnail), f.original


def _image(row: sqlite3.Row) -> ImageRow:
    values = dict(row)
    values["group"] = values.pop("group_id")
    return ImageRow(**{**values, "reviewed": bool(row["reviewed"]), "keep": bool(row["keep"]), "kept": bool(row["kept"])})
