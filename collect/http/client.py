"""Fetching URLs: robots.txt, throttling, redirects checked hop by hop, a deadline and a size limit."""

from __future__ import annotations

import io
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import urljoin, urlsplit

from fototeca.collect.http.options import FetchOptions
from fototeca.collect.http.responses import (
    NETWORK_ERRORS,
    FetchError,
    ResponseStream,
    Timer,
    TotalTimer,
    read_robots_body,
    to_fetch_error,
)
from fototeca.collect.http.robots import AGENT, Robots, parse_robots
from fototeca.collect.http.session import GuardedSession
from fototeca.collect.http.throttle import MAX_WAIT, Hosts, compute_backoff
from fototeca.collect.http.urls import host_key
from fototeca.core.memory_budget import MemoryBudget

MAX_REDIRECTS = 5
TRIES = 3

_ROBOTS_BYTES = 512 * 1024
_ROBOTS_SECONDS = 15.0

_BODY_BYTES = 64_000_000
"""Bytes of bodies of known length held at once by all threads; a longer body is held alone."""

_UNKNOWN_LENGTH = 1_000_000
"""Bytes reserved for a body without Content-Length; of those that turn out longer, one at a time is received."""

_TRANSIENT = ("connection", "incomplete", "http-429", "http-500", "http-502", "http-503", "http-504")
_FAILURE_STATUSES = (None, 429, 500, 502, 503, 504)
"""Statuses that count as failures of the host; None is no response."""

_T = TypeVar("_T")


@dataclass(frozen=True)
class FetchResult:
    """The body, status and headers of a response. The body counts against the downloader's memory while this object lives."""

    data: bytes
    status: int
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Request:
    """A request and the limit of its response's body."""

    url: str
    max_bytes: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    """Sent by POST; without it the method is GET."""


class Downloader:
    """The client of one run, shared by its threads: limits per host, memory, connections and robots.txt files."""

    def __init__(self, options: FetchOptions, contact: str) -> None:
        self.options = options
        self.hosts = Hosts(options.per_host)
        headers = {"User-Agent": user_agent(contact), "Accept": "image/*,*/*;q=0.5", "Accept-Encoding": "identity"}
        self._session = GuardedSession(allow_loopback=options.allow_loopback, per_host=options.per_host, headers=headers)
        self._slots = threading.Semaphore(options.concurrency)
        self._memory = MemoryBudget(_BODY_BYTES)
        self._robots: dict[str, Robots] = {}
        self._robots_lock = threading.Lock()
        self._origin_locks: dict[str, threading.Lock] = {}

    def fetch(self, url: str) -> FetchResult:
        """Return an image or page that robots.txt and X-Robots-Tag allow. FetchError after the last try."""

        def attempt() -> FetchResult:
            request = Request(url, self.options.max_bytes)
            with self.stream(request, TotalTimer(self.options.timeout), check_url=self._check_robots) as response:
                return self._read(response, request.max_bytes)

        return with_retries(attempt, _is_transient)

    def request(self, request: Request) -> FetchResult:
        """Return the response of a service API, whose terms replace robots.txt. FetchError after the last try.

        Redirects are refused, because a key in the request must not reach another address.
        """

        def attempt() -> FetchResult:
            with self.stream(request, TotalTimer(self.options.timeout), max_redirects=0) as response:
                return self._read(response, request.max_bytes)

        return with_retries(attempt, _is_transient)

    @contextmanager
    def stream(
        self,
        request: Request,
        timer: Timer,
        *,
        max_redirects: int = MAX_REDIRECTS,
        check_url: Callable[[str], None] | None = None,
    ) -> Iterator[ResponseStream]:
        """Send a request, follow its redirects, and yield the last response, its body still to be read.

        Each hop waits for its host's limits, and counts as a success or failure of the host.

        Args:
            request: what to send; every hop gets the same headers.
            timer: limits the time of the network operations.
            max_redirects: further hops; with 0 a redirect is the error `redirected`.
            check_url: called with the URL of each hop before it is requested; raises FetchError to refuse it.

        Raises:
            FetchError: no usable response, or one raised in the block, with headers and received bytes attached.
        """
        url = resolve_url(request.url)
        for _ in range(max_redirects + 1):
            if check_url:
                check_url(url)
            with self._host_slot(url), self._open(url, request, timer) as response:
                location = response.redirect_location
                if location is None:
                    yield response
                    return
            url = resolve_url(url, location)
        raise FetchError("too-many-redirects" if max_redirects else "redirected", final=True)

    @contextmanager
    def _host_slot(self, url: str) -> Iterator[None]:
        """Wait for the host's limits around one request, and record its outcome. FetchError `host-down` if it is down."""
        host = self.hosts[url]
        try:
            with host.slot(), self._slots:  # in this order: waiting for one host does not block the others
                if host.is_down:
                    raise FetchError("host-down")
                yield
        except FetchError as error:
            if error.status in (429, 503) and error.retry_after is not None:
                host.pause(error.retry_after)
            host.record_outcome(ok=error.final or error.status not in _FAILURE_STATUSES)
            raise
        host.record_outcome(ok=True)

    @contextmanager
    def _open(self, url: str, request: Request, timer: Timer) -> Iterator[ResponseStream]:
        """Send one request and close its response at the end of the block."""
        method = "GET" if request.body is None else "POST"
        try:
            with timer.running():
                sent = self._session.request(
                    method,
                    url,
                    headers=dict(request.headers),
                    data=request.body,
                    stream=True,
                    allow_redirects=False,
                    timeout=self.options.timeout,  # per socket operation; the timer is stricter
                )
        except NETWORK_ERRORS as error:
            raise to_fetch_error(error) from None
        response = ResponseStream(sent, timer)
        try:
            yield response
        except FetchError as error:
            error.headers, error.received = dict(response.headers), response.received
            raise
        finally:
            response.close()

    def _read(self, response: ResponseStream, max_bytes: int) -> FetchResult:
        """Read a whole body, whose memory stays reserved until the result is garbage."""
        response.check_headers(max_bytes)
        length = response.content_length
        lease = self._memory.reserve(_UNKNOWN_LENGTH if length is None else length)
        try:
            with io.BytesIO() as body:  # freed at once on errors, and not copied by getvalue() otherwise
                for chunk in response.chunks(max_bytes):
                    body.write(chunk)
                    if response.received > lease.amount:
                        lease.overflow()
                result = FetchResult(body.getvalue(), response.status, dict(response.headers))
        except BaseException:
            lease.release()
            raise
        weakref.finalize(result, lease.release)
        return result

    def _check_robots(self, url: str) -> None:
        if not self.robots(url).allows(url):
            raise FetchError("robots", final=True)

    def robots(self, url: str) -> Robots:
        """Return the robots.txt of the URL's origin, fetched once, before any other request to it."""
        url = resolve_url(url)
        origin = f"{urlsplit(url).scheme.lower()}://{host_key(url)}"
        with self._robots_lock:
            lock = self._origin_locks.setdefault(origin, threading.Lock())
        with lock:
            if origin not in self._robots:
                self._robots[origin] = self._fetch_robots(f"{origin}/robots.txt")
                self.hosts[url].set_delay(self._robots[origin].delay)
            return self._robots[origin]

    def _fetch_robots(self, url: str) -> Robots:
        """Return the parsed rules; no rules if the file does not exist. FetchError if it cannot be read (RFC 9309, 2.3.1)."""
        request = Request(url, _ROBOTS_BYTES)
        try:
            with self.stream(request, TotalTimer(min(self.options.timeout, _ROBOTS_SECONDS))) as response:
                response.check_status()
                text = read_robots_body(response, request.max_bytes).decode("utf-8", errors="replace")
        except FetchError as error:
            is_absent = error.status is not None and 400 <= error.status < 500 and error.status != 429
            if is_absent or error.reason == "too-many-redirects":
                return Robots()
            raise
        return parse_robots(text)


def with_retries(attempt: Callable[[], _T], is_retryable: Callable[[FetchError], bool]) -> _T:
    """Return what `attempt` returns, called up to `TRIES` times with pauses while its FetchError is retryable."""
    for number in range(TRIES):
        try:
            return attempt()
        except FetchError as error:
            pause = compute_backoff(error.retry_after, number)
            if number == TRIES - 1 or pause > MAX_WAIT or not is_retryable(error):
                raise
            time.sleep(pause)
    raise AssertionError("the last try returns or raises")


def _is_transient(error: FetchError) -> bool:
    return error.reason in _TRANSIENT


def resolve_url(url: str, location: str = "") -> str:
    """Return the absolute URL of a redirect's `location` at `url`; `url` itself if empty. FetchError `bad-url` if invalid."""
    try:
        resolved = urljoin(url, location)
        host_key(resolved)
    except ValueError:
        raise FetchError("bad-url", final=True) from None
    return resolved


def user_agent(contact: str) -> str:
    """Return the User-Agent header: the program and, if known, the contact of its operator."""
    return f"{AGENT}/0.1 (+{contact})" if contact else f"{AGENT}/0.1"
