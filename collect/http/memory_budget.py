"""Memory for bodies: what is being received, and what waits to be looked at, is bounded however many come at once."""

from __future__ import annotations

import threading

_ALL = 64_000_000
"""Bytes of bodies whose length was announced that may be held at once; a longer one is held alone."""

_UNTOLD = 1_000_000
"""Bytes that a body of no announced length may have before it waits for the one place for long ones."""


class MemoryBudget:
    """Shared by the threads of one downloader."""

    def __init__(self) -> None:
        self.left = _ALL
        self.changed = threading.Condition()
        self.long = threading.Semaphore()


class MemoryLease:
    """What one body takes of the room."""

    def __init__(self, room: MemoryBudget, announced: int | None) -> None:
        """Wait until there is room for so many bytes."""
        self._room, self._long = room, False
        self.size = _UNTOLD if announced is None else announced
        self._taken = min(self.size, _ALL)
        with room.changed:
            room.changed.wait_for(lambda: room.left >= self._taken)
            room.left -= self._taken

    def grow(self) -> None:
        """The body is longer than was known: wait until it is the only such one."""
        if not self._long:
            self._room.long.acquire()
            self._long = True

    def give_back(self) -> None:
        """The body is gone."""
        if self._long:
            self._room.long.release()
        with self._room.changed:
            self._room.left += self._taken
            self._room.changed.notify_all()
