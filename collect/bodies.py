"""What a site answers, taken with care: by its status, its headers and its size; and the reason where nothing can be had."""

from __future__ import annotations

import io
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType

import urllib3
from urllib3.exceptions import NameResolutionError, NewConnectionError, ProtocolError, SSLError
from urllib3.exceptions import TimeoutError as HTTPTimeoutError

from collect.polite import opted_out, retry_after
from collect.room import Share
from collect.sockets import PrivateAddressError

_CHUNK = 1 << 16


class FetchError(Exception):
    """Why a URL gave no bytes. `final`: trying again will not help (the candidate is rejected, not failed)."""

    headers: Mapping[str, str] = MappingProxyType({})
    """What came with the refusal."""

    received: int = 0
    """Bytes of a body that had come."""

    def __init__(self, reason: str, *, status: int | None = None, final: bool = False, wait: float | None = None) -> None:
        super().__init__(reason)
        self.reason, self.status, self.final, self.wait = reason, status, final, wait

    @property
    def lasting(self) -> bool:
        """Whether the site is sure to answer the same again soon."""
        return self.final or (self.status is not None and self.status < 500 and self.status != 429)


@dataclass
class Heard:
    """What has come of an answer, whole or not."""

    headers: Mapping[str, str] = field(default_factory=dict)
    size: int = 0


def reason_of(error: Exception) -> FetchError:
    """The reason for what went wrong on the way."""
    match error:
        case FetchError():
            return error
        case PrivateAddressError():
            return FetchError("private-address", final=True)
        case NameResolutionError():
            return FetchError("dns")
        case NewConnectionError():  # urllib3 counts it among the timeouts
            return FetchError("connection")
        case HTTPTimeoutError() | TimeoutError():
            return FetchError("timeout")
        case SSLError():
            return FetchError("tls")
        case ProtocolError() if "IncompleteRead" in str(error):
            return FetchError("incomplete")
    return FetchError("connection")


def check_status(response: urllib3.BaseHTTPResponse) -> None:
    """Refuse by the status, before the body is read."""
    if response.status != 200:
        wait = retry_after(response.headers.get("Retry-After"))
        raise FetchError(f"http-{response.status}", status=response.status, wait=wait)


def read_rules(response: urllib3.BaseHTTPResponse, max_bytes: int) -> bytes:
    """The first `max_bytes` of a text, unpacked where it comes as gzip or deflate all the same (RFC 9309, section 2.5)."""
    packed = (encoding := _encoding(response)) in ("gzip", "x-gzip", "deflate")
    if not packed and encoding != "identity":
        raise FetchError("encoded", status=200)  # unread rules may forbid anything
    parts, size = [], 0
    while size < max_bytes and (piece := response.read1(_CHUNK)):
        parts.append(piece)
        size += len(piece)
    data = b"".join(parts)
    if packed:
        with suppress(zlib.error):  # a text that is named so and is not packed
            data = zlib.decompressobj(wbits=47).decompress(data, max_bytes)
    return data[:max_bytes]


def _encoding(response: urllib3.BaseHTTPResponse) -> str:
    return response.headers.get("Content-Encoding", "identity").strip().lower() or "identity"


def check_encoding(response: urllib3.BaseHTTPResponse) -> None:
    """Refuse a body that comes packed though nobody asked for it: it may be a bomb."""
    if _encoding(response) != "identity":
        raise FetchError("encoded", status=200, final=True)


def announced_length(response: urllib3.BaseHTTPResponse) -> int | None:
    """What Content-Length says; a number that nobody could write out says nothing."""
    told = response.headers.get("Content-Length", "")
    return int(told) if told.isdecimal() and len(told) < 1000 else None


def check_headers(response: urllib3.BaseHTTPResponse, max_bytes: int) -> None:
    """Refuse by the headers, before the body is read."""
    check_status(response)
    if opted_out(response.headers.getlist("X-Robots-Tag")):
        raise FetchError("opted-out", status=200, final=True)
    check_encoding(response)
    if (announced_length(response) or 0) > max_bytes:
        raise FetchError("too-large", status=200, final=True)


def read_body(response: urllib3.BaseHTTPResponse, max_bytes: int, heard: Heard, share: Share) -> bytes:
    """The body, in pieces, as long as time, size and its share of the room allow."""
    with io.BytesIO() as body:  # it is freed at once where the body ends badly, and not copied where it ends well
        while piece := response.read1(_CHUNK):
            body.write(piece)
            heard.size += len(piece)
            if heard.size > max_bytes:
                raise FetchError("too-large", status=200, final=True)
            if heard.size > share.size:
                share.grow()
        if heard.size < (announced_length(response) or 0):
            raise FetchError("incomplete")
        return body.getvalue()
