"""Duplicate groups of the last deduplication, and those that images had when a version was frozen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fototeca.collect.catalog.database import Repository
from fototeca.collect.catalog.models import FrozenGroup, GroupRow


class Groups(Repository):
    """Groups and components; an image in no group has no row."""

    def replace(self, rows: Iterable[GroupRow], components: Iterable[Sequence[str]] = ()) -> None:
        """Replace all groups and components.

        Each image that was compared is in a component, which holds the images that verified pairs connect, across groups too.
        """
        with self._database.transaction():
            self._sql.execute("DELETE FROM groups")
            self._sql.execute("DELETE FROM components")
            self._insert(rows, components)

    def replace_members(self, image_ids: Sequence[str], rows: Iterable[GroupRow], components: Iterable[Sequence[str]]) -> None:
        """Replace the groups and components of some images, which contain no other image."""
        with self._database.transaction():
            for table in ("groups", "components"):
                self._sql.executemany(f"DELETE FROM {table} WHERE image_id = ?", [(image_id,) for image_id in image_ids])
            self._insert(rows, components)

    def all(self) -> list[GroupRow]:
        """Return every grouped image, by group."""
        rows = self._sql.execute(
            "SELECT image_id, group_id, is_representative, reason, distance FROM groups ORDER BY group_id, image_id"
        )
        return [GroupRow(**{**row, "is_representative": bool(row["is_representative"])}) for row in rows]

    def members(self, group_id: str) -> list[str]:
        """Return the image ids of a group, representatives first."""
        rows = self._sql.execute(
            "SELECT image_id FROM groups WHERE group_id = ? ORDER BY is_representative DESC, image_id", (group_id,)
        )
        return [row["image_id"] for row in rows]

    def freeze(self, version: str, rows: Iterable[FrozenGroup]) -> None:
        """Store groups and components under a version's name, replacing what is stored under it."""
        values = [(version, row.image_id, row.group_id, int(row.is_representative), row.component) for row in rows]
        with self._database.transaction():
            self._sql.execute("DELETE FROM frozen_groups WHERE version = ?", (version,))
            self._sql.executemany(
                "INSERT INTO frozen_groups (version, image_id, group_id, is_representative, component) VALUES (?,?,?,?,?)", values
            )

    def frozen(self, version: str) -> dict[str, FrozenGroup]:
        """Return what `freeze` stored under a version's name, by image id."""
        rows = self._sql.execute(
            "SELECT image_id, group_id, is_representative, component FROM frozen_groups WHERE version = ?", (version,)
        )
        return {row["image_id"]: FrozenGroup(**{**row, "is_representative": bool(row["is_representative"])}) for row in rows}

    def _insert(self, rows: Iterable[GroupRow], components: Iterable[Sequence[str]]) -> None:
        members = [(image_id, min(component)) for component in components for image_id in component]
        self._sql.executemany("INSERT INTO components (image_id, component) VALUES (?, ?)", members)
        values = [(row.image_id, row.group_id, int(row.is_representative), row.reason, row.distance) for row in rows]
        self._sql.executemany(
            "INSERT INTO groups (image_id, group_id, is_representative, reason, distance) VALUES (?,?,?,?,?)", values
        )
