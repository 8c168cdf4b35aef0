"""Read a label table: CSV, TSV, JSON Lines or a JSON list, as people and other programs write them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fototeca.core.errors import FototecaError
from fototeca.core.file_index import FileMatch
from fototeca.core.label_columns import find_columns
from fototeca.core.label_rows import Classes, LabelAssignment, LabelRow, assign_labels, read_label_rows
from fototeca.core.text_tables import Table, read_table

_LISTED = 3
"""Names listed in messages."""


def read_label_table(file: Path, find: Callable[[str], FileMatch], classes: Classes, *, columns: str = "") -> LabelAssignment:
    """Read a label table and return the outcome of every row.

    Args:
        file: table with a row per image, or per image and label.
        find: returns the files that a name may mean.
        classes: categories of the class names.
        columns: the columns to use, as `path=A,label=B`; by default recognized.

    Raises:
        FototecaError: the file cannot be read, its columns are not recognized, or no row labels a file.
    """
    table = read_table(file)
    rows = table_rows(table, find, classes, columns=columns)
    return check_assignment(assign_labels(rows, find, classes), table.name, classes)


def table_rows(table: Table, find: Callable[[str], FileMatch], classes: Classes, *, columns: str = "") -> list[LabelRow]:
    """Return the rows of a table whose columns are recognized, or stated as `path=A,label=B`."""
    chosen = find_columns(table, lambda name: bool(find(name).targets), classes.knows, columns)
    return read_label_rows(table, chosen, classes)


def check_assignment(assignment: LabelAssignment, name: str, classes: Classes) -> LabelAssignment:
    """Return the assignment. FototecaError if no row names a file, or none has a known class."""
    rows = [row for row in assignment.rows if row.outcome != "malformed"]
    missing = [row for row in rows if row.outcome == "unmatched"]
    if len(missing) == len(rows):
        listed = ", ".join(repr(row.name) for row in missing[:_LISTED]) or "no row has a name"
        raise FototecaError(
            f"no row of {name} names a known file (first: {listed})", "write paths relative to the folder, or ids"
        )
    others = [row for row in rows if row.outcome == "other-class"]
    if others and not any(row.outcome in ("applied", "conflicting", "no-label") for row in rows):
        listed = ", ".join(dict.fromkeys(row.detail for row in others[:20]))
        hint = f"the categories are: {', '.join(classes.settings.names[:10])}; name each class in a file for --map"
        raise FototecaError(f"no class in {name} is a category (it has: {listed[:200]})", hint)
    return assignment
