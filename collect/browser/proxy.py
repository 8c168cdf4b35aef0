"""A local proxy for the browser that connects to public addresses only.

A page can send a browser anywhere, by a redirect, an image or a script, and the browser would resolve names itself. The proxy
resolves each name once, checks the addresses, and connects to the checked address; through the user's own proxy where one is set,
whose password stays in this process.
"""

from __future__ import annotations

import re
import select
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from urllib.parse import urlsplit, urlunsplit

from fototeca.collect.browser.upstream import MAX_HEAD, UserProxies, open_tunnel, read_head
from fototeca.collect.http.guarded_sockets import PrivateAddressError, check_address

_CHUNK = 1 << 16
_CONNECT_SECONDS = 15.0
_IDLE_SECONDS = 120.0


class FilteringProxy(socketserver.ThreadingTCPServer):
    """The proxy and the hosts that it has refused."""

    daemon_threads = True
    block_on_close = False  # a page may keep a connection open forever

    def __init__(self, *, allow_loopback: bool) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.allow_loopback = allow_loopback
        self.refused_hosts: set[str] = set()
        self.user_proxies = UserProxies.read()

    @property
    def address(self) -> str:
        """URL of the proxy, for the browser's options."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def connect(self, scheme: str, host: str, port: int) -> socket.socket:
        """Return a connection to the first of the host's addresses that accepts one. OSError; PrivateAddressError."""
        problem = OSError(f"{host} has no address")
        upstream = self.user_proxies.find(scheme, host)
        for *_, resolved in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            address = str(resolved[0])
            check_address(address, allow_loopback=self.allow_loopback)
            try:
                if upstream and not ip_address(address.partition("%")[0]).is_loopback:
                    return open_tunnel(upstream, address, port, _CONNECT_SECONDS)
                return socket.create_connection((address, port), timeout=_CONNECT_SECONDS)
            except OSError as error:
                problem = error
        raise problem

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore a broken connection: the browser reports it to the page."""


@contextmanager
def open_proxy(*, allow_loopback: bool) -> Iterator[FilteringProxy]:
    """Yield a proxy that serves during the block."""
    proxy = FilteringProxy(allow_loopback=allow_loopback)
    thread = threading.Thread(target=proxy.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.shutdown()
        proxy.server_close()
        thread.join()


class _Handler(socketserver.BaseRequestHandler):
    """Serves one connection of the browser; a refused one is closed without a response, which the browser reports as an error."""

    request: socket.socket
    server: FilteringProxy

    def handle(self) -> None:
        self.request.settimeout(_IDLE_SECONDS)
        head, rest = read_head(self.request)
        method, target, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
        is_tunnel = method == "CONNECT"
        parts = urlsplit(f"//{target}" if is_tunnel else target)
        host = parts.hostname or ""
        try:
            upstream = self.server.connect("https" if is_tunnel else "http", host, parts.port or 80)
        except PrivateAddressError:
            self.server.refused_hosts.add(host)
            return
        with upstream:
            upstream.settimeout(_IDLE_SECONDS)
            if is_tunnel:
                self.request.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                upstream.sendall(rest)
            else:
                upstream.sendall(_to_origin_head(head, method, urlunsplit(("", "", parts.path or "/", parts.query, ""))) + rest)
            # One plain request per connection: the next one may be for another host.
            length = None if is_tunnel else _body_length(head)
            remaining = None if length is None else length - len(rest)
            with suppress(OSError):
                if not is_tunnel:
                    remaining = _relay_status_line(self.request, upstream, remaining)
                _relay(self.request, upstream, remaining)


def _to_origin_head(head: bytes, method: str, path: str) -> bytes:
    """Return the head to send to the site instead of the proxy: `path` only, and one request per connection."""
    lines = head.split(b"\r\n")[1:]
    headers = [line for line in lines if line.partition(b":")[0].strip().lower() not in (b"proxy-connection", b"connection")]
    first = f"{method} {path} HTTP/1.1".encode("latin-1")
    return b"\r\n".join([first, *headers, b"Connection: close"]) + b"\r\n\r\n"


def _body_length(head: bytes) -> int | None:
    """Return the bytes of the body; None if it is sent in chunks."""
    if re.search(rb"(?im)^transfer-encoding:", head):
        return None
    match = re.search(rb"(?im)^content-length:\s*(\d{1,12})\s*$", head)
    return int(match[1]) if match else 0


def _relay_status_line(browser: socket.socket, site: socket.socket, remaining: int | None) -> int | None:
    """Copy until the status line of the response, and add that the connection ends after the response.

    Otherwise a client keeps the connection for its next request, and may send it before it notices that the proxy closes it.
    Returns `remaining` without the bytes of the request's body that were copied.
    """
    line = b""
    while b"\r\n" not in line and len(line) < MAX_HEAD:
        ready, _, _ = select.select([browser, site], [], [], _IDLE_SECONDS)
        data = ready[0].recv(_CHUNK) if ready else b""
        if not data:
            raise ConnectionError("no response")
        if ready[0] is site:
            line += data
            continue
        if remaining is not None:
            if len(data) > remaining:
                raise ConnectionError("a second request")
            remaining -= len(data)
        site.sendall(data)
    status, _, rest = line.partition(b"\r\n")
    browser.sendall(status + b"\r\nConnection: close\r\n" + rest)
    return remaining


def _relay(browser: socket.socket, site: socket.socket, remaining: int | None) -> None:
    """Copy bytes in both directions until one side closes; from the browser only `remaining` bytes, unless it is None."""
    while True:
        ready, _, _ = select.select([browser, site], [], [], _IDLE_SECONDS)
        if not ready:
            return
        for stream in ready:
            data = stream.recv(_CHUNK)
            if not data or (stream is browser and remaining is not None and len(data) > remaining):
                return
            if stream is browser and remaining is not None:
                remaining -= len(data)
            (site if stream is browser else browser).sendall(data)
