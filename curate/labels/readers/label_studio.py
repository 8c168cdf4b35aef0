"""Label Studio JSON: tasks with annotations, whose results are choices (labelstud.io/guide/export)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fototeca.core.file_index import name_variants
from fototeca.core.label_rows import LabelRow, names_in

_UPLOAD_PREFIX = re.compile(r"^[0-9a-f]{8}-(?=.)")
_NAME_KEYS = ("image_id", "image", "img", "photo", "picture", "file_name", "filename", "path", "url")


def is_label_studio(document: object) -> bool:
    """Return True for a list of tasks with `data` and annotations."""
    first = document[0] if isinstance(document, list) and document else None
    return isinstance(first, dict) and isinstance(first.get("data"), dict) and bool({"annotations", "completions"} & first.keys())


def read_tasks(document: Sequence[Mapping[str, Any]]) -> list[LabelRow]:
    """Return one row for each annotation that is not cancelled, and one for each task without any; lines are task numbers."""
    return [row for number, task in enumerate(document, 1) for row in _read_task(number, task)]


def upload_names(name: str) -> tuple[str, ...]:
    """Return a name, and the name without the prefix that Label Studio gives to uploaded files."""
    names = [name]
    for variant in name_variants(name):
        last = variant.rpartition("/")[2]
        if (stripped := _UPLOAD_PREFIX.sub("", last)) != last:
            names.append(stripped)
    return tuple(dict.fromkeys(names))


def _read_task(number: int, task: Mapping[str, Any]) -> Iterator[LabelRow]:
    data = task.get("data") if isinstance(task, Mapping) else None
    if not isinstance(data, Mapping):
        yield LabelRow(number, (), problem="no task")
        return
    texts = [data[key] for key in _NAME_KEYS if isinstance(data.get(key), str)] or [
        v for v in data.values() if isinstance(v, str)
    ]
    names = tuple(name for text in texts for name in upload_names(text))
    annotations = task.get("annotations") or task.get("completions") or ()
    usable = [item for item in annotations if isinstance(item, Mapping) and not item.get("was_cancelled")]
    trusted = [item for item in usable if item.get("ground_truth")]
    for item in trusted or usable:
        yield LabelRow(number, names, tuple(dict.fromkeys(_choices(item))))
    if not usable:
        yield LabelRow(number, names)


def _choices(annotation: Mapping[str, Any]) -> Iterator[str]:
    """Yield the chosen classes of an annotation; of a taxonomy the last level."""
    for result in annotation.get("result") or ():
        value = result.get("value") if isinstance(result, Mapping) else None
        if isinstance(value, Mapping):
            yield from names_in(value.get("choices"))
            for path in value.get("taxonomy") or ():
                yield from list(names_in(path))[-1:]
