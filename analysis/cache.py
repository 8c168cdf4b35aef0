"""Cache of slow results about a run, valid until the run or the parameters change."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

from fototeca.core.files import write_text
from fototeca.core.workspace import Workspace
from fototeca.train.runs import Run


def read_json_or_none(path: Path) -> Any:  # noqa: ANN401  (JSON)
    """Return the content of a JSON file; None if it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def cached_json(workspace: Workspace, run: Run, name: str, parameters: Any, make: Callable[[], Any]) -> Any:  # noqa: ANN401  (JSON)
    """Return what `make` returns (JSON values), from `data/cache/analysis/RUN/` if it was computed before.

    `parameters`: JSON values that `make` depends on besides the run's weights: images, method, settings.
    """
    key = json.dumps([installed_version("fototeca"), run.digest, parameters], sort_keys=True)
    path = workspace.cache / "analysis" / run.id / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"
    if (stored := read_json_or_none(path)) is not None:
        return stored
    result = make()
    write_text(path, json.dumps(result, ensure_ascii=False) + "\n")
    return result
