"""Plans of sweeps and spaces of searches: TOML files and their checks."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from fototeca.core.errors import FototecaError
from fototeca.train.config import TrainConfig, check_value, setting_type
from fototeca.vision.backbones import check_model

Point = dict[str, Any]
"""Settings of one run, by name; in a space, also lists of choices and ranges."""


def describe(point: Point) -> str:
    """Return a point as one line: model, regime, and the other settings as name=value."""
    extra = [f"{name}={value}" for name, value in point.items() if name not in ("model", "regime")]
    return " ".join([str(point["model"]), str(point["regime"]), *extra])


def read_plan(path: Path) -> list[Point]:
    """Return the points of a TOML plan: `[[run]]` tables extend the keys above them; a list in either makes a grid.

    FototecaError for an unreadable file and for unknown or invalid settings.
    """
    document = _read_toml(path)
    tables = document.pop("run", [{}])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise FototecaError(f"{path}: run is not a list of tables", "write each run as [[run]], in double brackets")
    return [point for table in tables for point in expand_grid(_check_table(path, {**document, **table}))]


def read_space(path: Path) -> Point:
    """Return the search space of a TOML plan: a list is a choice, a table {low, high, log} a range, other values are fixed.

    FototecaError for an unreadable file and for unknown or invalid settings.
    """
    document = _read_toml(path)
    if "run" in document:
        hint = "write choices as lists, ranges as {low = …, high = …}"
        raise FototecaError(f"{path}: a search cannot have [[run]] tables", hint)
    return _check_table(path, document, allow_ranges=True)


def expand_grid(table: Point) -> Iterator[Point]:
    """Yield every combination of the lists among a table's values."""
    choices = [value if isinstance(value, list) else [value] for value in table.values()]
    for combination in itertools.product(*choices):
        yield dict(zip(table, combination, strict=True))


def _read_toml(path: Path) -> Point:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, RecursionError, tomllib.TOMLDecodeError) as error:
        raise FototecaError(f"{path} cannot be read: {error}", "write TOML: see docs/training.md") from None


def _check_table(path: Path, table: Point, *, allow_ranges: bool = False) -> Point:
    """Return the table if all its settings exist and have valid values."""
    settings = {item.name for item in fields(TrainConfig)} - {"manifest"}
    unknown = table.keys() - settings
    if unknown or not {"model", "regime"} <= table.keys():
        problem = f"unknown setting {sorted(unknown)[0]!r}" if unknown else "a run without model or regime"
        raise FototecaError(f"{path}: {problem}", f"settings are: {', '.join(sorted(settings))}")
    for name, value in table.items():
        _check_setting(path, name, value, allow_ranges=allow_ranges)
    return table


def _check_setting(path: Path, name: str, value: object, *, allow_ranges: bool) -> None:
    if isinstance(value, dict):
        if not allow_ranges:
            raise FototecaError(f"{path}: {name} is a range", "write a list, or search it with --search N")
        if not _is_range(name, value):
            raise FototecaError(f"{path}: {name} is not a valid range", "write it as {low = 1e-5, high = 1e-3, log = true}")
        value = [value["low"], value["high"]]
    if value == []:
        raise FototecaError(f"{path}: {name} is an empty list", "give one value or more, or omit it")
    try:
        for item in value if isinstance(value, list) else [value]:
            checked = check_value(name, item)
            if name == "model":
                check_model(checked)
    except FototecaError as error:
        raise FototecaError(f"{path}: {error.message}", error.hint) from None


def _is_range(name: str, value: Point) -> bool:
    """Return True for {low, high} of a numeric setting with low ≤ high, and low above 0 if `log` is true."""
    if not {"low", "high"} <= value.keys() <= {"low", "high", "log"} or not isinstance(value.get("log", False), bool):
        return False
    kind = setting_type(name)[0]
    types = (int,) if kind is int else (int, float) if kind is float else ()
    low, high = value["low"], value["high"]
    return type(low) in types and type(high) in types and low <= high and (low > 0 or not value.get("log"))
