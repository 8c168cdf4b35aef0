"""Per-host concurrency, rate limits, Retry-After and circuit breaker; opt-outs by X-Robots-Tag."""

from __future__ import annotations

import email.utils
import random
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from fototeca.collect.http.urls import host_key

MAX_FAILURES = 8
"""Consecutive failures after which a host is not requested again in this run."""

RATE = 20.0
"""Requests per second to one host, on average."""

LOOPBACK_RATE = 1e6
"""Requests per second to a server on this machine, which needs no protection."""

BURST = 40.0
"""Requests that may start at once after a pause."""

MAX_CRAWL_DELAY = 30.0
"""Seconds between requests; a longer Crawl-delay is reduced to this."""

MAX_CONCURRENCY = {"upload.wikimedia.org": 2, "commons.wikimedia.org": 1}
"""Hosts with fewer simultaneous requests than `per_host` may allow (Wikimedia's robot policy)."""

OPT_OUT = frozenset({"noai", "noimageai", "noindex", "noimageindex", "none"})
"""Rules of X-Robots-Tag that forbid the use of an image."""

_RULES_WITH_VALUE = frozenset({"max-snippet", "max-image-preview", "max-video-preview", "unavailable_after"})
"""Rules of X-Robots-Tag followed by a colon and a value; before any other colon stands the name of an agent."""

_AGENT = re.compile(r"\*|[a-z][\w.-]*")
"""The name of an agent. The second half of a date, whose comma looks like a separator of rules, does not match."""

MAX_WAIT = 120.0
"""Seconds; a host that requests a longer pause is not requested again in this run."""


def parse_retry_after(value: str | None) -> float | None:
    """Return the seconds of a Retry-After header, given as seconds or as a date; None if absent or malformed."""
    if not value:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except (TypeError, ValueError, OverflowError):
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max((moment - datetime.now(UTC)).total_seconds(), 0.0)


def compute_backoff(retry_after: float | None, attempt: int) -> float:
    """Return the seconds to wait after attempt number `attempt` (from 0).

    Retry-After if there is one, else exponential backoff with jitter. Callers give up where it exceeds `MAX_WAIT`.
    """
    return retry_after if retry_after is not None else 0.5 * 2**attempt * random.uniform(0.5, 1.5)


def opts_out(tags: list[str]) -> bool:
    """Return True if X-Robots-Tag headers forbid the use for all agents or for ours."""
    for tag in tags:
        applies = True
        for part in tag.lower().split(","):
            name, colon, rest = (piece.strip() for piece in part.partition(":"))
            if colon and (name in _RULES_WITH_VALUE or not _AGENT.fullmatch(name)):
                continue
            if colon:
                applies = name in ("fototeca", "*", "otherbots")
            if applies and (rest if colon else name) in OPT_OUT:
                return True
    return False


@dataclass
class Host:
    """Limits and state of one host, for use from many threads."""

    slots: threading.Semaphore
    lock: threading.Lock = field(default_factory=threading.Lock)
    rate: float = RATE
    burst: float = BURST
    tokens: float = BURST
    """Token bucket: requests that may start now."""

    refilled_at: float = field(default_factory=time.monotonic)
    resume_at: float = 0.0
    """Time (of `time.monotonic`) before which no request starts."""

    failures: int = 0
    is_abandoned: bool = False
    """The host requested a pause longer than `MAX_WAIT`."""

    @property
    def is_down(self) -> bool:
        """Return True if the host is not to be requested again in this run."""
        return self.is_abandoned or self.failures >= MAX_FAILURES

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Wait for one of the host's slots and for its rate limit, and hold the slot in the block."""
        with self.slots:
            while (pause := self._take_token()) > 0:  # another thread may have extended the pause meanwhile
                time.sleep(pause)
            yield

    def _take_token(self) -> float:
        """Take a token and return 0, or return the seconds until one may be available."""
        with self.lock:
            moment = time.monotonic()
            if moment < self.resume_at:
                return self.resume_at - moment
            self.tokens = min(self.burst, self.tokens + (moment - self.refilled_at) * self.rate)
            self.refilled_at = moment
            if self.tokens < 1.0:
                return (1.0 - self.tokens) / self.rate
            self.tokens -= 1.0
            return 0.0

    def set_delay(self, seconds: float, *, after_request: bool = True) -> None:
        """Leave `seconds` between requests, as a Crawl-delay or the terms of an API demand.

        Args:
            seconds: 0 changes nothing.
            after_request: a request was just made, so the next one waits too.
        """
        if seconds > 0:
            with self.lock:
                self.rate = min(self.rate, 1.0 / min(seconds, MAX_CRAWL_DELAY))
                self.burst = 1.0
                self.tokens = 0.0 if after_request else min(self.tokens, 1.0)

    def pause(self, seconds: float) -> None:
        """Start no request for `seconds`; abandon the host if that exceeds `MAX_WAIT`."""
        with self.lock:
            if seconds > MAX_WAIT:
                self.is_abandoned = True
            else:
                self.resume_at = max(self.resume_at, time.monotonic() + seconds)

    def record_outcome(self, *, ok: bool) -> None:
        """Count consecutive failures for the circuit breaker."""
        with self.lock:
            self.failures = 0 if ok else self.failures + 1


class Hosts:
    """The state of every host requested so far, by URL."""

    def __init__(self, per_host: int) -> None:
        self.per_host = per_host
        self._hosts: dict[str, Host] = {}
        self._lock = threading.Lock()

    def __getitem__(self, url: str) -> Host:
        """Return the state of a URL's host, created on first use. ValueError for a URL without http(s) host."""
        name = host_key(url)
        with self._lock:
            if name not in self._hosts:
                concurrency = min(self.per_host, MAX_CONCURRENCY.get(name, self.per_host))
                is_loopback = name.partition(":")[0] in ("127.0.0.1", "localhost")
                rate = LOOPBACK_RATE if is_loopback else RATE
                self._hosts[name] = Host(threading.Semaphore(concurrency), rate=rate)
            return self._hosts[name]
