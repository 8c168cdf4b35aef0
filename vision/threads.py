"""Threads that look at pictures."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from threadpoolctl import threadpool_limits

from vision.memory import keep_freed_memory


@contextmanager
def picture_threads(workers: int) -> Iterator[ThreadPoolExecutor]:
    """A pool of threads in which every matrix product uses one thread, and freed memory stays at hand.

    The products of hashes are small: spread over threads of their own, which spin while they wait for one another, they
    took ten times as long beside busy neighbours (bench/collect.py). Pictures of a megabyte and more were asked for anew and
    zeroed by the system each time: up to 1.3 ms of 3.7 a picture (bench/ingest.py).
    """
    keep_freed_memory()
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(workers) as pool:
        yield pool


@contextmanager
def one_thread() -> Iterator[None]:
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
