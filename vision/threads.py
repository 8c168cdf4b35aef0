"""Threads that look at images."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from threadpoolctl import threadpool_limits

from fototeca.vision.memory import give_back_memory, keep_freed_memory

LARGE = 12_000_000
"""Pixels; before an image with more, and after it, memory that is kept but not used is given back to the system."""


class PixelBudget:
    """Pixels that all threads together may hold decoded: a few kilobytes can hold an image of hundreds of megabytes."""

    def __init__(self, pixels: int) -> None:
        self._all = self._left = pixels
        self._changed = threading.Condition()

    @contextmanager
    def share(self, pixels: int) -> Iterator[None]:
        """Wait until so many pixels are free (for all of them, where there are not so many), and hold them in the block."""
        wanted = min(pixels, self._all)
        with self._changed:
            self._changed.wait_for(lambda: self._left >= wanted)
            self._left -= wanted
        try:
            if pixels > LARGE:
                give_back_memory()
            yield
        finally:
            if pixels > LARGE:
                give_back_memory()
            with self._changed:
                self._left += wanted
                self._changed.notify_all()


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
