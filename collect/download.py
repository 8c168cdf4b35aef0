"""Fetching one URL, politely and within bounds: robots.txt, redirects checked hop by hop, a deadline and a byte cap."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass
from functools import partial
from urllib.parse import urljoin, urlsplit

import urllib3
from urllib3.exceptions import HTTPError, NameResolutionError, ProtocolError, SSLError, TimeoutError

from collect.addresses import PrivateAddressError, guarded_pool, url_key
from collect.polite import Host, Hosts, opted_out, retry_after
from collect.robots import AGENT, Robots, parse_robots
from workspace import FototecaError

MAX_REDIRECTS = 5
TRIES = 3
_CHUNK = 1 << 16
_ROBOTS_BYTES = 512 * 1024
_TRANSIENT = ("timeout", "connection", "incomplete", "http-429", "http-500", "http-502", "http-503", "http-504")


@dataclass(frozen=True)
class FetchOptions:
    """What all commands that fetch share."""

    min_side: int = 64
    """Pixels; a picture whose shorter side is below is rejected as `too-small`."""

    max_bytes: int = 30_000_000
    """A file that is longer is cut off and rejected as `too-large`."""

    concurrency: int = 16
    """Downloads at once over all hosts."""

    per_host: int = 4
    """Downloads at once from one host."""

    timeout: float = 30.0
    """Seconds for one download from its first byte sent to its last received, redirects included."""

    allow_local: bool = False
    """Loopback addresses may be fetched; other private ones stay refused."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        for name in ("min_side", "max_bytes", "concurrency", "per_host", "timeout"):
            if getattr(self, name) <= 0:
                raise FototecaError(f"--{name.replace('_', '-')} is {getattr(self, name)}", "choose a number above 0")


class FetchError(Exception):
    """Why a URL gave no bytes. `final`: trying again will not help (the candidate is rejected, not failed)."""

    def __init__(self, reason: str, *, status: int | None = None, final: bool = False, wait: float | None = None) -> None:
        super().__init__(reason)
        self.reason, self.status, self.final, self.wait = reason, status, final, wait


@dataclass(frozen=True)
class Fetched:
    """The bytes of one URL."""

    data: bytes
    status: int
    content_type: str


class Downloader:
    """Shared by all threads of one collection."""

    def __init__(self, options: FetchOptions, contact: str) -> None:
        self.options = options
        self.pool = guarded_pool(allow_local=options.allow_local, per_host=options.per_host)
        self.hosts = Hosts(options.per_host)
        self.headers = {"User-Agent": user_agent(contact), "Accept": "image/*,*/*;q=0.5", "Accept-Encoding": "identity"}
        self._robots: dict[str, Robots] = {}
        self._robots_lock = threading.Lock()
        self._origin_locks: dict[str, threading.Lock] = {}

    def fetch(self, url: str) -> Fetched:
        """The bytes at `url`; transient failures are tried again. FetchError says why there are none."""
        for number in range(TRIES):
            try:
                return self._follow(url, self.options.max_bytes)
            except FetchError as error:
                if error.reason not in _TRANSIENT or number == TRIES - 1 or error.reason == "timeout":
                    raise
                pause = error.wait if error.wait is not None else 0.5 * 2**number * random.uniform(0.5, 1.5)
                if pause > self.options.timeout:
                    raise
                time.sleep(pause)
        raise AssertionError("the last try returns or raises")

    def _follow(self, url: str, max_bytes: int) -> Fetched:
        deadline = time.monotonic() + self.options.timeout
        for _ in range(MAX_REDIRECTS + 1):
            try:
                url_key(url)
            except ValueError:
                raise FetchError("bad-url", final=True) from None
            if not self.robots(url).allows(url):
                raise FetchError("robots", final=True)
            answer = self._visit(url, deadline, max_bytes)
            if isinstance(answer, Fetched):
                return answer
            url = urljoin(url, answer)
        raise FetchError("too-many-redirects", final=True)

    def _visit(self, url: str, deadline: float, max_bytes: int) -> Fetched | str:
        """One request; the bytes, or the address it redirects to."""
        host = self.hosts[urlsplit(url).netloc.lower()]
        if host.broken:
            raise FetchError("host-down")
        try:
            with host.turn():
                answer = self._request(url, max(deadline, time.monotonic() + 1), max_bytes, host)
        except FetchError as error:
            host.count(ok=error.status is not None or error.final)
            raise
        host.count(ok=True)
        return answer

    def _request(self, url: str, deadline: float, max_bytes: int, host: Host) -> Fetched | str:
        try:
            return self._exchange(url, deadline, max_bytes, host)
        except PrivateAddressError:
            raise FetchError("private-address", final=True) from None
        except NameResolutionError:
            raise FetchError("dns") from None
        except TimeoutError:
            raise FetchError("timeout") from None
        except SSLError:
            raise FetchError("tls") from None
        except ProtocolError as error:
            raise FetchError("incomplete" if "IncompleteRead" in str(error) else "connection") from None
        except (HTTPError, OSError, ValueError, UnicodeError):
            raise FetchError("connection") from None

    def _exchange(self, url: str, deadline: float, max_bytes: int, host: Host) -> Fetched | str:
        limit = urllib3.Timeout(total=max(0.1, deadline - time.monotonic()))
        response = self.pool.request(
            "GET",
            url,
            headers=self.headers,
            preload_content=False,
            redirect=False,
            retries=False,
            timeout=limit,
            decode_content=False,
        )
        try:
            if response.status in (301, 302, 303, 307, 308) and response.headers.get("Location"):
                return str(response.headers["Location"])
            self._check(response, host)
            data = _read(response, deadline, max_bytes)
        except BaseException:
            response.close()
            raise
        response.release_conn()
        return Fetched(data, response.status, response.headers.get("Content-Type", ""))

    def _check(self, response: urllib3.BaseHTTPResponse, host: Host) -> None:
        """Refuse by status and headers, before the body is read."""
        if response.status != 200:
            wait = retry_after(response.headers.get("Retry-After"))
            if response.status in (429, 503) and wait is not None:
                host.wait(wait)
            raise FetchError(f"http-{response.status}", status=response.status, wait=wait)
        if opted_out(response.headers.getlist("X-Robots-Tag")):
            raise FetchError("opted-out", status=200, final=True)
        if response.headers.get("Content-Encoding", "identity").lower() not in ("", "identity"):
            raise FetchError("encoded", status=200, final=True)  # asked for identity: a compressed body may be a bomb

    def robots(self, url: str) -> Robots:
        """The robots.txt of the URL's origin, fetched once, before anything else is asked of the host."""
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}".lower()
        with self._robots_lock:
            lock = self._origin_locks.setdefault(origin, threading.Lock())
        with lock:
            if origin not in self._robots:
                self._robots[origin] = self._fetch_robots(f"{origin}/robots.txt")
                self.hosts[parts.netloc.lower()].interval = min(self._robots[origin].delay, 30.0)
            return self._robots[origin]

    def _fetch_robots(self, url: str) -> Robots:
        """Parsed rules; a site without the file forbids nothing, one that cannot be reached gives nothing (RFC 9309)."""
        deadline = time.monotonic() + min(self.options.timeout, 15.0)
        visit = partial(self._visit, deadline=deadline, max_bytes=_ROBOTS_BYTES)
        for _ in range(MAX_REDIRECTS + 1):
            try:
                answer = visit(url)
            except FetchError as error:
                if error.status and 400 <= error.status < 500 and error.status != 429:
                    return Robots()
                if error.reason in ("too-large", "opted-out", "encoded"):
                    return Robots()
                raise
            if isinstance(answer, Fetched):
                return parse_robots(answer.data.decode("utf-8", errors="replace"))
            url = urljoin(url, answer)
        return Robots()


def _read(response: urllib3.BaseHTTPResponse, deadline: float, max_bytes: int) -> bytes:
    """The body, in pieces, as long as time and size allow."""
    announced = response.headers.get("Content-Length", "")
    if announced.isdigit() and int(announced) > max_bytes:
        raise FetchError("too-large", status=200, final=True)
    parts, size = [], 0
    while piece := response.read1(_CHUNK):  # read() would wait for a whole chunk, and a slow body would outlast the deadline
        parts.append(piece)
        size += len(piece)
        if size > max_bytes:
            raise FetchError("too-large", status=200, final=True)
        if time.monotonic() > deadline:
            raise FetchError("timeout")
    if announced.isdigit() and size < int(announced):
        raise FetchError("incomplete")
    return b"".join(parts)


def user_agent(contact: str) -> str:
    """One honest User-Agent: the program, and how to reach the person who runs it."""
    return f"{AGENT}/0.1 (+{contact})" if contact else f"{AGENT}/0.1"
