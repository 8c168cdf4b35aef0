"""What took long to find out about a run, kept until the run or the question changes."""

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
    """What a file of JSON holds; None when it is not there, or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def cached_json(workspace: Workspace, run: Run, name: str, question: Any, make: Callable[[], Any]) -> Any:  # noqa: ANN401  (JSON)
    """What `make` returns (JSON values), from `data/cache/analysis/RUN/` if it was found out before.

    `question`: JSON values that `make` depends on besides the run's weights: images, method, settings.
    """
    asked = json.dumps([installed_version("fototeca"), run.digest, question], sort_keys=True)
    path = workspace.cache / "analysis" / run.id / f"{name}-{hashlib.sha256(asked.encode()).hexdigest()[:16]}.json"
    if (stored := read_json_or_none(path)) is not None:
        return stored
    found = make()
    write_text(path, json.dumps(found, ensure_ascii=False) + "\n")
    return found
