"""Keys of the JSON of a version, and the types of their values."""

from __future__ import annotations

from typing import Any, get_args

from fototeca.core.settings import Task

METADATA_FIELDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("version", "dataset", "task", "sha256", "tool", "created", "note", "decisions_sha256"), (str,)),
    **dict.fromkeys(("rows", "seed", "decisions", "last_decision", "unsearched"), (int,)),
    **dict.fromkeys(("categories", "ratios", "moved", "uneven"), (list,)),
    **dict.fromkeys(("splits", "labels"), (dict,)),
    "parent": (str, type(None)),
    "threshold": (int, type(None)),
}
"""Required keys of the JSON besides `schema`, with the types of their values."""

OPTIONAL_METADATA_FIELDS: dict[str, tuple[type, ...]] = {
    "decode_version": (int,),
    "row_splits": (str,),
    "source_splits": (str,),
    "leaks": (list,),
    "missing_splits": (dict,),
    "group_by": (str,),
}
"""Keys that not every version has: see `encode_splits` and the fields of `curate.manifest.Manifest`."""

FIELDS_IF_SET = ("source_splits", "leaks", "missing_splits", "group_by")
"""Keys that are written only where they have a value."""


def find_invalid(metadata: dict[str, Any]) -> str:
    """Return the first key whose value has the wrong type, or an empty string. No required key is missing."""
    items: dict[str, tuple[type, ...]] = {
        "categories": (str,),
        "ratios": (int, float),
        "moved": (dict,),
        "uneven": (dict,),
        "leaks": (dict,),
    }
    optional = {name: types for name, types in OPTIONAL_METADATA_FIELDS.items() if name in metadata}
    for name, types in (METADATA_FIELDS | optional).items():
        values = metadata[name] if name in items and isinstance(metadata[name], list) else []
        if not isinstance(metadata[name], types) or not all(isinstance(value, items[name]) for value in values):
            return name
    checks = {"task": metadata["task"] in get_args(Task), "ratios": len(metadata["ratios"]) == 3}
    return next((name for name, valid in checks.items() if not valid), "")
