"""Labels in files beside each image, as in a webdataset: `NAME.json` with `label`, `NAME.cls` or `NAME.txt`.

The classes of `.cls` are names; numbers have no names in the format, and so match no category.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from fototeca.core.settings import LABEL_SEPARATOR
from fototeca.vision.formats import SUFFIXES
from fototeca.vision.image_files import is_junk

_MAX_BYTES = 1 << 16
_LABEL_KEYS = ("label", "class", "class_name", "category", "cls")
_COLUMNS = ("split", "author", "license", "page_url")


def read_sidecars(folder: Path) -> dict[str, dict[str, str]]:
    """Return label, and split, author, license and page where a JSON file has them, of each image, by path."""
    records = {}
    for image in sorted(folder.rglob("*")) if folder.is_dir() else ():
        name = image.relative_to(folder).as_posix()
        if image.suffix.lower() in SUFFIXES and not is_junk(name) and (record := _read_record(image)):
            records[name] = record
    return records


def _read_record(image: Path) -> dict[str, str]:
    record = next(filter(None, map(_parse, _read_texts(image))), {})
    return record if record.get("label") else {}


def _read_texts(image: Path) -> Iterator[tuple[str, str]]:
    """Yield suffix and text of the small files beside an image; links are not followed."""
    for suffix in (".json", ".cls", ".txt"):
        file = image.with_suffix(suffix)
        if file.is_file() and not file.is_symlink() and file.stat().st_size <= _MAX_BYTES:
            yield suffix, file.read_text(encoding="utf-8", errors="replace")


def _parse(item: tuple[str, str]) -> dict[str, str]:
    suffix, text = item
    if suffix != ".json":
        return {"label": text.strip()} if "\n" not in text.strip() else {}
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return _from_document(document) if isinstance(document, dict) else {}


def _from_document(document: Mapping[str, object]) -> dict[str, str]:
    label = next(filter(None, (_join(document.get(key)) for key in _LABEL_KEYS)), "")
    columns = {key: value for key in _COLUMNS if isinstance(value := document.get(key), str)}
    return {"label": label, **columns} if label else {}


def _join(value: object) -> str:
    """Return a label, or several joined as the catalog joins them; "" for numbers and other values."""
    values = value if isinstance(value, list) else [value]
    return LABEL_SEPARATOR.join(text.strip() for text in values if isinstance(text, str) and text.strip())
