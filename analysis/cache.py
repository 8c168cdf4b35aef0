"""Cache of slow results about a run, valid until the run or the parameters change."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

from fototeca.core.documents import parse_json, read_regular_file
from fototeca.core.files import write_text
from fototeca.core.kinds import Kind, Number, Optional, Text
from fototeca.core.paths import inside
from fototeca.core.workspace import Workspace
from fototeca.train.runs import Run

NUMBER = Optional(Number())
"""A figure, or null where there is none."""

DATA_URI = Text(r"data:image/webp;base64,[A-Za-z0-9+/]+={0,2}", "a WebP image as a data URI", 50_000_000)


def read_json_or_none(path: Path, kind: Kind) -> Any:  # noqa: ANN401  (of the kind)
    """Return the content of a JSON file; None if it is missing, damaged, or not of this kind."""
    try:
        document = parse_json(read_regular_file(path))
    except (OSError, ValueError):
        return None
    return document if kind.accepts(document) else None


def cached_json(workspace: Workspace, run: Run, name: str, kind: Kind, parameters: Any, make: Callable[[], Any]) -> Any:  # noqa: ANN401  (JSON)
    """Return what `make` returns (JSON values), from `data/cache/analysis/RUN/` if it was computed before.

    `kind`: form of the result; a file of another form counts as missing.
    `parameters`: JSON values that `make` depends on besides the run's weights: images, method, settings.
    """
    key = json.dumps([installed_version("fototeca"), run.digest, parameters], sort_keys=True)
    path = inside(workspace.cache / "analysis" / run.id, f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.json")
    if (stored := read_json_or_none(path, kind)) is not None:
        return stored
    result = make()
    write_text(path, json.dumps(result, ensure_ascii=False) + "\n")
    return result
