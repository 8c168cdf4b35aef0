"""Recognize the format of a label file by its content and read its rows."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from fototeca.core.errors import FototecaError
from fototeca.core.file_index import FileMatch
from fototeca.core.label_rows import Classes, LabelRow
from fototeca.core.label_tables import table_rows
from fototeca.core.text_tables import Table, decode_text, is_parquet, read_limited, read_table, records_table
from fototeca.curate.labels.readers import coco, cvat, fiftyone, label_studio
from fototeca.curate.labels.readers.packed import open_label_file

_TASK_COLUMNS = {"annotation_id", "annotator", "lead_time"}
"""Columns of Label Studio's JSON-MIN and CSV exports."""


def read_rows(file: Path, find: Callable[[str], FileMatch], classes: Classes, columns: str) -> list[LabelRow]:
    """Return the rows of a label file: a table, or an export of Label Studio, CVAT, COCO, Hugging Face or FiftyOne.

    Of a zip file or folder, as annotation programs download them, the one label file inside counts.

    FototecaError if the file cannot be read or is of another format, or a zip file or folder has no label file or several.
    """
    with open_label_file(file) as inner:
        return _read_file(inner, find, classes, columns)


def _read_file(file: Path, find: Callable[[str], FileMatch], classes: Classes, columns: str) -> list[LabelRow]:
    if is_parquet(file):
        return table_rows(read_table(file), find, classes, columns=columns)
    text = decode_text(read_limited(file), file)
    if text.lstrip().startswith("<"):
        return cvat.read_cvat(text, file)
    document = _parse(text)
    if label_studio.is_label_studio(document):
        return label_studio.read_tasks(document)  # type: ignore[arg-type]
    if coco.is_coco(document):
        return coco.read_coco(document)  # type: ignore[arg-type]
    if fiftyone.is_labels(document):
        return fiftyone.read_labels(document)  # type: ignore[arg-type]
    if fiftyone.is_samples(document):
        return fiftyone.read_samples(document, classes.is_rejection)  # type: ignore[arg-type]
    return _read_table_rows(_as_table(document, file), find, classes, columns)


def _parse(text: str) -> object:
    """Return a JSON document, or None for other text and for JSON Lines."""
    try:
        return json.loads(text) if text.lstrip()[:1] in ("{", "[") else None
    except (ValueError, RecursionError):
        return None


def _as_table(document: object, file: Path) -> Table:
    if isinstance(document, dict) and document and all(isinstance(value, str | list) for value in document.values()):
        objects = [(number, {"file": name, "label": value}) for number, (name, value) in enumerate(document.items(), 1)]
        if not {"file_name", "path", "image", "image_id"} & document.keys():
            return records_table(file.name, objects)
    if isinstance(document, dict) and any(isinstance(value, dict) for value in document.values()):
        hint = "give a table, or an export of Label Studio, CVAT, COCO, Hugging Face or FiftyOne"
        raise FototecaError(f"{file} is JSON of an unknown format (keys: {', '.join(list(document)[:6])})", hint)
    return read_table(file)


def _read_table_rows(table: Table, find: Callable[[str], FileMatch], classes: Classes, columns: str) -> list[LabelRow]:
    if not set(table.columns) & _TASK_COLUMNS:
        return table_rows(table, find, classes, columns=columns)

    def find_upload(name: str) -> FileMatch:
        return next((match for each in label_studio.upload_names(name) if (match := find(each)).targets), FileMatch())

    rows = table_rows(table, find_upload, classes, columns=columns)
    return [replace(row, names=tuple(each for name in row.names for each in label_studio.upload_names(name))) for row in rows]
