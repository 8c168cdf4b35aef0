"""Rows of a catalog file, checked as they are read: somebody else may have made the file.

Every value in a column with one of the names of COLUMNS is checked, for every statement that selects it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Self, get_args

from fototeca.collect.catalog.events import Action, ActorKind
from fototeca.collect.store_names import EXTENSIONS, is_store_path
from fototeca.core.errors import FototecaError
from fototeca.core.kinds import (
    GROUP,
    IMAGE_ID,
    LABEL,
    PHASH,
    SIDE,
    SPLIT,
    TIME,
    Choice,
    Integer,
    Kind,
    Optional,
    Problem,
    Text,
    is_time,
    is_valid_name,
)
from fototeca.core.settings import LABEL_SEPARATOR, to_nfc

HINT = "restore a copy, or move it away and run: fototeca curate recover"

_ID_OR_EMPTY = Text("([0-9a-f]{64})?", "64 hexadecimal digits, or empty", 64)
_GROUP_OR_EMPTY = Text("", f"{GROUP.expected}, or empty", 128, lambda text: not text or GROUP.accepts(text))
_TIME_OR_EMPTY = Text("", TIME.expected, 40, lambda text: not text or is_time(text))


@lru_cache(maxsize=4096)
def _is_stored_label(label: str) -> bool:  # early catalogs hold decomposed accents
    names = label.split(LABEL_SEPARATOR) if label else []
    return names == sorted(set(names)) and all(is_valid_name(to_nfc(name)) for name in names)


_LABEL = Text("", LABEL.expected, check=_is_stored_label)

COLUMNS: dict[str, Kind] = {
    "image_id": Optional(IMAGE_ID),  # a candidate without image has none
    "other_image_id": _ID_OR_EMPTY,
    "group_id": _GROUP_OR_EMPTY,
    "component": _GROUP_OR_EMPTY,
    "neighbors": Text("([0-9a-f]{64}( [0-9a-f]{64})*)?", "ids joined by spaces"),
    "format": Choice(tuple(EXTENSIONS)),
    "width": Optional(SIDE),
    "height": Optional(SIDE),
    "bytes": Integer(),
    "frame": Integer(),
    "phash": PHASH,
    "mode": Text(max_length=30),
    "path": Text(max_length=200),
    "split": Choice(("", *SPLIT.values)),
    "label": _LABEL,
    "old_label": _LABEL,
    "new_label": _LABEL,
    "action": Choice(get_args(Action)),
    "actor_kind": Choice(get_args(ActorKind)),
    "time": _TIME_OR_EMPTY,
    "added": _TIME_OR_EMPTY,
    "undoes": _TIME_OR_EMPTY,
    "decision_id": Integer(),
    "candidate_id": Integer(),
}
"""Allowed values by column name, in every table. Free texts of sites are not checked."""

_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_MISMATCH})

Check = Callable[[object], bool]


class CheckedConnection(sqlite3.Connection):
    """A connection to a catalog file whose cursors check what they read. `path`: the file, for errors."""

    path: Path

    def cursor(self, factory: Any = None) -> Any:  # noqa: ANN401  (of sqlite3)
        """Return a cursor that checks rows."""
        return super().cursor(factory or CheckedCursor)

    def execute(self, sql: str, parameters: Any = ()) -> Any:  # noqa: ANN401  (of sqlite3)
        """Run a statement on a new cursor."""
        return self.cursor().execute(sql, parameters)


class CheckedCursor(sqlite3.Cursor):
    """A cursor that raises FototecaError for a row with a value that fototeca cannot have written, and for damaged pages."""

    def execute(self, sql: str, parameters: Any = ()) -> Self:  # noqa: ANN401  (of sqlite3)
        """Run a statement, and prepare the checks of the columns that it selects."""
        with self._translate_damage():
            super().execute(sql, parameters)
        if self.description:
            self.row_factory = _row_factory(tuple(column[0] for column in self.description))
        return self

    def __next__(self) -> Any:  # noqa: ANN401  (of sqlite3)
        with self._translate_damage():
            return super().__next__()

    def fetchone(self) -> Any:  # noqa: ANN401  (of sqlite3)
        """Return the next row, or None."""
        with self._translate_damage():
            return super().fetchone()

    def fetchall(self) -> list[Any]:
        """Return the remaining rows."""
        with self._translate_damage():
            return super().fetchall()

    def _translate_damage(self) -> _DamageAsError:
        return _DamageAsError(self.connection)


class _DamageAsError:
    """Context that turns errors of a damaged file into a FototecaError; a class, because it is entered once per row."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, sqlite3.DatabaseError):
            code = getattr(error, "sqlite_errorcode", None)  # text that is not UTF-8 has none
            is_damaged = isinstance(error, sqlite3.OperationalError) if code is None else code & 0xFF in _DAMAGED
            if is_damaged:
                raise FototecaError(f"{_path(self._connection)} cannot be read: {error}", HINT) from None


def _path(connection: sqlite3.Connection) -> str:
    return str(getattr(connection, "path", "the catalog"))


@lru_cache(maxsize=512)
def _row_factory(names: tuple[str, ...]) -> Callable[[sqlite3.Cursor, tuple[Any, ...]], sqlite3.Row]:
    """Return the function that makes the rows of a statement with these columns, after it has checked them."""
    checks = [(index, COLUMNS[name].accepts) for index, name in enumerate(names) if name in COLUMNS]
    place = names.index("path") if {"path", "image_id"} <= set(names) else None
    image_id = names.index("image_id") if place is not None else 0

    def make_row(cursor: sqlite3.Cursor, values: tuple[Any, ...]) -> sqlite3.Row:
        for index, accepts in checks:
            if not accepts(values[index]):
                raise _error(cursor, Problem(names[index], values[index], COLUMNS[names[index]].expected))
        if place is not None and not is_store_path(values[image_id], values[place]):
            raise _error(cursor, Problem("path", values[place], "the path of the image in the store"))
        return sqlite3.Row(cursor, values)

    return make_row


def _error(cursor: sqlite3.Cursor, problem: Problem) -> FototecaError:
    return FototecaError(f"{_path(cursor.connection)} holds an invalid value: {problem}", HINT)


def check_shape(connection: sqlite3.Connection, path: Path, migrate: Callable[[sqlite3.Connection], None]) -> None:
    """Check that a file has the tables of a catalog, with their columns and types, and no trigger or view.

    `migrate`: creates these tables in an empty database. FototecaError if the file has others.
    """
    expected, actual = _expected_shape(migrate), _shape(connection)
    if actual != expected:
        table, *rest = min(actual ^ expected, key=str)
        column = f", column {rest[1]}" if len(rest) > 2 else ""
        raise FototecaError(f"{path} is not a catalog of this fototeca: see its {rest[0]} {table}{column}", HINT)


@cache
def _expected_shape(migrate: Callable[[sqlite3.Connection], None]) -> frozenset[tuple[object, ...]]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        migrate(connection)
        return _shape(connection)
    finally:
        connection.close()


def _shape(connection: sqlite3.Connection) -> frozenset[tuple[object, ...]]:
    columns = connection.execute(
        'SELECT m.name, m.type, p.name, p.type, p."notnull", p.pk FROM sqlite_master m, pragma_table_xinfo(m.name) p'
        " WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite!_%' ESCAPE '!'"
    ).fetchall()
    others = connection.execute("SELECT name, type FROM sqlite_master WHERE type IN ('view', 'trigger')").fetchall()
    strict = connection.execute(
        "SELECT name, 'table', CASE strict WHEN 1 THEN 'strict' ELSE 'not strict' END FROM pragma_table_list"
        " WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!'"
    ).fetchall()
    return frozenset(tuple(row) for rows in (columns, others, strict) for row in rows)
