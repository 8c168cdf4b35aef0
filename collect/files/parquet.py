"""Images inside parquet files, as Hugging Face's datasets are kept: never more than a row group in memory.

What the columns mean stands in the file itself, under `huggingface` in the schema's metadata: columns of the kind `Image` hold
`{bytes, path}`, those of the kind `ClassLabel` the numbers of names (huggingface.co/docs/datasets/about_dataset_features).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from fototeca.core.errors import EXIT_OUTSIDE, FototecaError
from fototeca.vision.image import SUFFIXES

MAGIC = b"PAR1"
UNLABELLED = "unlabelled"
"""Folder of the rows without a label."""

_IMAGES = ("image", "img", "image", "photo")
_LABELS = ("label", "labels", "class", "category", "class_name", "label_name")
"""Names of columns, likeliest first, where the metadata says nothing or too much."""

_BUFFER = 1 << 20


@dataclass(frozen=True)
class _Columns:
    """The column with the images, that with the labels (or none), and the names behind a label's number."""

    image: str
    label: str = ""
    names: tuple[str, ...] = ()

    @property
    def both(self) -> list[str]:
        return [self.image, self.label] if self.label else [self.image]


def parquet_images(path: Path, limit: int) -> Iterator[tuple[str, bytes]]:
    """Name (`LABEL/NAME.jpg`) and bytes of each image; nothing when no column holds images.

    The label comes from the column called `label`, else from the first of the kind ClassLabel; several labels of one row are
    joined by `+`. OSError when the file is broken or says itself that it unpacks to more than `limit` bytes, FototecaError
    (exit 4) when pyarrow is not installed.
    """
    try:
        import pyarrow
        from pyarrow.parquet import ParquetFile
    except ModuleNotFoundError:
        raise FototecaError(f"{path} needs the package pyarrow", "run: pip install 'fototeca[hubs]'", EXIT_OUTSIDE) from None
    try:
        # Buffered and row by row, so that no more is held than a page, for which writers take up to 1,024 images.
        with ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER) as file:
            if sum(file.metadata.row_group(place).total_byte_size for place in range(file.num_row_groups)) > limit:
                raise OSError("it unpacks to too much")
            if columns := _columns(file.schema_arrow):
                batches = file.iter_batches(batch_size=1, columns=columns.both, use_threads=False)
                yield from _named((row for batch in batches for row in batch.to_pylist()), columns)
    except pyarrow.ArrowException as error:
        raise OSError(" ".join(str(error).split())[:200]) from None


def _named(rows: Iterator[dict[str, Any]], columns: _Columns) -> Iterator[tuple[str, bytes]]:
    used: set[str] = set()
    for number, row in enumerate(rows):
        value = row.get(columns.image)
        data, path = (value.get("bytes"), value.get("path")) if isinstance(value, dict) else (value, None)
        if not isinstance(data, bytes):
            continue  # an address of an image, or nothing
        name = f"{_folder(row.get(columns.label), columns.names)}/{_file_name(path, number)}"
        if name.lower() in used:
            name = f"{name.rpartition('/')[0]}/{number:06}-{name.rpartition('/')[2]}"
        used.add(name.lower())
        yield name, data


def _file_name(path: object, number: int) -> str:
    """The image's own name, which may tell of which it is a copy, else the row's number. Whether it is a JPEG shows later."""
    name = PurePosixPath(path.replace("\\", "/")).name if isinstance(path, str) else ""
    return _plain(name) if name.lower().endswith(tuple(SUFFIXES)) else f"{number:06}.jpg"


def _folder(value: object, names: tuple[str, ...]) -> str:
    several = value if isinstance(value, list) else [value]
    return "+".join(filter(None, (_label(one, names) for one in several))) or UNLABELLED


def _label(value: object, names: tuple[str, ...]) -> str:
    if isinstance(value, bool) or not isinstance(value, int | str):
        return ""
    if isinstance(value, int):
        known = 0 <= value < len(names)
        value = names[value] if known else "" if value < 0 else str(value)  # Hugging Face writes -1 where there is no label
    return _plain(value)


def _plain(text: str) -> str:
    """The text as one part of a path that no disk refuses and that is not hidden."""
    return re.sub(r'^\.+|[\x00-\x1f\x7f/\\:*?"<>|]|[. ]+$', "_", text.strip())


def _columns(schema: Any) -> _Columns | None:  # noqa: ANN401 - pyarrow has no types
    """Which columns to read, by the metadata, else by type and name."""
    features = _features(schema.metadata or {})
    images = [name for name in schema.names if _kind(features.get(name)) == "Image"] or [
        field.name for field in schema if _holds_bytes(field.type)
    ]
    if not images:
        return None
    classes = {name: found for name in schema.names if (found := _class_names(features.get(name))) is not None}
    image = _likeliest(images, _IMAGES) or images[0]
    label = _likeliest(list(classes), _LABELS) or next(iter(classes), "") or _likeliest(schema.names, _LABELS)
    return _Columns(image, label, classes.get(label, ()))


def _features(metadata: Mapping[bytes, bytes]) -> dict[str, Any]:
    try:
        document = json.loads(metadata.get(b"huggingface", b"{}"))
        found = document["info"]["features"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _kind(feature: object) -> str:
    return str(feature.get("_type", "")) if isinstance(feature, dict) else ""


def _class_names(feature: object) -> tuple[str, ...] | None:
    """The names of a ClassLabel, or of a list of them; None when it is neither."""
    if isinstance(feature, list) and feature:
        feature = feature[0]
    if isinstance(feature, dict) and "feature" in feature:
        feature = feature["feature"]
    if _kind(feature) != "ClassLabel" or not isinstance(feature, dict):
        return None
    names = feature.get("names")
    return tuple(map(str, names)) if isinstance(names, list) else ()


def _holds_bytes(kind: Any) -> bool:  # noqa: ANN401 - pyarrow has no types
    from pyarrow import types

    if types.is_struct(kind):
        return any(kind.field(place).name == "bytes" and _holds_bytes(kind.field(place).type) for place in range(kind.num_fields))
    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def _likeliest(found: list[str], wanted: tuple[str, ...]) -> str:
    """The one whose name comes first among those wanted, whatever its case, or nothing."""
    lower = {name.lower(): name for name in found}
    return next((lower[name] for name in wanted if name in lower), "")
