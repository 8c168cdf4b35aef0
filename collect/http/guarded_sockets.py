"""Connections for bytes from outside: they never reach a private network, and never outlast their deadline."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util.ssl_ import create_urllib3_context

_SHORTEST = 0.001
"""Seconds; a timeout of 0 would mean: do not block."""

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_UNICAST = ipaddress.IPv6Network("2000::/3")
"""The only IPv6 addresses that are given out to the public internet."""

_EXAMPLES = ipaddress.IPv6Network("3fff::/20")
"""For documentation only; younger than the standard library's list."""

_clock = threading.local()


class PrivateAddressError(Exception):
    """The host's address is not one of the public internet."""


@contextmanager
def until(deadline: float) -> Iterator[None]:
    """Everything that this thread reads in the block must have come by `deadline` (of `time.monotonic`), else TimeoutError.

    A timeout per read would let a server that sends a byte now and then, headers included, go on for ever.
    """
    before = getattr(_clock, "deadline", None)
    _clock.deadline = deadline
    try:
        yield
    finally:
        _clock.deadline = before


def _left() -> float:
    deadline: float | None = getattr(_clock, "deadline", None)
    assert deadline is not None, "a guarded connection is read within until()"
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError("the deadline is past")
    return max(seconds, _SHORTEST)


class _Socket(socket.socket):
    def recv_into(self, *arguments: Any, **named: Any) -> int:  # noqa: ANN401 - as the standard library has it
        self.settimeout(_left())
        return super().recv_into(*arguments, **named)


class _SecureSocket(ssl.SSLSocket):
    def recv_into(self, *arguments: Any, **named: Any) -> int:  # noqa: ANN401 - as the standard library has it
        self.settimeout(_left())
        return super().recv_into(*arguments, **named)


def check_address(address: str, *, allow_loopback: bool) -> None:
    """Raise PrivateAddressError unless the address is public; loopback passes with `allow_loopback`.

    An IPv6 address that stands for an IPv4 one (mapped, 6to4, NAT64) is judged by that one too.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    inner = _inner(ip) if isinstance(ip, ipaddress.IPv6Address) else None
    if (inner or ip).is_loopback and allow_loopback:
        return
    outside = inner is not None or ip.version == 4 or (ip in _UNICAST and ip not in _EXAMPLES)
    if not (outside and (inner or ip).is_global) or (inner or ip).is_multicast:
        raise PrivateAddressError(str(ip))


def _inner(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if ip in _NAT64:
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour


class _Guarded:
    """Resolves once, checks the address, and connects to that very address: a second answer of the DNS changes nothing."""

    allow_loopback = False
    host: str
    _dns_host: str
    port: int

    def _new_conn(self) -> socket.socket:
        last: OSError | None = None
        try:
            found = socket.getaddrinfo(self._dns_host.strip("[]"), self.port, type=socket.SOCK_STREAM)
        except (socket.gaierror, UnicodeError) as error:
            raise urllib3.exceptions.NameResolutionError(self.host, self, error) from None  # type: ignore[arg-type]
        for family, kind, protocol, _, address in found:
            check_address(str(address[0]), allow_loopback=self.allow_loopback)
            connection = _Socket(family, kind, protocol)
            try:
                connection.settimeout(_left())
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection.connect(address)
                connection.settimeout(_left())  # for the handshake of TLS
            except OSError as error:
                connection.close()
                last = error
            else:
                return connection
        if isinstance(last, TimeoutError):
            raise urllib3.exceptions.ConnectTimeoutError(self, str(last)) from None
        raise urllib3.exceptions.NewConnectionError(self, str(last)) from None  # type: ignore[arg-type]


def guarded_pool(*, allow_loopback: bool, per_host: int, hosts: int = 64) -> urllib3.PoolManager:
    """A connection pool whose every connection, redirects included, goes to a public address only. Read it within `until`."""
    plain = type("GuardedHTTP", (_Guarded, HTTPConnection), {"allow_loopback": allow_loopback})
    secure = type("GuardedHTTPS", (_Guarded, HTTPSConnection), {"allow_loopback": allow_loopback})
    context = create_urllib3_context()
    context.sslsocket_class = _SecureSocket
    context.load_default_certs()
    manager = urllib3.PoolManager(num_pools=hosts, maxsize=per_host, block=False, retries=False, ssl_context=context)
    manager.pool_classes_by_scheme = {
        "http": type("GuardedHTTPPool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
        "https": type("GuardedHTTPSPool", (HTTPSConnectionPool,), {"ConnectionCls": secure}),
    }
    return manager
