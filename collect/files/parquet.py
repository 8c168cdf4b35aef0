"""Read images from parquet files in the layout of Hugging Face datasets, with at most one row group in memory.

The schema's metadata describes the columns under `huggingface`: columns of type `Image` hold `{bytes, path}`, columns of type
`ClassLabel` indices of names (huggingface.co/docs/datasets/about_dataset_features).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from fototeca.core.errors import ExternalError
from fototeca.core.passed_over import PassedOver
from fototeca.vision.image import SUFFIXES

UNLABELED = "unlabeled"
"""Folder name for rows without a label."""

_IMAGE_COLUMNS = ("image", "img", "image", "photo")
_LABEL_COLUMNS = ("label", "labels", "class", "category", "class_name", "label_name")
"""Column names in order of preference, where the metadata is missing or ambiguous."""

_BUFFER_SIZE = 1 << 20


@dataclass(frozen=True)
class _Columns:
    """Image column, label column (empty if none) and the names of the label indices."""

    image: str
    label: str = ""
    names: tuple[str, ...] = ()

    @property
    def selected(self) -> list[str]:
        return [self.image, self.label] if self.label else [self.image]


def read_parquet_images(path: Path, limit: int, passed_over: PassedOver) -> Iterator[tuple[str, bytes]]:
    """Yield name (`LABEL/NAME.jpg`) and bytes of each image; nothing if no column holds images.

    The label comes from the column `label`, else from the first column of type ClassLabel; several labels of one row are joined
    by `+`. Rows without image bytes are counted in `passed_over`.

    Raises:
        OSError: the file is damaged, or its metadata gives more than `limit` bytes of unpacked data.
        FototecaError: pyarrow is not installed (exit 4).
    """
    try:
        import pyarrow
        from pyarrow.parquet import ParquetFile
    except ModuleNotFoundError:
        raise ExternalError(f"{path} needs the package pyarrow", "run: pip install 'fototeca[hubs]'") from None
    try:
        # Buffered and row by row, so that at most one page is in memory, for which writers take up to 1,024 images.
        with ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER_SIZE) as file:
            if sum(file.metadata.row_group(index).total_byte_size for index in range(file.num_row_groups)) > limit:
                raise OSError("it unpacks to too much")
            columns = _columns(file.schema_arrow)
            if columns is None:
                passed_over.add("no-image-column", path.name)
            else:
                batches = file.iter_batches(batch_size=1, columns=columns.selected, use_threads=False)
                yield from _named_images((row for batch in batches for row in batch.to_pylist()), columns, passed_over)
    except pyarrow.ArrowException as error:
        raise OSError(" ".join(str(error).split())[:200]) from None


def _named_images(rows: Iterator[dict[str, Any]], columns: _Columns, passed_over: PassedOver) -> Iterator[tuple[str, bytes]]:
    """Yield unique names and bytes; names equal but for case get the row number."""
    used: set[str] = set()
    for number, row in enumerate(rows):
        value = row.get(columns.image)
        data, path = (value.get("bytes"), value.get("path")) if isinstance(value, dict) else (value, None)
        if not isinstance(data, bytes):  # a URL instead of bytes, or an empty row
            passed_over.add("row-without-image", f"row {number + 1}")
            continue
        name = f"{_folder(row.get(columns.label), columns.names)}/{_file_name(path, number)}"
        if name.lower() in used:
            name = f"{name.rpartition('/')[0]}/{number:06}-{name.rpartition('/')[2]}"
        used.add(name.lower())
        yield name, data


def _file_name(path: object, number: int) -> str:
    """Return the image's own name, which may identify its original, else the row number. The bytes decide the type."""
    name = PurePosixPath(path.replace("\\", "/")).name if isinstance(path, str) else ""
    return _make_path_part(name) if name.lower().endswith(tuple(SUFFIXES)) else f"{number:06}.jpg"


def _folder(value: object, names: tuple[str, ...]) -> str:
    """Return the labels of a row, joined by `+`."""
    values = value if isinstance(value, list) else [value]
    return "+".join(filter(None, (_label(item, names) for item in values))) or UNLABELED


def _label(value: object, names: tuple[str, ...]) -> str:
    if isinstance(value, bool) or not isinstance(value, int | str):
        return ""
    if isinstance(value, int):
        has_name = 0 <= value < len(names)
        value = names[value] if has_name else "" if value < 0 else str(value)  # Hugging Face writes -1 for a missing label
    return _make_path_part(value)


def _make_path_part(text: str) -> str:
    """Return the text as one path component that is visible and valid on every file system."""
    return re.sub(r'^\.+|[\x00-\x1f\x7f/\\:*?"<>|]|[. ]+$', "_", text.strip())


def _columns(schema: Any) -> _Columns | None:  # noqa: ANN401 - pyarrow has no types
    """Choose the columns by the metadata, else by type and name; None without an image column."""
    features = _features(schema.metadata or {})
    images = [name for name in schema.names if _feature_type(features.get(name)) == "Image"] or [
        field.name for field in schema if _holds_bytes(field.type)
    ]
    if not images:
        return None
    classes = {name: names for name in schema.names if (names := _class_names(features.get(name))) is not None}
    image = _preferred(images, _IMAGE_COLUMNS) or images[0]
    label = _preferred(list(classes), _LABEL_COLUMNS) or next(iter(classes), "") or _preferred(schema.names, _LABEL_COLUMNS)
    return _Columns(image, label, classes.get(label, ()))


def _features(metadata: Mapping[bytes, bytes]) -> dict[str, Any]:
    try:
        document = json.loads(metadata.get(b"huggingface", b"{}"))
        features = document["info"]["features"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return features if isinstance(features, dict) else {}


def _feature_type(feature: object) -> str:
    return str(feature.get("_type", "")) if isinstance(feature, dict) else ""


def _class_names(feature: object) -> tuple[str, ...] | None:
    """Return the names of a ClassLabel or of a list of them; None for other features."""
    if isinstance(feature, list) and feature:
        feature = feature[0]
    if isinstance(feature, dict) and "feature" in feature:
        feature = feature["feature"]
    if _feature_type(feature) != "ClassLabel" or not isinstance(feature, dict):
        return None
    names = feature.get("names")
    return tuple(map(str, names)) if isinstance(names, list) else ()


def _holds_bytes(column_type: Any) -> bool:  # noqa: ANN401 - pyarrow has no types
    from pyarrow import types

    if types.is_struct(column_type):
        fields = [column_type.field(index) for index in range(column_type.num_fields)]
        return any(field.name == "bytes" and _holds_bytes(field.type) for field in fields)
    return bool(types.is_binary(column_type) or types.is_large_binary(column_type))


def _preferred(names: list[str], preferences: tuple[str, ...]) -> str:
    """Return the name that comes first in `preferences`, ignoring case, or ""."""
    lower = {name.lower(): name for name in names}
    return next((lower[name] for name in preferences if name in lower), "")
