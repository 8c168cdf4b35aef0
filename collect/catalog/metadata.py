"""Single values of a workspace that belong to no image, such as the settings of the last deduplication."""

from __future__ import annotations

from fototeca.collect.catalog.database import Repository
from fototeca.collect.catalog.models import now

AFTER_LAST_VERSION = "after-the-last-version"
"""Name of the first moment after the last frozen version."""

EXPORT_RECORD = "export:"
"""Prefix of the names under which exported folders are recorded; the value is the version."""


class Metadata(Repository):
    """Texts by name."""

    def get(self, name: str) -> str | None:
        """Return the value with this name, or None."""
        row = self._sql.execute("SELECT value FROM metadata WHERE name = ?", (name,)).fetchone()
        return str(row["value"]) if row else None

    def set(self, name: str, value: str) -> None:
        """Store a value, replacing the previous one."""
        with self._database.transaction():
            self._sql.execute("INSERT OR REPLACE INTO metadata (name, value) VALUES (?, ?)", (name, value))

    def with_prefix(self, prefix: str) -> dict[str, str]:
        """Return the values whose names begin with `prefix`, by the rest of the name."""
        rows = self._sql.execute(
            "SELECT name, value FROM metadata WHERE substr(name, 1, ?) = ? ORDER BY name", (len(prefix), prefix)
        )
        return {row["name"][len(prefix) :]: row["value"] for row in rows}

    def next_time(self) -> str:
        """Return the current time, or the moment after the last version where the clock was set back before that."""
        return max(now(), self.get(AFTER_LAST_VERSION) or "")
