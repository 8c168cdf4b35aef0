"""Base class of typed results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import PurePath
from typing import Any


class Result:
    """Base of the frozen dataclasses that functions return; `--json` prints exactly what `to_json` returns.

    Example:
        >>> @dataclass(frozen=True)
        ... class Score(Result):
        ...     correct: int
        >>> Score(3).to_json()
        {'correct': 3}
    """

    def to_json(self) -> dict[str, Any]:
        """Return the fields, in their order, as values that `json.dumps` accepts."""
        return {field.name: json_value(getattr(self, field.name)) for field in fields(self)}  # type: ignore[arg-type]


def json_value(value: object) -> Any:  # noqa: ANN401
    """Return `value` with results, mappings, sequences, paths and array scalars turned into JSON types."""
    if isinstance(value, Result):
        return value.to_json()
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: json_value(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): json_value(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(json_value(item) for item in value)
    if isinstance(value, list | tuple):
        return [json_value(item) for item in value]
    if isinstance(value, PurePath):
        return str(value)
    if hasattr(value, "tolist"):  # numpy and torch
        return value.tolist()
    return value
