"""Thread pools for image processing, and the pixels they may hold."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from threadpoolctl import threadpool_limits

from fototeca.core.memory_budget import MemoryBudget
from fototeca.vision.memory import keep_freed_memory, release_memory

LARGE = 12_000_000
"""Pixels; memory kept by the allocator is released before and after a larger image."""


@contextmanager
def reserve_pixels(budget: MemoryBudget, pixels: int) -> Iterator[None]:
    """Reserve `pixels` of a budget of decoded pixels inside the block; a file of kilobytes can decode to hundreds of megabytes.

    Memory kept by the allocator is released before and after an image of more than `LARGE` pixels.
    """
    with budget.reserve(pixels):
        if pixels > LARGE:
            release_memory()
        try:
            yield
        finally:
            if pixels > LARGE:
                release_memory()


@contextmanager
def image_threads(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Create a pool of threads with single-threaded BLAS and freed memory kept in the process.

    The matrix products of hashes are small; with BLAS threads, which spin while they wait, they took ten times as long on a
    busy machine (bench/collect.py). Keeping freed memory saves up to 1.3 of 3.7 ms per image (bench/ingest.py).
    """
    keep_freed_memory()
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(workers) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # do not wait for tasks that have not started
            raise


@contextmanager
def single_thread() -> Iterator[None]:
    """Run torch, NumPy and scikit-learn with one thread each inside the block.

    For small products: a linear head is fitted seven times as fast on a busy machine.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)
