"""Reading what services answer: no field is taken for granted, and one that is missing or of another type is told."""

from __future__ import annotations

from typing import Any

from fototeca.collect.api.client import Web


def dig(value: Any, *path: str | int) -> Any:  # noqa: ANN401 - whatever the service answers
    """What lies at the end of a path of keys and positions; None where there is nothing."""
    for step in path:
        if isinstance(value, dict) and isinstance(step, str):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            return None
    return value


def text(value: Any, *path: str | int) -> str:  # noqa: ANN401 - whatever the service answers
    """The text at the end of a path, on one line; empty where there is none."""
    found = dig(value, *path)
    return " ".join(str(found).split())[:4000] if isinstance(found, str | int | float) and not isinstance(found, bool) else ""


def count(value: Any, *path: str | int) -> int | None:  # noqa: ANN401 - whatever the service answers
    """The whole number at the end of a path, or None."""
    found = dig(value, *path)
    return int(found) if isinstance(found, int | float) and not isinstance(found, bool) and 0 <= found < 1e15 else None


def entries(value: Any, *path: str | int) -> list[dict[str, Any]]:  # noqa: ANN401 - whatever the service answers
    """The records in the list at the end of a path; none where there is no list."""
    found = dig(value, *path)
    return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []


def rows(web: Web, value: Any, *path: str | int) -> list[dict[str, Any]]:  # noqa: ANN401 - whatever the service answers
    """The list of records at the end of a path. FototecaError (exit 4) when there is none: the interface has changed."""
    found = dig(value, *path)
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise web.changed(f"no list of records{' at ' + '.'.join(map(str, path)) if path else ''}")
    return found


def number(web: Web, value: Any, *path: str | int) -> int:  # noqa: ANN401 - whatever the service answers
    """The whole number at the end of a path. FototecaError (exit 4) when there is none: the interface has changed."""
    found = count(value, *path)
    if found is None:
        raise web.changed(f"no number at {'.'.join(map(str, path))}")
    return found


def needed(value: Any, *path: str | int) -> str:  # noqa: ANN401 - whatever the service answers
    """The text at the end of a path. KeyError when there is none."""
    if not (found := text(value, *path)):
        raise KeyError(".".join(map(str, path)))
    return found


def first_needed(value: Any, names: list[str]) -> str:  # noqa: ANN401 - whatever the service answers
    """The first of several fields that is there. KeyError names the first when none is."""
    for name in names:
        if found := text(value, name):
            return found
    raise KeyError(names[0])
