"""Duplicate groups of the last deduplication, and those that images had when a version was frozen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fototeca.collect.catalog.database import Repository
from fototeca.collect.catalog.models import FrozenGroup, GroupRow, TieRow


class Groups(Repository):
    """Groups and components; an image in no group has no row."""

    def replace(self, rows: Iterable[GroupRow], components: Iterable[Sequence[str]] = (), ties: Iterable[TieRow] = ()) -> None:
        """Replace all groups, components and ties.

        Each image that was compared is in a component, which holds the images that verified pairs connect, across groups too.
        """
        with self._database.transaction():
            self._sql.execute("DELETE FROM groups")
            self._sql.execute("DELETE FROM components")
            self._sql.execute("DELETE FROM image_ties")
            self._insert(rows, components, ties)

    def replace_members(
        self,
        image_ids: Sequence[str],
        rows: Iterable[GroupRow],
        components: Iterable[Sequence[str]],
        ties: Iterable[TieRow],
    ) -> None:
        """Replace the groups, components and ties of some images; none of them has a tie to another image."""
        ids = [(image_id,) for image_id in image_ids]
        with self._database.transaction():
            for table in ("groups", "components"):
                self._sql.executemany(f"DELETE FROM {table} WHERE image_id = ?", ids)
            self._sql.executemany("DELETE FROM image_ties WHERE a = ?", ids)
            self._insert(rows, components, ties)

    def all(self) -> list[GroupRow]:
        """Return every grouped image, by group."""
        rows = self._sql.execute(
            "SELECT image_id, group_id, is_representative, reason, distance, kind FROM groups ORDER BY group_id, image_id"
        )
        return [GroupRow(**{**row, "is_representative": bool(row["is_representative"])}) for row in rows]

    def ties(self) -> list[TieRow]:
        """Return the pairs of images that are alike without one being set aside for the other."""
        rows = self._sql.execute("SELECT a, b, kind, is_linked FROM image_ties ORDER BY a, b")
        return [TieRow(**{**row, "is_linked": bool(row["is_linked"])}) for row in rows]

    def members(self, group_id: str) -> list[str]:
        """Return the image ids of a group, representatives first."""
        rows = self._sql.execute(
            "SELECT image_id FROM groups WHERE group_id = ? ORDER BY is_representative DESC, image_id", (group_id,)
        )
        return [row["image_id"] for row in rows]

    def freeze(self, version: str, rows: Iterable[FrozenGroup]) -> None:
        """Store groups, components and scenes under a version's name, replacing what is stored under it."""
        values = [(version, row.image_id, row.group_id, int(row.is_representative), row.component, row.scene) for row in rows]
        with self._database.transaction():
            self._sql.execute("DELETE FROM frozen_groups WHERE version = ?", (version,))
            self._sql.executemany(
                "INSERT INTO frozen_groups (version, image_id, group_id, is_representative, component, scene)"
                " VALUES (?,?,?,?,?,?)",
                values,
            )

    def frozen(self, version: str) -> dict[str, FrozenGroup]:
        """Return what `freeze` stored under a version's name, by image id."""
        rows = self._sql.execute(
            "SELECT image_id, group_id, is_representative, component, scene FROM frozen_groups WHERE version = ?", (version,)
        )
        return {row["image_id"]: FrozenGroup(**{**row, "is_representative": bool(row["is_representative"])}) for row in rows}

    def _insert(self, rows: Iterable[GroupRow], components: Iterable[Sequence[str]], ties: Iterable[TieRow]) -> None:
        members = [(image_id, min(component)) for component in components for image_id in component]
        self._sql.executemany("INSERT INTO components (image_id, component) VALUES (?, ?)", members)
        values = [(row.image_id, row.group_id, int(row.is_representative), row.reason, row.distance, row.kind) for row in rows]
        self._sql.executemany(
            "INSERT INTO groups (image_id, group_id, is_representative, reason, distance, kind) VALUES (?,?,?,?,?,?)", values
        )
        self._sql.executemany(
            "INSERT INTO image_ties (a, b, kind, is_linked) VALUES (?,?,?,?)",
            [(tie.a, tie.b, tie.kind, int(tie.is_linked)) for tie in ties],
        )
