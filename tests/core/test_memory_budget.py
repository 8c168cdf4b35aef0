"""Memory budgets shared by threads."""

from __future__ import annotations

import threading
from collections.abc import Callable

from fototeca.core.memory_budget import MemoryBudget


def start(target: Callable[[], None]) -> threading.Thread:
    """Return a started daemon thread."""
    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    return thread


def test_reserving_waits_until_enough_is_free() -> None:
    """A reservation that does not fit beside the others starts when one is released."""
    budget, reserved = MemoryBudget(100), threading.Event()

    def reserve() -> None:
        with budget.reserve(60):
            reserved.set()

    with budget.reserve(30), budget.reserve(20):
        thread = start(reserve)
        assert not reserved.wait(0.05)
    assert reserved.wait(5)
    thread.join()


def test_more_than_the_capacity_is_reserved_alone() -> None:
    """An amount above the capacity takes all of it."""
    budget, reserved = MemoryBudget(100), threading.Event()

    def reserve() -> None:
        with budget.reserve(1):
            reserved.set()

    with budget.reserve(5000) as lease:
        assert lease.amount == 5000
        thread = start(reserve)
        assert not reserved.wait(0.05)
    assert reserved.wait(5)
    thread.join()


def test_one_lease_overflows_at_a_time() -> None:
    """A second lease that needs more than it reserved waits for the first; overflowing twice is once."""
    budget, overflowing = MemoryBudget(100), threading.Event()

    def overflow() -> None:
        with budget.reserve(10) as lease:
            lease.overflow()
            overflowing.set()

    with budget.reserve(10) as lease:
        lease.overflow()
        lease.overflow()
        thread = start(overflow)
        assert not overflowing.wait(0.05)
    assert overflowing.wait(5)
    thread.join()
