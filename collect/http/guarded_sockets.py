"""Sockets that connect to public addresses only and end at a deadline.

Our own, because neither urllib3 nor requests can refuse private addresses (server-side request forgery, CWE-918) or bound the
whole time of a response: a check of the URL before the request would be undone by a second answer of the name server (DNS
rebinding), and a timeout per read would let a server that sends a byte now and then hold a thread forever.
"""

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

_MIN_TIMEOUT = 0.001
"""Seconds; a socket timeout of 0 would make the socket non-blocking."""

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_UNICAST = ipaddress.IPv6Network("2000::/3")
"""The only IPv6 addresses allocated to the public internet."""

_RESERVED = tuple(
    ipaddress.ip_network(network)
    for network in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24"),
        *("192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"),
        *("224.0.0.0/4", "240.0.0.0/4", "2001::/23", "2001:db8::/32", "3fff::/20"),
    )
)
"""Networks outside the public internet, Teredo and relays for 6to4 among them (IANA's special-purpose address registries).

Our own list: `is_global` says yes to some of them, 192.0.0.8 up to Python 3.11.9 and 192.88.99.1 in all releases.
"""

_state = threading.local()


class PrivateAddressError(Exception):
    """A host resolves to an address outside the public internet."""


@contextmanager
def socket_deadline(deadline: float) -> Iterator[None]:
    """Raise TimeoutError from every socket operation of this thread in the block after `deadline` (of `time.monotonic`).

    The deadline covers headers and body together; a timeout per read would not bound their sum.
    """
    before = getattr(_state, "deadline", None)
    _state.deadline = deadline
    try:
        yield
    finally:
        _state.deadline = before


def _seconds_left() -> float:
    deadline: float | None = getattr(_state, "deadline", None)
    assert deadline is not None, "a guarded socket is used inside socket_deadline()"
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError("the deadline has passed")
    return max(seconds, _MIN_TIMEOUT)


class _Socket(socket.socket):
    def recv_into(self, *arguments: Any, **options: Any) -> int:  # noqa: ANN401 - signature of the standard library
        self.settimeout(_seconds_left())
        return super().recv_into(*arguments, **options)


class _TLSSocket(ssl.SSLSocket):
    def recv_into(self, *arguments: Any, **options: Any) -> int:  # noqa: ANN401 - signature of the standard library
        self.settimeout(_seconds_left())
        return super().recv_into(*arguments, **options)


def check_address(address: str, *, allow_loopback: bool) -> None:
    """Raise PrivateAddressError unless the IP address is public, or loopback with `allow_loopback`.

    An IPv6 address that embeds an IPv4 address (mapped, 6to4, NAT64) is judged by the embedded one as well.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    embedded = _embedded_ipv4(ip) if isinstance(ip, ipaddress.IPv6Address) else None
    target = embedded or ip
    if target.is_loopback and allow_loopback:
        return
    is_allocated = embedded is not None or ip.version == 4 or ip in _UNICAST
    if not (is_allocated and target.is_global) or target.is_multicast or any(target in network for network in _RESERVED):
        raise PrivateAddressError(str(ip))


def _embedded_ipv4(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if ip in _NAT64:
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour


class _GuardedConnection:
    """Mixin: resolve the host once, check each address, and connect to the checked address itself (no second DNS lookup)."""

    allow_loopback = False
    host: str
    _dns_host: str
    port: int

    def _new_conn(self) -> socket.socket:
        last_error: OSError | None = None
        try:
            resolved = socket.getaddrinfo(self._dns_host.strip("[]"), self.port, type=socket.SOCK_STREAM)
        except (socket.gaierror, UnicodeError) as error:
            raise urllib3.exceptions.NameResolutionError(self.host, self, error) from None  # type: ignore[arg-type]
        for family, kind, protocol, _, address in resolved:
            check_address(str(address[0]), allow_loopback=self.allow_loopback)
            connection = _Socket(family, kind, protocol)
            try:
                connection.settimeout(_seconds_left())
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection.connect(address)
                connection.settimeout(_seconds_left())  # for the TLS handshake
            except OSError as error:
                connection.close()
                last_error = error
            else:
                return connection
        if isinstance(last_error, TimeoutError):
            raise urllib3.exceptions.ConnectTimeoutError(self, str(last_error)) from None
        raise urllib3.exceptions.NewConnectionError(self, str(last_error)) from None  # type: ignore[arg-type]


def guarded_pool(*, allow_loopback: bool, per_host: int, hosts: int = 64) -> urllib3.PoolManager:
    """Return a connection pool that connects to public addresses only, with the system's certificates.

    Use its connections inside `socket_deadline`.
    """
    http = type("GuardedHTTP", (_GuardedConnection, HTTPConnection), {"allow_loopback": allow_loopback})
    https = type("GuardedHTTPS", (_GuardedConnection, HTTPSConnection), {"allow_loopback": allow_loopback})
    context = create_urllib3_context()
    context.sslsocket_class = _TLSSocket
    context.load_default_certs()
    manager = urllib3.PoolManager(num_pools=hosts, maxsize=per_host, block=False, retries=False, ssl_context=context)
    manager.pool_classes_by_scheme = {
        "http": type("GuardedHTTPPool", (HTTPConnectionPool,), {"ConnectionCls": http}),
        "https": type("GuardedHTTPSPool", (HTTPSConnectionPool,), {"ConnectionCls": https}),
    }
    return manager
