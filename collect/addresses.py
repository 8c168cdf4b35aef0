"""URLs as keys, and connections that never reach a private network."""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

_TRACKING = re.compile(r"^(utm_\w+|fbclid|gclid|igshid|mc_[ce]id|ref_src)$")
_SAFE = "/:@!$&'()*+,;=~-._"


class PrivateAddressError(Exception):
    """The host's address is not one of the public internet."""


def url_key(url: str) -> str:
    """`url` normalised (RFC 3986 section 6), so that two spellings of one address are one candidate.

    Lower-case scheme and host, no default port, no fragment, dots resolved, percent-encoding made uniform, tracking
    parameters dropped. Normalising twice changes nothing. ValueError when there is no http(s) host.
    """
    parts = urlsplit(url.strip())
    scheme = parts.scheme.lower()
    if scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"no http address: {url[:200]}")
    host = parts.hostname.rstrip(".").lower()
    try:
        host = host.encode("idna").decode("ascii") if not host.isascii() else host
    except UnicodeError:
        raise ValueError(f"no host name: {host[:100]}") from None
    host = f"[{host}]" if ":" in host else host
    port = parts.port
    netloc = host if port in (None, {"http": 80, "https": 443}[scheme]) else f"{host}:{port}"
    query = [(key, value) for key, value in parse_qsl(parts.query, keep_blank_values=True) if not _TRACKING.match(key)]
    return urlunsplit((scheme, netloc, _clean_path(parts.path), urlencode(query), ""))


def _clean_path(path: str) -> str:
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            kept[1:] = kept[1:-1]
        elif segment != ".":
            kept.append(quote(unquote(segment, errors="surrogateescape"), safe=_SAFE.replace("/", ""), errors="surrogateescape"))
    cleaned = "/".join(kept)
    return cleaned if cleaned.startswith("/") else f"/{cleaned}"


def check_address(address: str, *, allow_local: bool) -> None:
    """Raise PrivateAddressError unless the address is public; loopback passes with `allow_local`."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    if ip.is_loopback and allow_local:
        return
    if not ip.is_global or ip.is_multicast:
        raise PrivateAddressError(str(ip))


class _Guarded:
    """Resolves once, checks the address, and connects to that very address: a second answer of the DNS changes nothing."""

    allow_local = False
    host: str
    _dns_host: str
    port: int
    timeout: Any
    source_address: Any
    socket_options: Any

    def _new_conn(self) -> socket.socket:
        last: OSError | None = None
        try:
            found = socket.getaddrinfo(self._dns_host.strip("[]"), self.port, type=socket.SOCK_STREAM)
        except (socket.gaierror, UnicodeError) as error:
            raise urllib3.exceptions.NameResolutionError(self.host, self, error) from None  # type: ignore[arg-type]
        for family, kind, protocol, _, address in found:
            check_address(str(address[0]), allow_local=self.allow_local)
            connection = socket.socket(family, kind, protocol)
            try:
                connection.settimeout(self.timeout if isinstance(self.timeout, int | float) else 30)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection.connect(address)
            except OSError as error:
                connection.close()
                last = error
            else:
                return connection
        if isinstance(last, TimeoutError):
            raise urllib3.exceptions.ConnectTimeoutError(self, str(last)) from None
        raise urllib3.exceptions.NewConnectionError(self, str(last)) from None  # type: ignore[arg-type]


def guarded_pool(*, allow_local: bool, per_host: int, hosts: int = 64) -> urllib3.PoolManager:
    """A connection pool whose every connection, redirects included, goes to a public address only."""
    plain = type("GuardedHTTP", (_Guarded, HTTPConnection), {"allow_local": allow_local})
    secure = type("GuardedHTTPS", (_Guarded, HTTPSConnection), {"allow_local": allow_local})
    manager = urllib3.PoolManager(num_pools=hosts, maxsize=per_host, block=False, retries=False)
    manager.pool_classes_by_scheme = {
        "http": type("GuardedHTTPPool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
        "https": type("GuardedHTTPSPool", (HTTPSConnectionPool,), {"ConnectionCls": secure}),
    }
    return manager
