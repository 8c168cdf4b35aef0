"""What guards a run's folder: one process at a time, no other run of its name, why it was given up, a full disk in one line."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from filelock import FileLock, Timeout

from fototeca.core.console import notify
from fototeca.core.errors import EXIT_OUTSIDE, FototecaError
from fototeca.core.files import write_text
from fototeca.core.workspace import Workspace
from fototeca.train.errors import TrainingAborted
from fototeca.train.runs.registry import STOPPED, Run, read_run


@contextmanager
def giving_up_noted(run: Run) -> Iterator[None]:
    """Keep the reason in the run's folder when it is given up; whoever trains it all the same begins without that mark."""
    (run.folder / STOPPED).unlink(missing_ok=True)
    try:
        yield
    except TrainingAborted as error:
        write_text(run.folder / STOPPED, f"{error}\n")
        raise


@contextmanager
def full_disk_told() -> Iterator[None]:
    """Turn the system's error of a full disk into one line; nothing that was finished is lost."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        where = f" ({error.filename})" if error.filename else ""
        hint = "free some space and give the command again: it goes on where it was"
        raise FototecaError(f"the disk is full{where}", hint, EXIT_OUTSIDE) from None


@contextmanager
def held(workspace: Workspace, name: str) -> Iterator[None]:
    """Hold a run or a search: another process at it waits here, and then finds it finished or goes on with it."""
    folder = workspace.cache / "locks"  # not in the run's own folder, which --no-resume removes
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / name)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        notify(f"{name} is being trained by another process: waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def check_same(workspace: Workspace, run: Run, identity: Mapping[str, Any]) -> None:
    """FototecaError when the run's folder holds another run, whose settings happen to give the same name."""
    if not (run.folder / "config.json").is_file():
        return
    there = read_run(workspace, run.id).config
    wrong = [name for name, value in json.loads(json.dumps(identity)).items() if there.get(name) != value]
    if wrong:
        raise FototecaError(
            f"run {run.id} is there already with other settings ({', '.join(sorted(wrong))})",
            f"use another --seed, or move {run.folder} away",
        )
