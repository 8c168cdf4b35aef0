"""Fetching one URL, politely and within bounds: robots.txt, redirects checked hop by hop, a deadline and a byte cap."""

from __future__ import annotations

import math
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import urljoin, urlsplit

import urllib3
from urllib3.exceptions import HTTPError

from fototeca.collect.http.guarded_sockets import PrivateAddressError, guarded_pool, until
from fototeca.collect.http.memory_budget import MemoryBudget, MemoryLease
from fototeca.collect.http.responses import (
    FetchError,
    ResponseProgress,
    announced_length,
    check_headers,
    check_status,
    read_body,
    read_rules,
    reason_of,
)
from fototeca.collect.http.robots import AGENT, Robots, parse_robots
from fototeca.collect.http.throttle import LONGEST_WAIT, Hosts, pause_before
from fototeca.collect.http.urls import host_key
from fototeca.core.errors import FototecaError

DAY = 86_400.0
MAX_REDIRECTS = 5
TRIES = 3
_ROBOTS_BYTES = 512 * 1024
_TRANSIENT = ("connection", "incomplete", "http-429", "http-500", "http-502", "http-503", "http-504")
_TROUBLED = (None, 429, 500, 502, 503, 504)
"""Answers of a host that does badly; None is no answer."""

_MOVED = (301, 302, 303, 307, 308)


@dataclass(frozen=True)
class FetchOptions:
    """What all commands that fetch share."""

    min_side: int = 64
    """Pixels; an image whose shorter side is below is rejected as `too-small`."""

    max_bytes: int = 30_000_000
    """A file that is longer is cut off and rejected as `too-large`."""

    concurrency: int = 16
    """Downloads at once over all hosts."""

    per_host: int = 4
    """Downloads at once from one host."""

    timeout: float = 30.0
    """Seconds for one download, redirects included; waiting for the host's turn does not count."""

    allow_loopback: bool = False
    """Loopback addresses may be fetched; other private ones stay refused."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        for name in ("min_side", "max_bytes", "concurrency", "per_host", "timeout"):
            if not 0 < getattr(self, name) < math.inf:
                raise FototecaError(f"--{name.replace('_', '-')} is {getattr(self, name)}", "choose a number above 0")
        if self.timeout > DAY:
            raise FototecaError(f"--timeout is {self.timeout:g}", "choose at most a day, in seconds")


@dataclass(frozen=True)
class Fetched:
    """The bytes of one URL, and the headers that came with them."""

    data: bytes
    status: int
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Request:
    """One request: where to, with what, and how much may come back."""

    url: str
    max_bytes: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    """Sent with POST."""

    rules: bool = False
    """It is for a robots.txt: read as far as `max_bytes`, packed or not, whatever its own headers say of its use."""


class _Clock:
    """The time that one download may still take; it stands still while the download waits for its host's turn."""

    def __init__(self, seconds: float) -> None:
        self.left = seconds

    def spend(self, since: float) -> None:
        self.left -= time.monotonic() - since


class Downloader:
    """Shared by all threads of one collection."""

    def __init__(self, options: FetchOptions, contact: str) -> None:
        self.options = options
        self.pool = guarded_pool(allow_loopback=options.allow_loopback, per_host=options.per_host)
        self.hosts = Hosts(options.per_host)
        self.slots = threading.Semaphore(options.concurrency)
        self.room = MemoryBudget()
        self.headers = {"User-Agent": user_agent(contact), "Accept": "image/*,*/*;q=0.5", "Accept-Encoding": "identity"}
        self._robots: dict[str, Robots] = {}
        self._robots_lock = threading.Lock()
        self._origin_locks: dict[str, threading.Lock] = {}

    def fetch(self, url: str) -> Fetched:
        """The bytes of an image or page; transient failures are tried again. FetchError says why there are none."""
        return self._tried(partial(self._follow, url))

    def ask(self, request: Request) -> Fetched:
        """The answer of an interface made for programs; as `fetch`, but its terms stand in the place of robots.txt.

        It is not followed elsewhere: a key in the request must not reach another address.
        """

        def once() -> Fetched:
            answer = self._visit(request, _Clock(self.options.timeout))
            if isinstance(answer, str):
                raise FetchError("redirected", final=True)
            return answer

        return self._tried(once)

    def _tried(self, once: Callable[[], Fetched]) -> Fetched:
        for number in range(TRIES):
            try:
                return once()
            except FetchError as error:
                if error.reason not in _TRANSIENT or number == TRIES - 1:
                    raise
                pause = pause_before(error.wait, number)
                if pause > LONGEST_WAIT:
                    raise
                time.sleep(pause)
        raise AssertionError("the last try returns or raises")

    def _follow(self, url: str) -> Fetched:
        clock, url = _Clock(self.options.timeout), led_to(url, "")
        for _ in range(MAX_REDIRECTS + 1):
            if not self.robots(url).allows(url):
                raise FetchError("robots", final=True)
            answer = self._visit(Request(url, self.options.max_bytes), clock)
            if isinstance(answer, Fetched):
                return answer
            url = led_to(url, answer)
        raise FetchError("too-many-redirects", final=True)

    def _visit(self, request: Request, clock: _Clock) -> Fetched | str:
        """One request; the answer, or the address it redirects to."""
        with self.visit(request.url):
            began = time.monotonic()
            try:
                return self._request(request, began + clock.left)
            finally:
                clock.spend(began)

    @contextmanager
    def visit(self, url: str) -> Iterator[None]:
        """Around one request, whoever makes it: its host's turn comes first, and how it ends is remembered.

        FetchError when the host has failed too often.
        """
        host = self.hosts[url]
        try:
            with host.turn(), self.slots:  # whoever waits for one host keeps no other waiting
                if host.broken:
                    raise FetchError("host-down")
                yield
        except FetchError as error:
            if error.status in (429, 503) and error.wait is not None:
                host.wait(error.wait)
            host.count(ok=error.final or error.status not in _TROUBLED)
            raise
        host.count(ok=True)

    def _request(self, request: Request, deadline: float) -> Fetched | str:
        heard = ResponseProgress()
        try:
            with until(deadline):
                return self._exchange(request, heard, deadline)
        except (FetchError, PrivateAddressError, HTTPError, OSError, ValueError) as error:
            problem = reason_of(error)
        problem.headers, problem.received = heard.headers, heard.size
        raise problem

    def _exchange(self, request: Request, heard: ResponseProgress, deadline: float) -> Fetched | str:
        response = self.pool.request(
            "GET" if request.body is None else "POST",
            request.url,
            headers={**self.headers, **request.headers},
            body=request.body,
            preload_content=False,
            redirect=False,
            retries=False,
            timeout=urllib3.Timeout(total=self.options.timeout),  # the deadline of `until` is stricter
            decode_content=False,
        )
        heard.headers = dict(response.headers)
        try:
            if response.status in _MOVED and response.headers.get("Location"):
                return str(response.headers["Location"])
            fetched = self._received(response, request, heard, deadline)
        except BaseException:
            response.close()
            raise
        response.release_conn()
        return fetched

    def _received(
        self, response: urllib3.BaseHTTPResponse, request: Request, heard: ResponseProgress, deadline: float
    ) -> Fetched:
        """The answer with its body, which has its share of the room until nobody holds it any more."""
        if request.rules:
            check_status(response)
            return Fetched(read_rules(response, request.max_bytes), response.status, heard.headers)
        check_headers(response, request.max_bytes)
        began = time.monotonic()
        share = MemoryLease(self.room, announced_length(response))
        try:
            with until(deadline + time.monotonic() - began):
                fetched = Fetched(read_body(response, request.max_bytes, heard, share), response.status, heard.headers)
        except BaseException:
            share.give_back()
            raise
        weakref.finalize(fetched, share.give_back)
        return fetched

    def robots(self, url: str) -> Robots:
        """The robots.txt of the URL's origin, fetched once, before anything else is asked of the host."""
        url = led_to(url, "")
        origin = f"{urlsplit(url).scheme.lower()}://{host_key(url)}"
        with self._robots_lock:
            lock = self._origin_locks.setdefault(origin, threading.Lock())
        with lock:
            if origin not in self._robots:
                self._robots[origin] = self._fetch_robots(f"{origin}/robots.txt")
                self.hosts[url].slow_down(self._robots[origin].delay)
            return self._robots[origin]

    def _fetch_robots(self, url: str) -> Robots:
        """Parsed rules; a site without the file forbids nothing, one that cannot be reached gives nothing (RFC 9309)."""
        clock = _Clock(min(self.options.timeout, 15.0))
        for _ in range(MAX_REDIRECTS + 1):
            try:
                answer = self._visit(Request(url, _ROBOTS_BYTES, rules=True), clock)
            except FetchError as error:
                if error.status and 400 <= error.status < 500 and error.status != 429:
                    return Robots()
                raise
            if isinstance(answer, Fetched):
                return parse_robots(answer.data.decode("utf-8", errors="replace"))
            url = led_to(url, answer)
        return Robots()


def led_to(url: str, location: str) -> str:
    """The address to which `location` at `url` leads; `url` itself when it is empty. FetchError `bad-url` where it is none."""
    try:
        address = urljoin(url, location)
        host_key(address)
    except ValueError:
        raise FetchError("bad-url", final=True) from None
    return address


def user_agent(contact: str) -> str:
    """One honest User-Agent: the program, and how to reach the person who runs it."""
    return f"{AGENT}/0.1 (+{contact})" if contact else f"{AGENT}/0.1"
