"""Manners, host by host: how many at once, how often, when to wait, when to stop asking."""

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

BREAK_AFTER = 8
"""Failures in a row after which a host is left alone for the rest of the run."""

RATE = 20.0
"""Requests per second that one host is asked for at most, over time."""

OWN_RATE = 1e6
"""The same for servers on this machine, which there is no need to spare."""

BURST = 40.0
"""Requests that may come at once after a pause."""

LONGEST_DELAY = 30.0
"""Seconds between requests; a Crawl-delay that asks for more is cut to it."""

AT_ONCE = {"upload.wikimedia.org": 2, "commons.wikimedia.org": 1}
"""Hosts that ask for fewer requests at once than people may set (Wikimedia's robot policy)."""

OPT_OUT = frozenset({"noai", "noimageai", "noindex", "noimageindex", "none"})
"""Values of X-Robots-Tag that mean: not for this."""


_VALUED = frozenset({"max-snippet", "max-image-preview", "max-video-preview", "unavailable_after"})
"""Its words that a colon and a value follow, and no agent's rules."""


_AGENT = re.compile(r"\*|[a-z][\w.-]*")
"""A name that rules may follow; in the second half of a date, whose comma looks like that between two rules, there is none."""


LONGEST_WAIT = 120.0
"""Seconds; a host that asks for a longer pause is left alone for the rest of the run."""


def retry_after(value: str | None) -> float | None:
    """Seconds that a Retry-After header asks for, in either form (seconds or a date); None when there is none."""
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


def pause_before(wait: float | None, number: int) -> float:
    """Seconds until the try after try `number` (from 0): as long as the host asks for, else twice as long each time, with jitter.

    Who is asked to wait longer than LONGEST_WAIT does not try again."""
    return wait if wait is not None else 0.5 * 2**number * random.uniform(0.5, 1.5)


def opted_out(tags: list[str]) -> bool:
    """Whether X-Robots-Tag headers forbid the use; what follows another agent's name does not count."""
    for tag in tags:
        for_us = True
        for part in tag.lower().split(","):
            name, colon, rest = (piece.strip() for piece in part.partition(":"))
            if colon and (name in _VALUED or not _AGENT.fullmatch(name)):
                continue
            if colon:
                for_us = name in ("fototeca", "*", "otherbots")
            if for_us and (rest if colon else name) in OPT_OUT:
                return True
    return False


@dataclass
class Host:
    """The state of one host. Guarded by its own lock."""

    slots: threading.Semaphore
    lock: threading.Lock = field(default_factory=threading.Lock)
    rate: float = RATE
    burst: float = BURST
    tokens: float = BURST
    filled: float = field(default_factory=time.monotonic)
    next_at: float = 0.0
    failures: int = 0
    left: bool = False

    @property
    def broken(self) -> bool:
        """It failed so often in a row, or asked for so long a pause, that asking again would be rude."""
        return self.left or self.failures >= BREAK_AFTER

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a free slot and for the host's next moment."""
        with self.slots:
            while (pause := self._claim()) > 0:  # another thread may have been told meanwhile to wait longer
                time.sleep(pause)
            yield

    def _claim(self) -> float:
        """Take a token if the host may be asked, and return 0; else the seconds until it may."""
        with self.lock:
            moment = time.monotonic()
            if moment < self.next_at:
                return self.next_at - moment
            self.tokens = min(self.burst, self.tokens + (moment - self.filled) * self.rate)
            self.filled = moment
            if self.tokens < 1.0:
                return (1.0 - self.tokens) / self.rate
            self.tokens -= 1.0
            return 0.0

    def slow_down(self, delay: float, *, asked: bool = True) -> None:
        """Leave so many seconds between requests, as a Crawl-delay or an interface's terms ask. `asked`: one was just made."""
        if delay > 0:
            with self.lock:
                self.rate = min(self.rate, 1.0 / min(delay, LONGEST_DELAY))
                self.burst = 1.0
                self.tokens = 0.0 if asked else min(self.tokens, 1.0)

    def wait(self, seconds: float) -> None:
        """Nobody asks this host again for so long, or, where that is too long to wait, in this run."""
        with self.lock:
            if seconds > LONGEST_WAIT:
                self.left = True
            else:
                self.next_at = max(self.next_at, time.monotonic() + seconds)

    def count(self, ok: bool) -> None:
        """Remember how a request ended."""
        with self.lock:
            self.failures = 0 if ok else self.failures + 1


class Hosts:
    """Every host met so far, by any address of it."""

    def __init__(self, per_host: int) -> None:
        self.per_host = per_host
        self._hosts: dict[str, Host] = {}
        self._lock = threading.Lock()

    def __getitem__(self, url: str) -> Host:
        """The state of the address's host, made at first sight. This machine's own servers are asked as fast as they answer.

        ValueError for what is no http(s) address.
        """
        name = host_key(url)
        with self._lock:
            if name not in self._hosts:
                at_once = min(self.per_host, AT_ONCE.get(name, self.per_host))
                own = name.partition(":")[0] in ("127.0.0.1", "localhost")
                rate = OWN_RATE if own else RATE
                self._hosts[name] = Host(threading.Semaphore(at_once), rate=rate)
            return self._hosts[name]
