"""COCO JSON: the categories of each image's annotations (cocodataset.org/#format-data)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from fototeca.core.label_rows import LabelRow


def is_coco(document: object) -> bool:
    """Return True for a mapping with images and annotations."""
    return (
        isinstance(document, dict) and isinstance(document.get("images"), list) and isinstance(document.get("annotations"), list)
    )


def read_coco(document: Mapping[str, Any]) -> list[LabelRow]:
    """Return one row for each image, and one for each annotation of an unknown image or category; lines are their numbers."""
    categories = {item.get("id"): str(item.get("name")) for item in document.get("categories") or () if isinstance(item, dict)}
    classes: dict[object, list[str]] = defaultdict(list)
    images = [item for item in document["images"] if isinstance(item, dict)]
    known = {item.get("id") for item in images}
    rows = []
    for number, item in enumerate(document["annotations"], 1):
        if not isinstance(item, dict) or item.get("image_id") not in known or item.get("category_id") not in categories:
            rows.append(LabelRow(number, (), problem="annotation of an unknown image or category"))
        else:
            classes[item["image_id"]].append(categories[item["category_id"]])
    for number, item in enumerate(images, 1):
        names = tuple(str(item[key]) for key in ("sha256", "file_name") if item.get(key))
        rows.append(LabelRow(number, names, tuple(dict.fromkeys(classes[item.get("id")]))))
    return rows
