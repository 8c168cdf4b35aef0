"""Thread pools for images: bounded memory and interruption."""

from __future__ import annotations

import threading

import pytest

from fototeca.core.memory_budget import MemoryBudget
from fototeca.vision.threads import image_threads, reserve_pixels


def test_threads_stay_within_the_pixel_budget() -> None:
    """Small images run together; one larger than the budget runs alone."""
    budget, lock = MemoryBudget(100), threading.Lock()
    held: list[int] = []
    most = 0

    def look(pixels: int) -> None:
        nonlocal most
        with reserve_pixels(budget, pixels):
            with lock:
                held.append(min(pixels, 100))
                most = max(most, sum(held))
            threading.Event().wait(0.002)
            with lock:
                held.remove(min(pixels, 100))

    with image_threads(8) as pool:
        list(pool.map(look, [30, 60, 5000, 20, 90, 50] * 6))
    assert most == 100


def test_interrupt_drops_queued_tasks() -> None:
    """Ctrl-C waits for running tasks only."""
    begun: list[int] = []
    first, go = threading.Event(), threading.Event()

    def work(number: int) -> None:
        begun.append(number)
        first.set()
        go.wait(10)

    with pytest.raises(KeyboardInterrupt), image_threads(1) as pool:
        for number in range(50):
            pool.submit(work, number)
        first.wait(10)
        threading.Timer(0.05, go.set).start()
        raise KeyboardInterrupt
    assert begun == [0]
