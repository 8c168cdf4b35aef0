"""Limits of local servers: sizes, times, and rates of requests."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True)
class WebLimits:
    """Limits of a local server.

    Attributes:
        max_body: bytes of a request's body.
        body_seconds: time in which a body must arrive completely.
        requests: answered requests at one time.
        per_second: requests with the cookie, on average; ten times as many at once.
        refused_per_second: refused requests that get an explanation, on average; ten times as many at once.
    """

    max_body: int = 4_000_000
    body_seconds: float = 20.0
    requests: int = 64
    per_second: float = 200.0
    refused_per_second: float = 5.0


class Bucket:
    """Allows `rate` events per second on average, and ten seconds' worth at once."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.level = self.size = 10 * rate
        self.time = time.monotonic()

    def take(self) -> bool:
        """Count an event; return False if there were too many."""
        now = time.monotonic()
        self.level = min(self.size, self.level + (now - self.time) * self.rate)
        self.time = now
        if self.level < 1:
            return False
        self.level -= 1
        return True
