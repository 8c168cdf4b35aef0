"""Typed results and what `--json` prints of them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fototeca.core.results import Result


@dataclass(frozen=True)
class Inner(Result):
    """A nested result."""

    share: float


@dataclass(frozen=True)
class Outer(Result):
    """One field per kind of value."""

    path: Path
    counts: dict[str, int]
    scores: tuple[Inner, ...]
    names: frozenset[str] = frozenset({"b", "a"})
    matrix: object = field(default_factory=lambda: np.eye(2))
    mean: object = np.float32(0.5)


def test_to_json_keeps_field_order_and_converts_every_kind() -> None:
    """Nested results, mappings, sets, paths and arrays become JSON types; the order is that of the fields."""
    document = Outer(Path("a/b"), {"cat": 2}, (Inner(0.25),)).to_json()
    assert list(document) == ["path", "counts", "scores", "names", "matrix", "mean"]
    assert json.loads(json.dumps(document)) == {
        "path": "a/b",
        "counts": {"cat": 2},
        "scores": [{"share": 0.25}],
        "names": ["a", "b"],
        "matrix": [[1.0, 0.0], [0.0, 1.0]],
        "mean": 0.5,
    }
