"""One queue per host in front of a shared thread pool, so that a slow host does not occupy every thread."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

_T = TypeVar("_T")


class HostQueues:
    """Submit tasks to a thread pool with a limit of running tasks per host."""

    def __init__(self, pool: ThreadPoolExecutor, per_host: int) -> None:
        """`per_host`: most threads that one host may occupy."""
        self._pool, self._per_host = pool, per_host
        self._queues: dict[str, deque[Callable[[], None]]] = {}
        self._running: dict[str, int] = {}
        self._lock = threading.Lock()

    def submit(self, host: str, task: Callable[[], _T]) -> Future[_T]:
        """Queue `task`; it starts when a thread is free and `host` is below its limit."""
        future: Future[_T] = Future()

        def run() -> None:
            try:
                future.set_result(task())
            except BaseException as error:  # raised again where the result is read
                future.set_exception(error)

        with self._lock:
            self._queues.setdefault(host, deque()).append(run)
            self._start_next(host)
        return future

    def _start_next(self, host: str) -> None:
        """Hand the host's next task to the pool if its limit allows. The caller holds the lock."""
        if self._queues[host] and self._running.get(host, 0) < self._per_host:
            self._running[host] = self._running.get(host, 0) + 1
            self._pool.submit(self._run, host, self._queues[host].popleft())

    def _run(self, host: str, run: Callable[[], None]) -> None:
        run()
        with self._lock, suppress(RuntimeError):  # the pool was shut down: start nothing more
            self._running[host] -= 1
            self._start_next(host)
