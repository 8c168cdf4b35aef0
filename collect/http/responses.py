"""Checks on responses, reading of bodies within limits, and the reasons of failed fetches."""

from __future__ import annotations

import re
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from types import MappingProxyType
from typing import Protocol

import requests
import urllib3
from requests.exceptions import RequestException
from urllib3.exceptions import HTTPError, NameResolutionError, NewConnectionError, ProtocolError, SSLError
from urllib3.exceptions import TimeoutError as HTTPTimeoutError

from fototeca.collect.http.guarded_sockets import PrivateAddressError, socket_deadline
from fototeca.collect.http.throttle import opts_out, parse_retry_after

_CHUNK = 1 << 16
_REDIRECTS = (301, 302, 303, 307, 308)

_ZLIB_WBITS, _RAW_WBITS = 47, -15
"""zlib's window arguments for gzip or deflate with a header, and for deflate without one, which some servers send."""

_GZIP_MAGIC = b"\x1f\x8b"


class FetchError(Exception):
    """A URL gave no bytes; `reason` is one of the words of docs/reasons.md.

    `final`: another try cannot help (the candidate is rejected, not failed).
    """

    headers: Mapping[str, str] = MappingProxyType({})
    """Headers of the response, if there was one."""

    received: int = 0
    """Bytes of the body received before the error."""

    def __init__(self, reason: str, *, status: int | None = None, final: bool = False, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.reason, self.status, self.final, self.retry_after = reason, status, final, retry_after

    @property
    def is_permanent(self) -> bool:
        """Return True if the same request would soon get the same response."""
        return self.final or (self.status is not None and self.status < 500 and self.status != 429)


NETWORK_ERRORS = (FetchError, PrivateAddressError, HTTPError, OSError, ValueError)
"""Raised while a request is sent or its body is read; exceptions of requests are OSErrors."""


def to_fetch_error(error: Exception) -> FetchError:
    """Return the FetchError for an exception of the network; its message, which may show a URL with a key, is dropped."""
    if isinstance(error, RequestException) and error.args and isinstance(error.args[0], HTTPError):
        error = error.args[0]  # requests wraps the exceptions of urllib3
    match error:
        case FetchError():
            return error
        case PrivateAddressError():
            return FetchError("private-address", final=True)
        case NameResolutionError():
            return FetchError("dns")
        case NewConnectionError():  # a subclass of urllib3's timeouts
            return FetchError("connection")
        case HTTPTimeoutError() | TimeoutError():
            return FetchError("timeout")
        case SSLError():
            return FetchError("tls")
        case ProtocolError() if "IncompleteRead" in str(error):
            return FetchError("incomplete")
    return FetchError("connection")


class Timer(Protocol):
    """A time limit on the network operations of one request or download."""

    def running(self) -> AbstractContextManager[None]:
        """Around each network operation: raise TimeoutError from its sockets once the limit is reached."""


class TotalTimer:
    """Seconds for all network operations of a download together; waiting between them does not count."""

    def __init__(self, seconds: float) -> None:
        self._left = seconds

    @contextmanager
    def running(self) -> Iterator[None]:
        """Around each network operation, whose time is subtracted from what is left."""
        start = time.monotonic()
        try:
            with socket_deadline(start + self._left):
                yield
        finally:
            self._left -= time.monotonic() - start


class ReadTimer:
    """Seconds for each network operation by itself, for bodies of any length."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    @contextmanager
    def running(self) -> Iterator[None]:
        """Around each network operation."""
        with socket_deadline(time.monotonic() + self._seconds):
            yield


class ResponseStream:
    """A response with its headers, whose body is read in chunks within limits of size and time."""

    received = 0
    """Bytes of the body received so far."""

    def __init__(self, response: requests.Response, timer: Timer) -> None:
        self._response, self._timer = response, timer
        self._raw: urllib3.BaseHTTPResponse = response.raw
        self.status = response.status_code
        self.headers = self._raw.headers
        """Looked up in any case; `getlist` gives repeated headers one by one."""

    @property
    def content_length(self) -> int | None:
        """Content-Length in bytes; None if absent, not a number, or longer than any real one."""
        value = self.headers.get("Content-Length", "")
        return int(value) if value.isdecimal() and len(value) < 1000 else None

    @property
    def content_encoding(self) -> str:
        """Content-Encoding in lower case; `identity` if absent."""
        return self.headers.get("Content-Encoding", "identity").strip().lower() or "identity"

    @property
    def redirect_location(self) -> str | None:
        """Target of a redirect, as the server wrote it; None for other responses."""
        return self.headers.get("Location") or None if self.status in _REDIRECTS else None

    def check_status(self) -> None:
        """Raise FetchError unless the status is 200."""
        if self.status != 200:
            retry_after = parse_retry_after(self.headers.get("Retry-After"))
            raise FetchError(f"http-{self.status}", status=self.status, retry_after=retry_after)

    def check_encoding(self) -> None:
        """Raise FetchError for a compressed body: none was requested, and it may expand without bound."""
        if self.content_encoding != "identity":
            raise FetchError("encoded", status=200, final=True)

    def check_headers(self, max_bytes: int) -> None:
        """Raise FetchError for a status, opt-out, encoding or length that makes the body unusable, before it is read."""
        self.check_status()
        if opts_out(self.headers.getlist("X-Robots-Tag")):
            raise FetchError("opted-out", status=200, final=True)
        self.check_encoding()
        if (self.content_length or 0) > max_bytes:
            raise FetchError("too-large", status=200, final=True)

    def chunks(self, max_bytes: float) -> Iterator[bytes]:
        """Yield the body as it arrives, never decompressed.

        Raises:
            FetchError: `too-large` beyond `max_bytes`, `incomplete` before Content-Length, `timeout`, `connection`, `tls`.
        """
        while chunk := self._read():
            self.received += len(chunk)
            if self.received > max_bytes:
                raise FetchError("too-large", status=self.status, final=True)
            yield chunk
        if self.received < (self.content_length or 0):
            raise FetchError("incomplete")

    def _read(self) -> bytes:
        try:
            with self._timer.running():
                return self._raw.read1(_CHUNK)
        except NETWORK_ERRORS as error:
            raise to_fetch_error(error) from None

    def close(self) -> None:
        """Return the connection to its pool if the body was read to its end; otherwise close it."""
        self._response.close()


def read_robots_body(response: ResponseStream, max_bytes: int) -> bytes:
    """Read the first `max_bytes` of a robots.txt, decompressed if it is sent as gzip or deflate (RFC 9309, section 2.5)."""
    is_packed = response.content_encoding in ("gzip", "x-gzip", "deflate")
    if not is_packed and response.content_encoding != "identity":
        raise FetchError("encoded", status=200)  # rules that cannot be read may forbid anything
    data = bytearray()
    for chunk in response.chunks(float("inf")):
        data += chunk
        if len(data) >= max_bytes:
            break
    return (_decompress(bytes(data), max_bytes) if is_packed else bytes(data))[:max_bytes]


def _decompress(data: bytes, max_bytes: int) -> bytes:
    """Return up to `max_bytes` of text that is declared compressed but may be plain; FetchError if it is neither."""
    for wbits in (_ZLIB_WBITS, _RAW_WBITS):
        with suppress(zlib.error):
            return _inflate(data, wbits, max_bytes)
    if not _is_text(data):
        raise FetchError("encoded", status=200)
    return data


def _inflate(data: bytes, wbits: int, max_bytes: int) -> bytes:
    """Return up to `max_bytes` of all members of compressed data; zlib.error if it is in another format or cut off."""
    parts, size = list[bytes](), 0
    while data and size < max_bytes:
        stream = zlib.decompressobj(wbits)
        parts.append(stream.decompress(data, max_bytes - size))
        size += len(parts[-1])
        if not stream.eof and size < max_bytes:
            raise zlib.error("cut off")
        rest = stream.unused_data.lstrip(b"\0")
        data = rest if rest.startswith(_GZIP_MAGIC) else b""  # trailing data of another kind is ignored, as gzip does
    return b"".join(parts)


def _is_text(data: bytes) -> bool:
    """Return True if the data is mostly ASCII without control characters, which compressed data is not."""
    non_ascii = len(re.findall(rb"[\x80-\xff]", data))
    return not re.search(rb"[\x00-\x08\x0e-\x1f\x7f]", data) and 4 * non_ascii <= len(data)
