"""The numbers behind what a page shows: tables in files beside it, to whose rows the page's figures link."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from fototeca.core.files import write_text


class FormattedNumber(str):
    """A number as a reader sees it, which remembers what it is: `value`, or for an interval its two ends."""

    value: tuple[float, ...]

    def __new__(cls, shown: str, *value: float) -> Self:
        """`shown` for the page, `value` for the file."""
        made = super().__new__(cls, shown)
        made.value = value
        return made

    def __format__(self, spec: str) -> str:
        """As it is shown; or for a count one of the two words of a `spec` like "image|images"."""
        one, bar, more = spec.partition("|")
        return (one if self.value == (1,) else more) if bar else super().__format__(spec)


@dataclass(frozen=True)
class Table:
    """A table for a file. `name` is the file's name without ending."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]

    def write(self, folder: Path) -> Path:
        """Write `name.csv` and return its path."""
        path = folder / f"{self.name}.csv"
        write_text(path, csv_text(self.columns, self.rows))
        return path


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """RFC 4180 with LF; numbers that were shown in a language's way are written plainly."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_plain(cell) for cell in row] for row in rows)
    return text.getvalue()


def flatten_values(facts: Mapping[str, Any], prefix: str = "") -> list[tuple[str, object]]:
    """Nested facts as rows of (key.key, value); lists with a place behind their key."""
    rows: list[tuple[str, object]] = []
    for key, value in facts.items():
        inner = dict(enumerate(value)) if isinstance(value, list | tuple) else value
        if isinstance(inner, Mapping):
            rows += flatten_values({str(name): one for name, one in inner.items()}, f"{prefix}{key}.")
        else:
            rows.append((f"{prefix}{key}", inner))
    return rows


def row_link(folder: str, name: str, row: int) -> str:
    """The address of a row (0 is the first below the head) of a table in a folder beside the page (RFC 7111)."""
    return f"{folder}/{name}.csv#row={row + 2}"


def _plain(cell: object) -> object:
    return " ".join(f"{value:.10g}" for value in cell.value) if isinstance(cell, FormattedNumber) else cell
