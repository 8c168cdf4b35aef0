"""Labels in files beside each image, as in a webdataset: `KEY.json` with `label`, `KEY.cls` or `KEY.txt`.

The key is the image's name without its ending, or up to the first dot (`KEY.left.jpg`). A class is a name, or the number, from
0, of a line of `classes.txt`, `classnames.txt` or another list of names in the dataset or beside the shards.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from fototeca.collect.files.embedded_tables import EmbeddedLabels, Record
from fototeca.core.passed_over import PassedOver
from fototeca.core.settings import LABEL_SEPARATOR
from fototeca.vision.image_files import IsExcluded, find_images

CLASS_LISTS = ("classes.txt", "classnames.txt", "class_names.txt", "labels.txt", "names.txt", "synset_words.txt")
"""Names of files with one class name a line."""

_MAX_BYTES = 1 << 16
_LABEL_KEYS = ("label", "class", "class_name", "category", "cls")
_COLUMNS = ("split", "author", "license", "page_url")


def read_sidecars(folder: Path, is_excluded: IsExcluded, source: Path) -> EmbeddedLabels:
    """Return label, and split, author, license and page where a JSON file has them, of each image; images of a key share a split.

    Args:
        folder: folder of the images.
        is_excluded: tells the names of files that are not to be read.
        source: folder or archive as the user named it; lists of class names beside it count too.
    """
    if not folder.is_dir():
        return EmbeddedLabels()
    names, lists = _read_class_names(folder, source)
    images: dict[str, list[tuple[str, dict[str, str]]]] = {}
    for image in find_images(folder, PassedOver(), is_excluded=is_excluded):
        for sidecar, suffix, text in _read_texts(folder, image):
            if not is_excluded(sidecar) and (record := _parse(suffix, text, names)):
                images.setdefault(sidecar, []).append((image, record))
                break
    records = [
        Record(image, record if len(pairs) == 1 else {**record, "split_group": f"{source.name}/{sidecar.rpartition('.')[0]}"})
        for sidecar, pairs in images.items()
        for image, record in pairs
    ]
    return EmbeddedLabels(records, [*lists, *images] if records else ())


def _read_class_names(folder: Path, source: Path) -> tuple[list[str], list[str]]:
    """Return the class names by number, and the list inside the folder that holds them, if it is there."""
    beside = source.resolve().parent
    for place in (folder, *(child for child in sorted(folder.iterdir()) if child.is_dir()), beside, beside.parent):
        for name in CLASS_LISTS:
            if text := _read_small(place / name):
                inside = [(place / name).relative_to(folder).as_posix()] if place.is_relative_to(folder) else []
                return [line.strip() for line in text.splitlines() if line.strip()], inside
    return [], []


def _read_small(file: Path) -> str:
    """Return the text of a small file, "" for others; links are not followed."""
    if not file.is_file() or file.is_symlink() or file.stat().st_size > _MAX_BYTES:
        return ""
    return file.read_text(encoding="utf-8-sig", errors="replace")


def _read_texts(folder: Path, image: str) -> Iterator[tuple[str, str, str]]:
    """Yield name, suffix and text of the small files beside an image."""
    path = PurePosixPath(image)
    keys = dict.fromkeys((path.with_suffix("").name, path.name.partition(".")[0] or path.name))
    for key in keys:
        for suffix in (".json", ".cls", ".txt"):
            name = path.with_name(key + suffix).as_posix()
            if path.name != key + suffix and (text := _read_small(folder / name)):
                yield name, suffix, text


def _parse(suffix: str, text: str, names: Sequence[str]) -> dict[str, str]:
    """Return the columns of one file; empty without a label."""
    if suffix != ".json":
        return {"label": _name_class(text.strip(), names)} if "\n" not in text.strip() else {}
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return _from_document(document, names) if isinstance(document, dict) else {}


def _name_class(text: str, names: Sequence[str]) -> str:
    """Return the name of a class that is given by its number; other texts stay."""
    return names[int(text)] if text.isdecimal() and int(text) < len(names) else text


def _from_document(document: Mapping[str, object], names: Sequence[str]) -> dict[str, str]:
    label = next(filter(None, (_join(document.get(key), names) for key in _LABEL_KEYS)), "")
    columns = {key: value for key in _COLUMNS if isinstance(value := document.get(key), str)}
    return {"label": label, **columns} if label else {}


def _join(value: object, names: Sequence[str]) -> str:
    """Return a label, or several joined as the catalog joins them; "" for other values."""
    values = value if isinstance(value, list) else [value]
    texts = (str(text).strip() for text in values if isinstance(text, str | int) and not isinstance(text, bool))
    return LABEL_SEPARATOR.join(_name_class(text, names) for text in texts if text)
