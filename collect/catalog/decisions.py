"""The decision log: every change of an image's label or status, append-only."""

from __future__ import annotations

from dataclasses import replace

from fototeca.collect.catalog.database import Database, Repository
from fototeca.collect.catalog.events import Actor, Decision, Edit
from fototeca.collect.catalog.images import Images
from fototeca.collect.catalog.models import now
from fototeca.core.errors import FototecaError

_COLUMNS = (
    "image_id, time, action, actor_kind, actor, old_label, old_rejected, new_label, new_rejected, reason, undoes,"
    " other_image_id, decision_id"
)


class Decisions(Repository):
    """The events in the order in which they were made."""

    def __init__(self, database: Database, images: Images) -> None:
        super().__init__(database)
        self._images = images

    def add(self, image_id: str, edit: Edit, *, by: Actor, reason: str = "", time: str = "", undoes: str = "") -> Decision | None:
        """Append a decision and update the image. Return None if a source or rule would change nothing.

        A person's decision is always written, since confirming a label is a review of it. FototecaError if an erased image
        is labeled or restored.
        """
        with self._database.transaction(durable=True):
            image = self._images.get(image_id)
            assert image is not None, f"no image {image_id}"
            if image.erased and edit.action in ("label", "restore"):
                raise FototecaError(f"image {image_id[:12]} was erased and has no file", "label other images")
            before = image.review_state
            after = edit.apply(before)
            if after == before and by.kind != "person":
                return None
            old_label, new_label = before.label, after.label
            if edit.action == "rename":
                old_label, new_label = edit.old_category, edit.label
            decision = Decision(
                image_id,
                time or now(),
                edit.action,
                by.kind,
                by.name,
                old_label,
                before.rejected,
                new_label,
                after.rejected,
                reason,
                undoes,
                edit.other_image_id,
            )
            cursor = self._sql.execute(
                f"INSERT INTO decisions ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,NULL)",
                [value for name, value in vars(decision).items() if name != "decision_id"],
            )
            self._sql.execute(
                "UPDATE images SET label = ?, rejected = ?, restored = ?, reviewed = reviewed OR ? WHERE image_id = ?",
                (after.label, after.rejected, int(after.restored), int(decision.is_review), image_id),
            )
        return replace(decision, decision_id=cursor.lastrowid or 0)

    def all(self, image_id: str | None = None) -> list[Decision]:
        """Return the decisions about one image or about all, oldest first. An `apart` decision is about both its images."""
        rows = self._sql.execute(
            f"SELECT {_COLUMNS} FROM decisions WHERE ? IS NULL OR image_id = ? OR other_image_id = ? ORDER BY decision_id",
            (image_id, image_id, image_id),
        )
        return [Decision(**row) for row in rows]

    def all_apart(self) -> list[Decision]:
        """Return the `apart` decisions, undone ones and undos included, oldest first."""
        rows = self._sql.execute(f"SELECT {_COLUMNS} FROM decisions WHERE action = 'apart' ORDER BY decision_id")
        return [Decision(**row) for row in rows]

    def get(self, decision_id: int) -> Decision | None:
        """Return one decision, or None."""
        row = self._sql.execute(f"SELECT {_COLUMNS} FROM decisions WHERE decision_id = ?", (decision_id,)).fetchone()
        return Decision(**row) if row else None

    def last_id(self) -> int:
        """Return the id of the newest decision; 0 before the first."""
        return int(self._sql.execute("SELECT coalesce(max(decision_id), 0) FROM decisions").fetchone()[0])
