"""Reading fields of JSON responses: a missing field or one of another type gives nothing, or a clear error."""

from __future__ import annotations

from typing import Any

from fototeca.collect.api.client import ServiceClient

_MAX_TEXT = 4000
"""Characters of a text; the rest is cut off."""


def get_path(value: Any, *path: str | int) -> Any:  # noqa: ANN401 - JSON
    """Return the value at a path of keys and positions, or None."""
    for step in path:
        if isinstance(value, dict) and isinstance(step, str):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            return None
    return value


def get_text(value: Any, *path: str | int) -> str:  # noqa: ANN401 - JSON
    """Return the text or number at a path as one line; empty if there is none."""
    field = get_path(value, *path)
    is_text = isinstance(field, str | int | float) and not isinstance(field, bool)
    return " ".join(str(field).split())[:_MAX_TEXT] if is_text else ""


def get_int(value: Any, *path: str | int) -> int | None:  # noqa: ANN401 - JSON
    """Return the non-negative number at a path as an integer, or None."""
    field = get_path(value, *path)
    return int(field) if isinstance(field, int | float) and not isinstance(field, bool) and 0 <= field < 1e15 else None


def get_records(value: Any, *path: str | int) -> list[dict[str, Any]]:  # noqa: ANN401 - JSON
    """Return the objects in the list at a path; empty if there is no list."""
    field = get_path(value, *path)
    return [record for record in field if isinstance(record, dict)] if isinstance(field, list) else []


def require_records(client: ServiceClient, value: Any, *path: str | int) -> list[dict[str, Any]]:  # noqa: ANN401 - JSON
    """Return the list of objects at a path. FototecaError (exit 4) if there is none."""
    field = get_path(value, *path)
    if not isinstance(field, list) or not all(isinstance(record, dict) for record in field):
        raise client.unexpected_response(f"no list of records{' at ' + '.'.join(map(str, path)) if path else ''}")
    return field


def require_int(client: ServiceClient, value: Any, *path: str | int) -> int:  # noqa: ANN401 - JSON
    """Return the number at a path as an integer. FototecaError (exit 4) if there is none."""
    field = get_int(value, *path)
    if field is None:
        raise client.unexpected_response(f"no number at {'.'.join(map(str, path))}")
    return field


def require_text(value: Any, *path: str | int) -> str:  # noqa: ANN401 - JSON
    """Return the text at a path. KeyError if there is none."""
    if not (field := get_text(value, *path)):
        raise KeyError(".".join(map(str, path)))
    return field


def require_first_text(value: Any, names: list[str]) -> str:  # noqa: ANN401 - JSON
    """Return the text of the first of several fields that has one. KeyError names the first field if none has."""
    for name in names:
        if field := get_text(value, name):
            return field
    raise KeyError(names[0])
