"""Protection of a run's folder: a lock between processes, a check of its settings, a record of an abort, full-disk errors."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from fototeca.core.errors import ExternalError, FototecaError
from fototeca.core.files import write_text
from fototeca.core.locks import lock_name
from fototeca.core.workspace import Workspace
from fototeca.train.errors import TrainingAborted
from fototeca.train.runs.registry import ABORT_FILE, Run, read_run

UNRECORDED = {"decode_version": 1}
"""Values of settings that older `config.json` files do not have."""


@contextmanager
def record_abort(run: Run) -> Iterator[None]:
    """Write the reason of TrainingAborted into the run's folder; a new attempt first removes that of the last one."""
    (run.folder / ABORT_FILE).unlink(missing_ok=True)
    try:
        yield
    except TrainingAborted as error:
        write_text(run.folder / ABORT_FILE, f"{error}\n")
        raise


@contextmanager
def full_disk_as_error() -> Iterator[None]:
    """Turn the system's error of a full disk into a FototecaError; finished work remains valid."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        where = f" ({error.filename})" if error.filename else ""
        raise ExternalError(f"the disk is full{where}", "free some space and run the same command again to resume") from None


@contextmanager
def lock_run(workspace: Workspace, name: str) -> Iterator[None]:
    """Lock a run or a search; another process that trains it waits here, and then resumes it or finds it finished."""
    with lock_name(workspace, name, f"{name} is being trained by another process: waiting for it"):
        yield


def check_same_settings(workspace: Workspace, run: Run, identity: Mapping[str, Any]) -> None:
    """FototecaError if the run's folder has a `config.json` of other settings whose short digest is the same."""
    if not (run.folder / "config.json").is_file():
        return
    recorded = {**UNRECORDED, **read_run(workspace, run.id).config}
    different = [name for name, value in json.loads(json.dumps(identity)).items() if recorded.get(name) != value]
    if different:
        raise FototecaError(
            f"run {run.id} exists with other settings ({', '.join(sorted(different))})",
            f"use another --seed, or move {run.folder} to another place",
        )
