"""Parquet files as tables; in those of Hugging Face datasets, a label may be an index of the names of a ClassLabel."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fototeca.core.errors import ExternalError, FototecaError

MAGIC = b"PAR1"
"""First bytes of a parquet file."""

Row = dict[str, object]


def read_parquet_rows(file: Path) -> list[Row]:
    """Return the rows of a parquet file; images without a path get the digest of their bytes, which is their id here.

    FototecaError if it cannot be read, or pyarrow is not installed (exit 4).
    """
    try:
        import pyarrow
        from pyarrow.parquet import ParquetFile
    except ModuleNotFoundError:
        raise ExternalError(f"{file} needs the package pyarrow", "run: pip install 'fototeca[hubs]'") from None
    try:
        with ParquetFile(file) as parquet:
            names = _class_names(parquet.schema_arrow.metadata or {})
            batches = parquet.iter_batches(batch_size=64)
            return [_flatten(row, names) for batch in batches for row in batch.to_pylist()]
    except (pyarrow.ArrowException, OSError) as error:
        raise FototecaError(f"{file} cannot be read: {' '.join(str(error).split())[:200]}", "get the file again") from None


def _class_names(metadata: Mapping[bytes, bytes]) -> dict[str, list[str]]:
    """Return the names of each ClassLabel column."""
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"]
        return {name: list(feature["names"]) for name, feature in features.items() if feature.get("_type") == "ClassLabel"}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _flatten(row: Mapping[str, Any], names: Mapping[str, list[str]]) -> Row:
    values: Row = {}
    for name, value in row.items():
        if isinstance(value, dict) and isinstance(value.get("bytes"), bytes):
            values["image_id"] = hashlib.sha256(value["bytes"]).hexdigest()
        elif isinstance(value, dict) and value.get("path"):
            values["file_name"] = value["path"]
        elif name in names and isinstance(value, int) and 0 <= value < len(names[name]):
            values[name] = names[name][value]
        elif not isinstance(value, bytes):
            values[name] = value if isinstance(value, str | int | float | list | None) else str(value)
    return values
