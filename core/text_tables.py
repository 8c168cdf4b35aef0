"""Tables that people make: CSV in any common encoding and with any common delimiter, JSON Lines and parquet."""

from __future__ import annotations

import csv
import io
import json
import re
import string
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fototeca.core.errors import FototecaError
from fototeca.core.parquet_tables import MAGIC, read_parquet_rows

DELIMITERS = ",;\t|"
"""Delimiters in order of preference; a list without any of them may be delimited by spaces."""

MAX_TABLE_BYTES = 1 << 30
"""Largest table that is read."""

_MAX_CELL = 1 << 24
"""Largest cell in characters."""

_SNIFFED_ROWS = 200
_SPREADSHEETS = {b"PK\x03\x04": "an Excel or OpenDocument spreadsheet", b"\xd0\xcf\x11\xe0": "an Excel spreadsheet"}


@dataclass(frozen=True)
class TableRow:
    """One record and the line of the file on which it begins. JSON Lines may give lists and numbers."""

    line: int
    cells: tuple[object, ...]
    is_cut: bool = False
    """The record ends before the last column."""

    is_long: bool = False
    """The record has more cells than the table has columns, and they are not empty."""

    @property
    def is_empty(self) -> bool:
        """Return True if no cell has text."""
        return not self.is_long and not any(text_of(cell) for cell in self.cells)


@dataclass(frozen=True)
class Table:
    """Columns and records of a file; `columns` are the cells of the first record, which may be no header."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[TableRow, ...]
    """Records after the first."""

    first_line: int = 1
    delimiter: str = ","
    """Empty for JSON Lines, whose columns are always a header."""

    broken_lines: tuple[int, ...] = field(default=())
    """Lines of a JSON Lines file that are no JSON object."""


def text_of(cell: object) -> str:
    """Return a cell as text without surrounding spaces; "" for a missing value."""
    if cell is None:
        return ""
    return cell.strip() if isinstance(cell, str) else json.dumps(cell, ensure_ascii=False)


def read_table(file: Path) -> Table:
    """Read a CSV, TSV, JSON Lines or parquet file, or a JSON list of objects.

    Comma, semicolon, tab, pipe or spaces delimit; UTF-8, UTF-16 and Windows-1252 (a superset of Latin-1's letters) are
    recognized.

    Raises:
        FototecaError: the file cannot be read, is a spreadsheet or another kind of file, or has no rows.
    """
    if is_parquet(file):
        return records_table(file.name, list(enumerate(read_parquet_rows(file), 1)))
    text = decode_text(read_limited(file), file)
    start = text.lstrip()[:1]
    if start == "[" and (objects := _read_json_list(text)):
        return records_table(file.name, list(enumerate(objects, 1)))
    return _read_json_lines(text, file) if start == "{" else _read_delimited(text, file)


def is_parquet(file: Path) -> bool:
    """Return True for a parquet file by its first bytes."""
    if not file.is_file():
        return False
    with file.open("rb") as stream:
        return stream.read(len(MAGIC)) == MAGIC


def read_limited(file: Path) -> bytes:
    """Return the bytes of a file. FototecaError if it cannot be read or has more than MAX_TABLE_BYTES."""
    if not file.is_file():  # reading a pipe or a device might never end
        raise FototecaError(f"{file} does not exist or is not a file", "give a table, such as a CSV file")
    try:
        if file.stat().st_size > MAX_TABLE_BYTES:
            raise FototecaError(f"{file} has more than {MAX_TABLE_BYTES >> 20} MiB", "split it")
        return file.read_bytes()
    except OSError as error:
        raise FototecaError(f"{file} cannot be read: {error.strerror}", "check its permissions") from None


def decode_text(data: bytes, file: Path) -> str:
    """Decode a text file by its byte order mark, else as UTF-8, UTF-16 without mark, or Windows-1252.

    FototecaError for a spreadsheet or another binary file.
    """
    for magic, kind in _SPREADSHEETS.items():
        if data.startswith(magic):
            raise FototecaError(f"{file} is {kind}", "export it as CSV: Save as, CSV UTF-8")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    if b"\0" in data[:4096]:
        return _decode_unmarked_utf16(data, file)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace") if _is_text(data) else data.decode("latin-1")


def _decode_unmarked_utf16(data: bytes, file: Path) -> str:
    """Decode UTF-16 without a mark, whose zeros are at odd or at even places only."""
    even, odd = data[0:4096:2].count(0), data[1:4096:2].count(0)
    if min(even, odd) > 0 or len(data) % 2:
        raise FototecaError(f"{file} is not a text file", "give a table as CSV, TSV or JSON Lines")
    return data.decode("utf-16-be" if even else "utf-16-le", "replace")


def _is_text(data: bytes) -> bool:
    """Return True if no byte is undefined in Windows-1252."""
    return not any(byte in data for byte in (b"\x81", b"\x8d", b"\x8f", b"\x90", b"\x9d"))


def _read_delimited(text: str, file: Path) -> Table:
    marked = re.match(r'"?sep=([^"\r\n])"?\r?\n', text)  # written by Excel
    lines_before = 1 if marked else 0
    text = text[marked.end() :] if marked else text
    delimiter = marked[1] if marked else _find_delimiter(text)
    records = [(line + lines_before, cells) for line, cells in _records(text, delimiter, file)]
    while records and (not any(cell.strip() for cell in records[0][1]) or _is_comment(records)):
        records.pop(0)
    if not records:
        raise FototecaError(f"{file} has no rows", "add one row per image")
    first_line, columns = records[0]
    while (
        len(columns) > 1
        and not columns[-1].strip()
        and all(len(cells) < len(columns) or not cells[len(columns) - 1].strip() for _, cells in records)
    ):
        columns = columns[:-1]  # a delimiter at the end of every line
    rows = tuple(_make_row(line, cells, len(columns)) for line, cells in records[1:])
    return Table(file.name, tuple(cell.strip() for cell in columns), rows, first_line, delimiter)


def _is_comment(records: Sequence[tuple[int, Sequence[str]]]) -> bool:
    """Return True if the first record is one cell that begins with `#`, above records of several cells."""
    (_, first), *rest = records
    return len(first) == 1 and first[0].startswith("#") and bool(rest) and len(rest[0][1]) > 1


def _make_row(line: int, cells: Sequence[str], width: int) -> TableRow:
    extra = any(cell.strip() for cell in cells[width:])
    padded = (*cells[:width], *[""] * (width - len(cells)))
    return TableRow(line, padded, is_cut=len(cells) < width, is_long=extra)


def _records(text: str, delimiter: str, file: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the line and the cells of each record that is not an empty line."""
    usual_limit = csv.field_size_limit(_MAX_CELL)  # of the whole process: other readers rely on it
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    line = 1
    try:
        for cells in reader:
            if cells:
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise FototecaError(f"{file}, line {line}: {error}", "fix the line, or export the table as CSV again") from None
    finally:
        csv.field_size_limit(usual_limit)


def _find_delimiter(text: str) -> str:
    """Return the first delimiter with which most of the first records have the same number of cells, two or more."""
    best, best_score = ",", 0.0
    sample = "".join(text.splitlines(keepends=True)[:_SNIFFED_ROWS])
    for delimiter in (*DELIMITERS, " "):
        reader = csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter, skipinitialspace=True)
        try:
            widths = Counter(len(cells) for cells in reader if any(cells))
        except csv.Error:
            continue
        width, count = widths.most_common(1)[0] if widths else (0, 0)
        is_list = delimiter != " " or (not best_score and len(widths) == 1)
        score = count / widths.total() if width > 1 and is_list else 0.0
        if score > best_score:
            best, best_score = delimiter, score
    return best


def _read_json_list(text: str) -> list[Mapping[str, object]]:
    """Return the objects of a JSON list; empty if it is another document."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return []
    return value if isinstance(value, list) and all(isinstance(item, dict) for item in value) else []


def _read_json_lines(text: str, file: Path) -> Table:
    """Read one JSON object a line; the columns are the keys of all of them, in order of appearance."""
    objects: list[tuple[int, Mapping[str, object]]] = []
    broken = []
    for line, content in enumerate(text.split("\n"), 1):
        if not content.strip(string.whitespace + "\0"):
            continue
        try:
            value = json.loads(content)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict):
            objects.append((line, value))
        else:
            broken.append(line)
    if not objects:
        raise FototecaError(f"{file} is no JSON Lines file", "write one JSON object a line, or give a CSV file")
    return records_table(file.name, objects, tuple(broken))


def records_table(name: str, objects: Sequence[tuple[int, Mapping[str, object]]], broken: tuple[int, ...] = ()) -> Table:
    """Return mappings, each with its line or number, as a table with a header."""
    columns = tuple(dict.fromkeys(key for _, item in objects for key in item))
    rows = tuple(TableRow(line, tuple(item.get(key) for key in columns)) for line, item in objects)
    return Table(name, columns, rows, 0, "", broken)
