"""Tables inside a dataset that describe its images: `metadata.jsonl` of Hugging Face folders, and those of `curate export`."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from fototeca.collect.catalog import Provenance
from fototeca.collect.licenses import to_spdx
from fototeca.core.errors import FototecaError
from fototeca.core.files import write_text
from fototeca.core.label_rows import Classes
from fototeca.core.passed_over import PassedOver
from fototeca.core.text_tables import read_table, text_of
from fototeca.core.workspace import Workspace
from fototeca.vision.image_files import IsExcluded, find_files

_PATH_COLUMNS = {
    "metadata.jsonl": "file_name",
    "metadata.csv": "file_name",
    "metadata.parquet": "file_name",
    "manifest.csv": "path",
    "labels.csv": "path",
}
"""Column of the image, relative to the table's folder, by the name of the table."""

TABLE_NAMES = frozenset(_PATH_COLUMNS)
"""Names of the tables."""

_LISTED = 5
"""Classes that a message lists."""


@dataclass(frozen=True)
class Record:
    """One row about an image: path relative to the dataset, label and other columns by name, and line in its file."""

    path: str
    columns: Mapping[str, str]
    line: int = 0

    def get(self, column: str) -> str:
        """Return a column, "" if the row has none."""
        return self.columns.get(column, "")


@dataclass(frozen=True)
class EmbeddedLabels:
    """Rows of the tables of a dataset, and the files that they stand in, which are used and so not passed over."""

    records: Sequence[Record] = ()
    files: Sequence[str] = ()
    passed_over: PassedOver = field(default_factory=PassedOver)
    """Fields that the files have and the records lack."""

    def classes(self, classes: Classes) -> tuple[dict[str, None], dict[str, None]]:
        """Return the class names of the labels that are categories, and the others."""
        names = dict.fromkeys(
            name for label in {record.get("label"): None for record in self.records} for name in classes.split(label)
        )
        known = {name: None for name in names if classes.knows(name)}
        return known, {name: None for name in names if name not in known}


def read_embedded_tables(folder: Path, is_excluded: IsExcluded) -> EmbeddedLabels:
    """Return the rows of the tables of a dataset. Tables of other columns, and those that cannot be read, describe nothing."""
    rows_by_table = {name: _read_records(folder, name) for name in _find_tables(folder, is_excluded)}
    used = {name: rows for name, rows in rows_by_table.items() if rows}
    return EmbeddedLabels([record for rows in used.values() for record in rows], list(used))


def write_label_table(workspace: Workspace, folder: Path, labels: EmbeddedLabels) -> Path:
    """Write the records as one table of labels to the cache and return its path; the caller removes it.

    The records of a single table keep their lines and its name, so that messages refer to it.
    """
    name = labels.files[0].rpartition("/")[2] if len(labels.files) == 1 else "tables of the dataset"  # read by its content
    digest = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]
    file = workspace.cache / "tables" / digest / name
    lines: list[str] = []
    for record in labels.records:
        if len(labels.files) == 1:
            lines += [""] * (record.line - 1 - len(lines))
        lines.append(json.dumps({"file_name": record.path, **record.columns}, ensure_ascii=False))
    write_text(file, "\n".join(lines) + "\n")
    return file


def add_rights(places: Sequence[Provenance], records: Iterable[Record]) -> list[Provenance]:
    """Return the provenance of images with the author, license, page and split group of their records, where none was stated."""
    by_path = {record.path: record for record in records}
    return [_add_rights(place, by_path.get(place.file_name, Record("", {}))) for place in places]


def _add_rights(place: Provenance, record: Record) -> Provenance:
    license_found = place.license_found or record.get("license")
    return replace(
        place,
        author=place.author or record.get("author"),
        license=place.license if place.license_found else to_spdx(license_found),
        license_found=license_found,
        page_url=record.get("page_url"),
        split_group=place.split_group or record.get("split_group"),
    )


def describe_unknown(names: Iterable[str]) -> str:
    """Return the first of the class names of a dataset."""
    listed = list(names)
    more = f" and {len(listed) - _LISTED} more" if len(listed) > _LISTED else ""
    return ", ".join(listed[:_LISTED]) + more


def _find_tables(folder: Path, is_excluded: IsExcluded) -> list[str]:
    """Return the tables of known names; links are not followed."""
    if not folder.is_dir():
        return []

    def reason_of(name: str) -> str:
        return "" if name.rpartition("/")[2] in _PATH_COLUMNS else "data"

    names = find_files(folder, PassedOver(), reason_of, is_excluded=is_excluded)
    return [name for name in names if not (folder / name).is_symlink()]


def _read_records(folder: Path, name: str) -> list[Record]:
    try:
        table = read_table(folder / name)
    except FototecaError:
        return []
    path_column = _PATH_COLUMNS[Path(name).name]
    if not {path_column, "label"} <= set(table.columns):
        return []
    positions = {column: position for position, column in enumerate(table.columns) if column not in ("", path_column)}
    position = table.columns.index(path_column)
    return [
        Record(
            (Path(name).parent / path).as_posix() if (path := text_of(row.cells[position])) else "",
            {column: text_of(row.cells[index]) for column, index in positions.items()},
            row.line,
        )
        for row in table.rows
    ]
