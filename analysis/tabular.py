"""CSV tables beside a page, and links from the numbers on the page to their rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from markupsafe import Markup

from fototeca.core.files import csv_bytes, write_text


class FormattedNumber(str):
    """A number formatted for the page that keeps its `value`, or for an interval both ends."""

    value: tuple[float, ...]

    def __new__(cls, shown: str, *value: float) -> Self:
        """Create from the text for the page and the value for the CSV."""
        number = super().__new__(cls, shown)
        number.value = value
        return number

    def __format__(self, spec: str) -> str:
        """Return the text, or for a `spec` like "image|images" the singular or plural."""
        singular, bar, plural = spec.partition("|")
        return (singular if self.value == (1,) else plural) if bar else super().__format__(spec)


class NamedCell(Markup):
    """HTML of a cell on the page, of which the CSV has the plain value `stored`, such as the id of a named run."""

    stored: str

    def __new__(cls, shown: Markup, stored: str = "") -> Self:
        """Create from the HTML for the page and the text for the CSV."""
        cell = super().__new__(cls, shown)
        cell.stored = stored
        return cell


@dataclass(frozen=True)
class Table:
    """A table to write as `NAME.csv`."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]

    def write(self, folder: Path) -> Path:
        """Write `name.csv` and return its path."""
        path = folder / f"{self.name}.csv"
        write_text(path, csv_text(self.columns, self.rows))
        return path


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return CSV (RFC 4180, LF); formatted numbers are written as plain values."""
    return csv_bytes(columns, ([_plain(cell) for cell in row] for row in rows)).decode("utf-8")


def flatten_values(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, object]]:
    """Return nested values as rows of (key.key, value), list items as (key.index, value)."""
    rows: list[tuple[str, object]] = []
    for key, value in values.items():
        inner = dict(enumerate(value)) if isinstance(value, list | tuple) else value
        if isinstance(inner, Mapping):
            rows += flatten_values({str(name): item for name, item in inner.items()}, f"{prefix}{key}.")
        else:
            rows.append((f"{prefix}{key}", inner))
    return rows


def row_link(folder: str, name: str, row: int) -> str:
    """Return the address of a table's row (0 is the first below the header) in a folder beside the page (RFC 7111)."""
    return f"{folder}/{name}.csv#row={row + 2}"


def _plain(cell: object) -> object:
    if isinstance(cell, NamedCell):
        return cell.stored
    return " ".join(f"{value:.10g}" for value in cell.value) if isinstance(cell, FormattedNumber) else cell
