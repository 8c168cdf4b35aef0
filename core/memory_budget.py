"""A bound on the memory that threads hold together, in any unit (bytes, pixels)."""

from __future__ import annotations

import threading
from types import TracebackType


class MemoryBudget:
    """An amount shared by threads. Reserving waits until enough of it is free."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._free = capacity
        self._changed = threading.Condition()
        self._overflow = threading.Semaphore()

    def reserve(self, amount: int) -> MemoryLease:
        """Wait until `amount` is free and hold it until the lease is released.

        More than the capacity reserves all of it, so that the holder is alone.
        """
        return MemoryLease(self, amount)


class MemoryLease:
    """A reserved part of a budget; a context manager that releases it at the end of the block."""

    def __init__(self, budget: MemoryBudget, amount: int) -> None:
        self.amount = amount
        self._budget = budget
        self._reserved = min(amount, budget.capacity)
        self._overflows = False
        with budget._changed:
            budget._changed.wait_for(lambda: budget._free >= self._reserved)
            budget._free -= self._reserved

    def overflow(self) -> None:
        """Wait until no other lease overflows; from then on this one may hold more than it reserved."""
        if not self._overflows:
            self._budget._overflow.acquire()
            self._overflows = True

    def release(self) -> None:
        """Return the amount to the budget. Call it once."""
        if self._overflows:
            self._budget._overflow.release()
        with self._budget._changed:
            self._budget._free += self._reserved
            self._budget._changed.notify_all()

    def __enter__(self) -> MemoryLease:
        """Return the lease."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Release the lease."""
        self.release()
