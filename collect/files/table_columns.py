"""Columns of a table of labels other than names and labels: the split and the group of each image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from fototeca.collect.files.dataset_splits import parse_split
from fototeca.core.errors import FototecaError
from fototeca.core.file_index import FileIndex
from fototeca.core.label_columns import find_columns, normalize_header
from fototeca.core.label_rows import Classes
from fototeca.core.text_tables import read_table, text_of

SPLIT_HEADERS = ("split", "subset", "partition", "particion", "fold", "set", "dataset", "conjunto")
"""Headers of the split, as `normalize_header` writes them, in order of preference; the cells must be words for splits."""

_PRECEDENCE = ("test", "val", "train")


class TableColumns:
    """Values of the columns of one table for the images that its rows name."""

    def __init__(
        self, file: Path, names: Sequence[str], file_names: Mapping[str, str], classes: Classes, columns: str = ""
    ) -> None:
        """Read a table.

        Args:
            file: table of labels.
            names: paths of the images, relative to their folder.
            file_names: original name of each image that was renamed.
            classes: categories of the class names.
            columns: columns of names and labels, as `path=A,label=B`; by default recognized.

        Raises:
            FototecaError: the table cannot be read, or its columns are not recognized.
        """
        self._table = read_table(file)
        self._index = FileIndex((each, name) for name in names for each in {name, file_names.get(name, name)})
        self._columns = find_columns(self._table, lambda name: bool(self._index.find(name).targets), classes.knows, columns)

    @property
    def headers(self) -> tuple[str, ...]:
        """Headers of the columns."""
        return self._table.columns

    def values(self, header: str) -> dict[str, list[str]]:
        """Return the values of a column for each image, in the order of the rows. FototecaError if the column is missing."""
        headers = [normalize_header(name) for name in self._table.columns]
        if normalize_header(header) not in headers or not self._columns.header:
            listed = ", ".join(self._table.columns[:8])
            raise FototecaError(f"{self._table.name} has no column {header!r}", f"it has: {listed}")
        position = headers.index(normalize_header(header))
        values: dict[str, list[str]] = {}
        for row in self._table.rows:
            if (text := text_of(row.cells[position])) and (target := self._target(row.cells)):
                values.setdefault(target, []).append(text)
        return values

    def splits(self) -> dict[str, str]:
        """Return the split of each image if the table has a column of splits; of several, test before val before train."""
        headers = [normalize_header(name) for name in self._table.columns]
        for header in SPLIT_HEADERS:
            if header in headers and self._columns.header:
                values = {name: {parse_split(text) for text in texts} for name, texts in self.values(header).items()}
                splits = {name: next((split for split in _PRECEDENCE if split in found), "") for name, found in values.items()}
                if splits := {name: split for name, split in splits.items() if split}:
                    return splits
        return {}

    def _target(self, cells: Sequence[object]) -> str:
        """Return the image that a row names, "" for none or several."""
        for position in self._columns.paths:
            targets = self._index.find(text_of(cells[position])).targets
            if targets:
                return targets[0] if len(targets) == 1 else ""
        return ""
