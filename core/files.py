"""Write files atomically."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from fototeca.core.console import escape_text


@contextmanager
def atomic_write(path: Path, temporary_folder: Path | None = None, mode: int = 0o666) -> Iterator[IO[bytes]]:
    """Open a temporary file for writing; flush it to disk and rename it to `path` when the block ends.

    If the block raises, the temporary file is removed and an existing file stays unchanged.

    Args:
        path: the file to write; its parent folder is created.
        temporary_folder: folder of the temporary file, on the same disk; by default that of `path`. The temporary name
            contains the process id.
        mode: permissions of the file, less those that the umask denies.
    """
    temporary = _temporary_path(temporary_folder or path.parent, path)
    try:
        with _create(temporary, mode) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        try:
            temporary.replace(path)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.replace(path)
    except BaseException as error:
        _discard(temporary, path, error)
        raise


@contextmanager
def staged_write(path: Path, content: bytes) -> Iterator[Path]:
    """Write `content` under a temporary name beside `path`, flush it to disk, and yield that name, to be renamed in the block.

    The temporary file is removed when the block ends without having renamed it.
    """
    temporary = _temporary_path(path.parent, path)
    try:
        with _create(temporary, 0o666) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
        temporary.unlink(missing_ok=True)
    except BaseException as error:
        _discard(temporary, path, error)
        raise


def _temporary_path(folder: Path, path: Path) -> Path:
    return folder / f".{os.getpid()}.{path.name[:40]}.{os.urandom(4).hex()}.tmp"


def _discard(temporary: Path, path: Path, error: BaseException) -> None:
    """Remove a temporary file after an error; an error about it names `path`, which the caller knows."""
    with suppress(OSError):
        temporary.unlink(missing_ok=True)
    if isinstance(error, OSError) and error.filename == str(temporary):
        error.filename = str(path)


def _create(path: Path, mode: int) -> IO[bytes]:
    """Create a file; its folder is created only if that fails, which is rare."""

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags, mode)

    try:
        return open(path, "xb", opener=opener)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return open(path, "xb", opener=opener)


def write_bytes(path: Path, content: bytes, mode: int = 0o666) -> None:
    """Write `content` to `path` atomically, with the permissions `mode`."""
    with atomic_write(path, mode=mode) as file:
        file.write(content)


def write_text(path: Path, text: str, mode: int = 0o666) -> None:
    """Write `text` to `path` atomically, as UTF-8 with LF line ends, with the permissions `mode`."""
    write_bytes(path, text.encode("utf-8"), mode)


_FORMULA = re.compile(r"[\s\0]*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n]")
"""Beginning of a cell that a spreadsheet may evaluate (owasp.org/www-community/attacks/CSV_Injection); full-width signs too."""


def escape_formula(cell: object) -> object:
    """Return a cell of a CSV file with an apostrophe before a text that a spreadsheet would evaluate as a formula."""
    return f"'{cell}" if isinstance(cell, str) and _FORMULA.match(cell) else cell


def csv_bytes(columns: Sequence[str], rows: Iterable[Sequence[object]], *, spreadsheet_safe: bool = False) -> bytes:
    """Return a CSV file: UTF-8, LF line ends, quoted as in RFC 4180; control and bidi characters are escaped.

    `spreadsheet_safe`: see `escape_formula`; such a file is for people, since its cells differ from the values.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        cells = [escape_text(cell, lines=True) if isinstance(cell, str) else cell for cell in row]
        writer.writerow([escape_formula(cell) for cell in cells] if spreadsheet_safe else cells)
    return text.getvalue().encode("utf-8")


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]], *, spreadsheet_safe: bool = False) -> None:
    """Write a CSV file atomically: see `csv_bytes`."""
    write_bytes(path, csv_bytes(columns, rows, spreadsheet_safe=spreadsheet_safe))
