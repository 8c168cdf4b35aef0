"""FiftyOne exports: FiftyOneImageClassificationDataset (labels.json) and FiftyOneDataset (samples.json)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from fototeca.core.label_rows import LabelRow, names_in


def is_labels(document: object) -> bool:
    """Return True for labels.json: labels by name, as text or as index of `classes`."""
    return isinstance(document, dict) and isinstance(document.get("labels"), dict)


def is_samples(document: object) -> bool:
    """Return True for samples.json."""
    return isinstance(document, dict) and isinstance(document.get("samples"), list)


def read_labels(document: Mapping[str, Any]) -> list[LabelRow]:
    """Return one row for each image of labels.json; lines are their numbers."""
    classes = document.get("classes") or ()
    return [
        LabelRow(number, (name,), tuple(dict.fromkeys(_targets(value, classes))))
        for number, (name, value) in enumerate(document["labels"].items(), 1)
    ]


def read_samples(document: Mapping[str, Any], is_rejection: Callable[[str], bool]) -> list[LabelRow]:
    """Return one row for each sample: its classification, or the tag that rejects it; lines are their numbers."""
    return [_read_sample(number, item, is_rejection) for number, item in enumerate(document["samples"], 1)]


def _targets(value: object, classes: Sequence[Any]) -> Iterator[str]:
    for item in value if isinstance(value, list) else [value]:
        target = item.get("label") if isinstance(item, dict) else item
        if isinstance(target, int) and not isinstance(target, bool) and 0 <= target < len(classes):
            yield str(classes[target])
        else:
            yield from names_in(target)


def _read_sample(number: int, sample: object, is_rejection: Callable[[str], bool]) -> LabelRow:
    if not isinstance(sample, dict):
        return LabelRow(number, (), problem="no sample")
    names = tuple(str(sample[key]) for key in ("image_id", "filepath") if sample.get(key))
    tags = [tag for tag in sample.get("tags") or () if isinstance(tag, str) and is_rejection(tag)]
    fields = {name: value for name, value in sample.items() if isinstance(value, dict) and _is_classification(value)}
    field = next((fields[name] for name in ("ground_truth", "label") if name in fields), next(iter(fields.values()), {}))
    return LabelRow(number, names, tuple(tags[:1] or dict.fromkeys(_labels(field))))


def _is_classification(value: Mapping[str, Any]) -> bool:
    return value.get("_cls") in ("Classification", "Classifications")


def _labels(field: Mapping[str, Any]) -> Iterator[str]:
    for item in field.get("classifications") or [field]:
        yield from names_in(item.get("label") if isinstance(item, dict) else None)
