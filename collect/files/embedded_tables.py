"""Tables inside a dataset that describe its images: `metadata.jsonl` of Hugging Face folders, and those of `curate export`."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from fototeca.collect.catalog import Provenance
from fototeca.collect.licenses import to_spdx
from fototeca.core.class_mapping import category_spellings, find_category
from fototeca.core.errors import FototecaError
from fototeca.core.files import write_text
from fototeca.core.settings import LABEL_SEPARATOR, Settings
from fototeca.core.text_tables import read_table, text_of
from fototeca.core.workspace import Workspace
from fototeca.vision.image_files import is_junk

_PATH_COLUMNS = {"metadata.jsonl": "file_name", "metadata.csv": "file_name", "manifest.csv": "path", "labels.csv": "path"}
"""Column of the image, relative to the table's folder, by the name of the table."""

_COLUMNS = ("label", "split", "author", "license", "page_url")

Record = Mapping[str, str]


def read_embedded_records(folder: Path, settings: Settings) -> dict[str, Record]:
    """Return the columns that the tables of a dataset give of each image, by path; empty if no label is a category.

    Tables of other names or columns, and those that cannot be read, describe nothing.
    """
    records = {name: record for table in _find_tables(folder) for name, record in _read_records(folder, table)}
    return known_records(records, settings)


def known_records(records: Mapping[str, Record], settings: Settings) -> dict[str, Record]:
    """Return the records if one of their labels is a category, else none."""
    known = category_spellings(settings)
    labels = {part for record in records.values() for part in record["label"].split(LABEL_SEPARATOR)}
    return dict(records) if any(find_category(label, known) for label in labels) else {}


def write_label_table(workspace: Workspace, folder: Path, records: Mapping[str, Record]) -> Path:
    """Write the records as one table of labels to the cache and return its path; the caller removes it."""
    file = workspace.cache / "tables" / hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16] / "metadata.jsonl"
    lines = (json.dumps({"file_name": name, **record}, ensure_ascii=False) for name, record in records.items())
    write_text(file, "\n".join(lines) + "\n")
    return file


def add_rights(places: Sequence[Provenance], records: Mapping[str, Record]) -> list[Provenance]:
    """Return the provenance of images with author, license and page of their records, where the person stated none."""
    return [_add_rights(place, records.get(place.file_name, {})) for place in places]


def _add_rights(place: Provenance, record: Record) -> Provenance:
    license_found = place.license_found or record.get("license", "")
    return replace(
        place,
        author=place.author or record.get("author", ""),
        license=place.license if place.license_found else to_spdx(license_found),
        license_found=license_found,
        page_url=record.get("page_url", ""),
    )


def _find_tables(folder: Path) -> list[str]:
    found = []
    for parent, _, names in os.walk(folder):
        for name in sorted(set(names) & _PATH_COLUMNS.keys()):
            relative = (Path(parent) / name).relative_to(folder).as_posix()
            if not is_junk(relative) and not (folder / relative).is_symlink():
                found.append(relative)
    return sorted(found)


def _read_records(folder: Path, name: str) -> Iterator[tuple[str, Record]]:
    try:
        table = read_table(folder / name)
    except FototecaError:
        return
    path_column = _PATH_COLUMNS[Path(name).name]
    if not {path_column, "label"} <= set(table.columns):
        return
    positions = {column: table.columns.index(column) for column in _COLUMNS if column in table.columns}
    for row in table.rows:
        path = (Path(name).parent / text_of(row.cells[table.columns.index(path_column)])).as_posix()
        yield path, {column: text_of(row.cells[position]) for column, position in positions.items()}
