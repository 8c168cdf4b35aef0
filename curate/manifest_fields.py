"""The form of a version's files: what each field of `vNNN.csv` and `vNNN.json` may hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, get_args

from fototeca.collect.store import is_store_path
from fototeca.core.kinds import (
    GROUP,
    IMAGE_ID,
    LABEL,
    NAME,
    PHASH,
    SHA256,
    SIDE,
    SPLIT,
    TIME,
    VERSION,
    Choice,
    Flag,
    Integer,
    Kind,
    ListOf,
    MapOf,
    Number,
    Optional,
    Problem,
    Record,
    Text,
)
from fototeca.core.settings import LABEL_SEPARATOR, Task

SCHEMA = 2
"""Version of the files beside a manifest. In schema 1, decisions have the columns image_id, time, who, old, new, why."""

COLUMNS: dict[str, Kind] = {
    "image_id": IMAGE_ID,
    "path": Text(max_length=200),
    "label": LABEL,
    "split": SPLIT,
    "group": GROUP,
    "width": SIDE,
    "height": SIDE,
    "phash": PHASH,
    **dict.fromkeys(("source", "image_url", "page_url", "author", "license"), Text()),
    "reviewed": Flag(),
}
"""The columns of `vNNN.csv`, in order."""

_SPLITS = ListOf(SPLIT, unique=True)
_COUNTS = Record(dict.fromkeys(SPLIT.values, Integer()))
_SHARE = Number(0, 1)

METADATA_FIELDS: dict[str, Kind] = {
    "version": VERSION,
    "dataset": NAME,
    "task": Choice(get_args(Task)),
    "categories": ListOf(NAME, low=1, unique=True),
    "sha256": SHA256,
    "rows": Integer(),
    "splits": _COUNTS,
    "labels": MapOf(NAME, _COUNTS),
    "parent": Optional(VERSION),
    "seed": Integer(),
    "ratios": ListOf(Number(0, 100), low=3, high=3),
    "threshold": Optional(Integer(0, 64)),
    "tool": Text(max_length=200),
    "created": TIME,
    "note": Text(),
    "decisions": Integer(),
    "decisions_sha256": SHA256,
    "last_decision": Integer(),
    "moved": ListOf(Record({"image_id": IMAGE_ID, "from": SPLIT, "to": SPLIT, "group": GROUP})),
    "unsearched": Integer(),
    "uneven": ListOf(Record({"label": Text(), "split": SPLIT, "share": _SHARE, "wanted": _SHARE, "reason": Text()})),
}
"""Required keys of the JSON besides `schema`."""

OPTIONAL_METADATA_FIELDS: dict[str, Kind] = {
    "decode_version": Integer(1, 1000),
    "row_splits": Text("[012]*", "a digit 0, 1 or 2 per row", 10**9),
    "source_splits": Text("[012-]*", "0, 1, 2 or - per row", 10**9),
    "leaks": ListOf(
        Record({"group": GROUP, "splits": _SPLITS, "split": SPLIT, "frozen": Flag(), "image_ids": ListOf(IMAGE_ID, low=1)})
    ),
    "missing_splits": MapOf(NAME, _SPLITS),
    "group_by": Choice(("", "scene")),
}
"""Keys that not every version has: see `encode_splits` and the fields of `curate.manifest.Manifest`."""

FIELDS_IF_SET = ("source_splits", "leaks", "missing_splits", "group_by")
"""Keys that are written only where they have a value."""

METADATA = Record({"schema": Integer(1, SCHEMA), **METADATA_FIELDS}, OPTIONAL_METADATA_FIELDS)
"""The form of `vNNN.json`."""


class RowCheck:
    """Check the rows of one version, in their order, for what a single cell does not show."""

    def __init__(self, categories: Sequence[str], task: str) -> None:
        self._categories, self._is_single = frozenset(categories), task == "single"
        self._last_id = ""

    def __call__(self, row: dict[str, Any]) -> Iterator[Problem]:
        """Yield what is wrong with a row whose cells are of their kinds: its order, its path, its label."""
        image_id, label = row["image_id"], row["label"]
        if image_id <= self._last_id:
            yield Problem("image_id", image_id, "greater than that of the row before: rows are sorted, each image once")
        self._last_id = max(self._last_id, image_id)
        if not is_store_path(image_id, row["path"]):
            yield Problem("path", row["path"], f"the path of the image in the store, data/images/{image_id[:2]}/{image_id[:12]}…")
        labels = label.split(LABEL_SEPARATOR) if label else []
        if unknown := [name for name in labels if name not in self._categories]:
            yield Problem("label", unknown[0], "a category of the version")
        elif self._is_single and len(labels) != 1:
            yield Problem("label", label, "one category")
