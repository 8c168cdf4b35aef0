"""Single values of a workspace that belong to no image, such as the settings of the last deduplication."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from fototeca.collect.catalog.checked_rows import HINT
from fototeca.collect.catalog.database import Repository
from fototeca.collect.catalog.models import now
from fototeca.core.documents import parse_json
from fototeca.core.errors import FototecaError
from fototeca.core.kinds import TIME, Kind, Problem

AFTER_LAST_VERSION = "after-the-last-version"
"""Name of the first moment after the last one at which a version was planned."""

EXPORT_RECORD = "export:"
"""Prefix of the names under which exported folders are recorded; the value is the version."""


class Metadata(Repository):
    """Texts by name."""

    def get(self, name: str) -> str | None:
        """Return the value with this name, or None."""
        row = self._sql.execute("SELECT value FROM metadata WHERE name = ?", (name,)).fetchone()
        return str(row["value"]) if row else None

    def get_as(self, name: str, kind: Kind) -> Any:  # noqa: ANN401  (of the kind)
        """Return the value with this name, a text or number of a kind, or None. FototecaError if it is another."""
        text = self.get(name)
        if text is None:
            return None
        value = kind.from_cell(text)
        if not kind.accepts(value):
            raise self._error(name, text, kind)
        return value

    def get_json(self, name: str, kind: Kind) -> Any:  # noqa: ANN401  (of the kind)
        """Return the JSON value with this name, or None. FototecaError if it is none of this kind."""
        text = self.get(name)
        if text is None:
            return None
        try:
            value = parse_json(text)
        except ValueError:
            raise self._error(name, text, kind) from None
        if not kind.accepts(value):
            raise self._error(name, text, kind)
        return value

    def _error(self, name: str, text: str, kind: Kind) -> FototecaError:
        return FototecaError(f"{self._database.path} holds an invalid value: {Problem(name, text, kind.expected)}", HINT)

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
        """Return the current time, or the moment after the last plan of a version where the clock was set back before that."""
        return max(now(), self.get_as(AFTER_LAST_VERSION, TIME) or "")

    def reserve_moment(self, newest: str) -> str:
        """Return the next time, or `newest` if it is later, and make every time given from now on later than it."""
        moment = max(self.next_time(), newest)
        later = datetime.fromisoformat(moment) + timedelta(microseconds=1)
        self.set(AFTER_LAST_VERSION, later.isoformat(timespec="microseconds"))
        return moment
