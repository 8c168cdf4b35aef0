"""Open the catalog file: for writing, or on a read-only disk for reading; SQLite's errors of the disk become FototecaError."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fototeca.collect.catalog.checked_rows import HINT, CheckedConnection, check_shape
from fototeca.collect.catalog.schema import MIGRATIONS, migrate
from fototeca.core.errors import ExternalError, FototecaError

_OUTSIDE = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
    }
)
"""Primary result codes that come from the disk or another process, not from a wrong statement."""


def connect(path: Path) -> sqlite3.Connection:
    """Open the catalog file, create or migrate it, and return the connection; where it cannot be written, only to read it.

    FototecaError (2) if a newer fototeca wrote it or it is not a catalog, (4) if the disk is full or the file is locked.
    """
    if path.is_file() and not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)):
        return _connect_read_only(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False, factory=CheckedConnection)
    connection.path = path
    try:
        with translate_errors(path):
            _distrust(connection)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA foreign_keys = ON")
            migrate(connection, path)
            check_shape(connection, path, _create)
    except (sqlite3.DatabaseError, AttributeError, TypeError, ValueError) as error:  # the last three: odd rows of old schemas
        connection.close()
        raise FototecaError(f"{path} cannot be read: {error}", HINT) from None
    except BaseException:
        connection.close()
        raise
    return connection


def _connect_read_only(path: Path) -> sqlite3.Connection:
    """Open a catalog on a read-only disk, or of another user.

    SQLite cannot make its files of locks there. Without a log of changes (`-wal`) the file is whole, and is read without locks.
    """
    pending = path.with_name(f"{path.name}-wal")
    has_changes = pending.is_file() and pending.stat().st_size > 0
    uri = f"{path.absolute().as_uri()}?mode=ro{'' if has_changes else '&immutable=1'}"
    connection = sqlite3.connect(
        uri, uri=True, timeout=60, isolation_level=None, check_same_thread=False, factory=CheckedConnection
    )
    connection.path = path
    hint = "copy the workspace to a writable folder"
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.DatabaseError as error:
        connection.close()
        raise FototecaError(f"{path} cannot be read: {error}", hint) from None
    if version != len(MIGRATIONS):
        connection.close()
        newer = "install a newer fototeca" if version > len(MIGRATIONS) else hint
        raise FototecaError(f"{path} is read-only and has schema {version}; this fototeca reads {len(MIGRATIONS)}", newer)
    try:
        _distrust(connection)
        check_shape(connection, path, _create)
    except BaseException:
        connection.close()
        raise
    return connection


def _distrust(connection: sqlite3.Connection) -> None:
    """Make SQLite careful with a file that somebody else may have made."""
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")


def _create(connection: sqlite3.Connection) -> None:
    """Create the tables of the newest schema in an empty database."""
    migrate(connection, Path("a new catalog"))


@contextmanager
def translate_errors(path: Path) -> Iterator[None]:
    """Turn SQLite errors caused by the disk or by another process into a FototecaError (4)."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _OUTSIDE:  # text that is not UTF-8 has no code
            raise
        hint = "free some disk space, or end what else is writing to it"
        if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN):
            hint = "make it and its folder writable"
        raise ExternalError(f"{path} cannot be written: {error}", hint) from None
