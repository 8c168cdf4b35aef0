"""Locks between processes that work on one workspace."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fototeca.core.console import notify
from fototeca.core.workspace import Workspace


@contextmanager
def lock_name(workspace: Workspace, name: str, waiting: str) -> Iterator[None]:
    """Hold the lock with a name; another process that asks for it prints `waiting` and waits until this block ends."""
    from filelock import FileLock, Timeout

    folder = workspace.cache / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / name)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        notify(waiting)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
