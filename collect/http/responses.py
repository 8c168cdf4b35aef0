"""What a site answers, taken with care: by its status, its headers and its size; and the reason where nothing can be had."""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType

import urllib3
from urllib3.exceptions import NameResolutionError, NewConnectionError, ProtocolError, SSLError
from urllib3.exceptions import TimeoutError as HTTPTimeoutError

from fototeca.collect.http.guarded_sockets import PrivateAddressError
from fototeca.collect.http.memory_budget import MemoryLease
from fototeca.collect.http.throttle import opted_out, retry_after

_CHUNK = 1 << 16

_HEADED, _RAW = 47, -15
_MEMBER = b"\x1f\x8b"
"""zlib's names for gzip or deflate, by their headers, and for deflate without one, as some servers send it."""


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
class ResponseProgress:
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
    return (_unpacked(data, max_bytes) if packed else data)[:max_bytes]


def _unpacked(data: bytes, most: int) -> bytes:
    """The text, as far as `most` bytes, of what is said to be packed and need not be; FetchError where there is none."""
    for wbits in (_HEADED, _RAW):
        with suppress(zlib.error):
            return _inflated(data, wbits, most)
    if not _is_text(data):
        raise FetchError("encoded", status=200)
    return data


def _inflated(data: bytes, wbits: int, most: int) -> bytes:
    """All members of packed data, as far as `most` bytes; zlib.error where it is not packed so, or cut off."""
    parts, size = list[bytes](), 0
    while data and size < most:
        stream = zlib.decompressobj(wbits)
        parts.append(stream.decompress(data, most - size))
        size += len(parts[-1])
        if not stream.eof and size < most:
            raise zlib.error("cut off")
        rest = stream.unused_data.lstrip(b"\0")
        data = rest if rest.startswith(_MEMBER) else b""  # other things behind it are passed over, as gzip does
    return b"".join(parts)


def _is_text(data: bytes) -> bool:
    """Whether it has no control characters, and is mostly ASCII: what is packed is neither."""
    strange = len(re.findall(rb"[\x80-\xff]", data))
    return not re.search(rb"[\x00-\x08\x0e-\x1f\x7f]", data) and 4 * strange <= len(data)


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


def read_body(response: urllib3.BaseHTTPResponse, max_bytes: int, heard: ResponseProgress, share: MemoryLease) -> bytes:
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
