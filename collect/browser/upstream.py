"""The user's own proxy (`HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`), through which the filtering proxy connects.

The proxy is asked for a tunnel to an address that was checked here, never for a name that it would resolve again.
"""

from __future__ import annotations

import socket
import urllib.request
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

MAX_HEAD = 1 << 18
"""Bytes of the first line of a message with its headers."""
_CHUNK = 1 << 16


@dataclass(frozen=True)
class UserProxies:
    """Proxies by scheme, and under "no" the hosts that are reached without one."""

    urls: Mapping[str, str]

    @classmethod
    def read(cls) -> UserProxies:
        """Return the proxies that the environment names now; the clients of hubs see another environment later."""
        return cls(urllib.request.getproxies_environment())

    def find(self, scheme: str, host: str) -> SplitResult | None:
        """Return the URL of the HTTP proxy for a host; None if there is none, or if the host is reached without one."""
        url = self.urls.get(scheme, "")
        parts = urlsplit(url if "://" in url else f"http://{url}")
        excepted = urllib.request.proxy_bypass_environment(host, dict(self.urls))  # type: ignore[attr-defined]
        return parts if parts.scheme == "http" and parts.hostname and not excepted else None


def open_tunnel(proxy: SplitResult, address: str, port: int, seconds: float) -> socket.socket:
    """Return a connection to an IP address through a proxy. OSError if the proxy does not answer or refuses."""
    target = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if proxy.username:
        pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
        lines.append(f"Proxy-Authorization: Basic {b64encode(pair.encode()).decode()}")
    connection = socket.create_connection((str(proxy.hostname), proxy.port or 80), timeout=seconds)
    try:
        connection.sendall("\r\n".join((*lines, "", "")).encode("ascii"))
        head, rest = read_head(connection)
        status = head.split(b" ", 2)[1:2]
        if status != [b"200"] or rest:
            raise ConnectionError(f"the proxy {proxy.hostname} refuses {target}")
    except BaseException:
        connection.close()
        raise
    return connection


def read_head(stream: socket.socket) -> tuple[bytes, bytes]:
    """Return the first line of a message with its headers, and the part of the body received with them."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = stream.recv(_CHUNK)
        if not piece or len(data) > MAX_HEAD:
            raise ConnectionError("no message")
        data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest
