"""Images of the catalog: one row per distinct file that was ever accepted."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from fototeca.collect.catalog.database import Repository
from fototeca.collect.catalog.models import ImageRow, ImageStatus

_SELECT = (
    "SELECT i.image_id, path, format, width, height, mode, bytes, phash, added, label, rejected, reviewed, restored,"
    " taken, background, frame, normalized,"
    " coalesce(group_id, '') AS group_id, coalesce(component, '') AS component,"
    " coalesce(is_representative, 1) AS is_representative,"
    " EXISTS (SELECT 1 FROM erasures e WHERE e.image_id = i.image_id) AS erased"
    " FROM images i LEFT JOIN groups USING (image_id) LEFT JOIN components USING (image_id)"
)


class Images(Repository):
    """The images with their current label and status."""

    def get(self, image_id: str) -> ImageRow | None:
        """Return one image, or None."""
        row = self._sql.execute(f"{_SELECT} WHERE i.image_id = ?", (image_id,)).fetchone()
        return _image(row) if row else None

    def all(self, status: ImageStatus | None = None) -> list[ImageRow]:
        """Return all images in the order of their ids, or those of one status."""
        rows = [_image(row) for row in self._sql.execute(f"{_SELECT} ORDER BY i.image_id")]
        return [row for row in rows if status in (None, row.status)]

    def ids_with_prefix(self, prefix: str, limit: int) -> list[str]:
        """Return at most `limit` ids that begin with `prefix` (hexadecimal, lower case)."""
        rows = self._sql.execute(
            "SELECT image_id FROM images WHERE image_id >= ? AND image_id < ? ORDER BY image_id LIMIT ?",
            (prefix, prefix + "g", limit),
        )
        return [row["image_id"] for row in rows]

    def count_accepted(self) -> tuple[int, int]:
        """Return the number of accepted images, and of reviewed ones among them."""
        images, reviewed = self._sql.execute(
            "SELECT count(*), coalesce(sum(reviewed), 0) FROM images LEFT JOIN groups USING (image_id)"
            " WHERE rejected = '' AND (restored OR coalesce(is_representative, 1))"
        ).fetchone()
        return images, reviewed

    def insert(self, image: ImageRow, time: str) -> bool:
        """Add the image, with `time` if it has none; return False if it exists."""
        i = image
        row = (i.image_id, i.path, i.format, i.width, i.height, i.mode, i.bytes, i.phash, i.added or time)
        cursor = self._sql.execute(
            "INSERT INTO images (image_id, path, format, width, height, mode, bytes, phash, added,"
            " taken, background, frame, normalized) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (image_id) DO NOTHING",
            (*row, i.taken, i.background, i.frame, i.normalized),
        )
        return cursor.rowcount == 1

    def clear_reviewed(self, image_ids: Iterable[str]) -> None:
        """Mark images as not reviewed, after every review of them was undone."""
        with self._database.transaction():
            self._sql.executemany("UPDATE images SET reviewed = 0 WHERE image_id = ?", [(image_id,) for image_id in image_ids])


def _image(row: sqlite3.Row) -> ImageRow:
    values = dict(row)
    values["group"] = values.pop("group_id")
    for name in ("reviewed", "restored", "is_representative", "erased"):
        values[name] = bool(values[name])
    return ImageRow(**values)
