"""Tombstones of images that were erased on request, so that the same bytes are never collected again."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

from fototeca.collect.catalog.database import Repository
from fototeca.collect.catalog.models import Erasure

_COLUMNS = "image_id, phash, time, actor, reason, is_complete"

REASON = "erased"
"""Reason for which an erased image, and the candidates that led to it, are rejected."""


class Erasures(Repository):
    """One row per erased image; nothing removes a row."""

    def all(self) -> list[Erasure]:
        """Return every tombstone in the order of ids."""
        rows = self._sql.execute(f"SELECT {_COLUMNS} FROM erasures ORDER BY image_id")
        return [Erasure(**{**row, "is_complete": bool(row["is_complete"])}) for row in rows]

    def ids(self) -> set[str]:
        """Return the ids of the erased images."""
        return self._ids("SELECT image_id FROM erasures")

    def get(self, image_id: str) -> Erasure | None:
        """Return the tombstone of an image, or None."""
        return next((row for row in self.all() if row.image_id == image_id), None)

    def add(self, erasures: Iterable[Erasure]) -> None:
        """Add tombstones and reject the candidates of their images; an image that has one keeps it."""
        with self._database.transaction():
            for row in erasures:
                self._sql.execute(
                    f"INSERT INTO erasures ({_COLUMNS}) VALUES (?,?,?,?,?,?) ON CONFLICT (image_id) DO NOTHING",
                    (row.image_id, row.phash, row.time, row.actor, row.reason, int(row.is_complete)),
                )
                self._sql.execute(
                    "UPDATE candidates SET state = 'rejected', reason = ? WHERE image_id = ?", (REASON, row.image_id)
                )

    def forget_pixels(self, image_ids: Sequence[str]) -> None:
        """Delete what was computed from the pixels of images, their groups and App samples; overwrite it in the file."""
        self._sql.execute("PRAGMA secure_delete = ON")
        ids = [(image_id,) for image_id in image_ids]
        with self._database.transaction():
            for (image_id,) in ids:
                row = self._sql.execute("SELECT signature FROM signatures WHERE image_id = ?", (image_id,)).fetchone()
                if row is not None:
                    self._forget_digest(row["signature"])
            for table in ("signatures", "quality", "label_issues", "groups", "components", "app_samples"):
                self._sql.executemany(f"DELETE FROM {table} WHERE image_id = ?", ids)
            for table in ("image_ties", "scene_pairs"):
                self._sql.executemany(f"DELETE FROM {table} WHERE a = ? OR b = ?", [(each, each) for (each,) in ids])
        self._sql.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _forget_digest(self, signature: bytes) -> None:
        """Delete view hashes and pairs of the pixels whose digest a signature begins with."""
        begins = {
            bytes(row["digest"])
            for row in self._sql.execute("SELECT digest FROM searched_images")
            if signature.startswith(row["digest"])
        }
        for digest in begins:
            self._sql.execute("DELETE FROM searched_images WHERE digest = ?", (digest,))
            for table in ("duplicate_pairs", "matches"):
                self._sql.execute(f"DELETE FROM {table} WHERE a = ? OR b = ?", (digest, digest))

    def neighbors(self, image_ids: Sequence[str]) -> list[str]:
        """Return the images that share a group, a component or a tie with images, without these."""
        reached: set[str] = set()
        for image_id in image_ids:
            for table, column in (("groups", "group_id"), ("components", "component")):
                reached |= self._ids(
                    f"SELECT image_id FROM {table} WHERE {column} IN (SELECT {column} FROM {table} WHERE image_id = ?)",
                    image_id,
                )
            reached |= self._ids("SELECT b FROM image_ties WHERE a = ?", image_id)
            reached |= self._ids("SELECT a FROM image_ties WHERE b = ?", image_id)
        return sorted(reached - set(image_ids))

    def copies(self, image_ids: Sequence[str]) -> list[str]:
        """Return the other members of the duplicate groups of images."""
        of_group = "SELECT image_id FROM groups WHERE group_id IN (SELECT group_id FROM groups WHERE image_id = ?)"
        members = {member for image_id in image_ids for member in self._ids(of_group, image_id)}
        return sorted(members - set(image_ids))

    def complete(self, image_ids: Iterable[str]) -> None:
        """Record that no copy of images is left."""
        with self._database.transaction():
            self._sql.executemany("UPDATE erasures SET is_complete = 1 WHERE image_id = ?", [(each,) for each in image_ids])

    def _ids(self, query: str, *values: str) -> set[str]:
        return {row[0] for row in self._sql.execute(query, values)}


def is_erased(catalog: Path, image_id: str) -> bool:
    """Return True if the catalog file has a tombstone of an image. Safe across threads: opens a connection of its own."""
    if not catalog.exists():
        return False
    with closing(sqlite3.connect(f"{catalog.absolute().as_uri()}?mode=ro", uri=True, timeout=60)) as connection:
        try:
            return connection.execute("SELECT 1 FROM erasures WHERE image_id = ?", (image_id,)).fetchone() is not None
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):  # a catalog of an earlier schema, which had no erasures
                return False
            raise
