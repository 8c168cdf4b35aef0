"""Pairs of images that were compared for the question of one scene."""

from __future__ import annotations

from collections.abc import Iterable

from fototeca.collect.catalog.database import Repository


class ScenePairs(Repository):
    """Counts of local matches that agree, by pair of image ids, the smaller first."""

    def pairs(self, version: int) -> dict[tuple[str, str], int]:
        """Return the counts that this version of the comparison gave."""
        rows = self._sql.execute("SELECT a, b, agreeing FROM scene_pairs WHERE version = ? ORDER BY a, b", (version,))
        return {(row["a"], row["b"]): row["agreeing"] for row in rows}

    def add_pairs(self, version: int, rows: Iterable[tuple[str, str, int]]) -> None:
        """Store the counts of pairs, replacing those of another version."""
        with self._database.transaction():
            self._sql.executemany(
                "INSERT OR REPLACE INTO scene_pairs (version, a, b, agreeing) VALUES (?, ?, ?, ?)",
                [(version, a, b, agreeing) for a, b, agreeing in rows],
            )
