"""Threads that look at images."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from threadpoolctl import threadpool_limits

from fototeca.core.memory_budget import MemoryBudget
from fototeca.vision.memory import give_back_memory, keep_freed_memory

LARGE = 12_000_000
"""Pixels; before an image with more, and after it, memory that is kept but not used is given back to the system."""


@contextmanager
def reserve_pixels(budget: MemoryBudget, pixels: int) -> Iterator[None]:
    """Hold `pixels` of a budget of decoded pixels in the block: a few kilobytes can hold an image of hundreds of megabytes.

    Around an image of more than `LARGE` pixels, memory that was freed but kept is returned to the system.
    """
    with budget.reserve(pixels):
        if pixels > LARGE:
            give_back_memory()
        try:
            yield
        finally:
            if pixels > LARGE:
                give_back_memory()


@contextmanager
def image_threads(workers: int) -> Iterator[ThreadPoolExecutor]:
    """A pool of threads in which every matrix product uses one thread, and freed memory stays at hand.

    The products of hashes are small: spread over threads of their own, which spin while they wait for one another, they
    took ten times as long beside busy neighbours (bench/collect.py). Images of a megabyte and more were asked for anew and
    zeroed by the system each time: up to 1.3 ms of 3.7 an image (bench/ingest.py).
    """
    keep_freed_memory()
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(workers) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # who stops does not wait for what has not begun
            raise


@contextmanager
def single_thread() -> Iterator[None]:
    """Small products of torch, numpy and scikit-learn in one thread each, for the same reason: a linear head fitted seven
    times as fast beside busy neighbours."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)
