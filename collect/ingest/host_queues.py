"""Threads shared among hosts: many addresses of a slow one in a row leave room for whatever comes behind them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

_T = TypeVar("_T")


class HostQueues:
    """A queue for each host before one pool of threads."""

    def __init__(self, pool: ThreadPoolExecutor, width: int) -> None:
        """`width`: threads that one host has at most."""
        self._pool, self._width = pool, width
        self._queues: dict[str, deque[Callable[[], None]]] = {}
        self._busy: dict[str, int] = {}
        self._lock = threading.Lock()

    def submit(self, host: str, work: Callable[[], _T]) -> Future[_T]:
        """The result to come of `work`, which begins when a thread is free and its host has not its share of them."""
        future: Future[_T] = Future()

        def run() -> None:
            try:
                future.set_result(work())
            except BaseException as error:  # it concerns whoever asks for the result
                future.set_exception(error)

        with self._lock:
            self._queues.setdefault(host, deque()).append(run)
            self._begin(host)
        return future

    def _begin(self, host: str) -> None:
        """Let the host's next one into the pool, if there is one and room for it. The lock is held."""
        if self._queues[host] and self._busy.get(host, 0) < self._width:
            self._busy[host] = self._busy.get(host, 0) + 1
            self._pool.submit(self._drive, host, self._queues[host].popleft())

    def _drive(self, host: str, run: Callable[[], None]) -> None:
        run()
        with self._lock, suppress(RuntimeError):  # of a pool that was shut: who stops begins nothing more
            self._busy[host] -= 1
            self._begin(host)
