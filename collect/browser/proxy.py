"""The browser's only way out: a proxy on this machine that connects to public addresses only.

A page can send a browser anywhere, by a redirect, an image or a script, and the browser would resolve the names itself. So
every one of its connections is made here: resolved once, checked, and made to that very address.
"""

from __future__ import annotations

import re
import select
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit, urlunsplit

from fototeca.collect.http.guarded_sockets import PrivateAddressError, check_address

_HEAD = 1 << 18
"""Bytes of a request's head."""

_CHUNK = 1 << 16
_CONNECT_SECONDS = 15.0
_IDLE_SECONDS = 120.0


class FilteringProxy(socketserver.ThreadingTCPServer):
    """The proxy, and the names that it would not connect to."""

    daemon_threads = True
    block_on_close = False  # a page may keep a connection open for ever

    def __init__(self, *, allow_loopback: bool) -> None:
        super().__init__(("127.0.0.1", 0), _Passage)
        self.allow_loopback = allow_loopback
        self.refused: set[str] = set()

    @property
    def address(self) -> str:
        """What the browser is given as its proxy."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def connect(self, host: str, port: int) -> socket.socket:
        """A connection to the first of the host's addresses that answers; OSError, PrivateAddressError."""
        problem = OSError(f"{host} has no address")
        for *_, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            check_address(str(address[0]), allow_loopback=self.allow_loopback)
            try:
                return socket.create_connection((str(address[0]), port), timeout=_CONNECT_SECONDS)
            except OSError as error:
                problem = error
        raise problem

    def handle_error(self, request: object, client_address: object) -> None:
        """A connection that breaks is the page's affair."""


@contextmanager
def open_gateway(*, allow_loopback: bool) -> Iterator[FilteringProxy]:
    """A gateway that serves while the block runs."""
    gateway = FilteringProxy(allow_loopback=allow_loopback)
    thread = threading.Thread(target=gateway.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield gateway
    finally:
        gateway.shutdown()
        gateway.server_close()
        thread.join()


class _Passage(socketserver.BaseRequestHandler):
    """One connection of the browser; without an answer it is closed, which the browser tells as an error."""

    request: socket.socket
    server: FilteringProxy

    def handle(self) -> None:
        self.request.settimeout(_IDLE_SECONDS)
        head, rest = _read_head(self.request)
        method, target, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
        tunnel = method == "CONNECT"
        parts = urlsplit(f"//{target}" if tunnel else target)
        host = parts.hostname or ""
        try:
            upstream = self.server.connect(host, parts.port or 80)
        except PrivateAddressError:
            self.server.refused.add(host)
            return
        with upstream:
            upstream.settimeout(_IDLE_SECONDS)
            if tunnel:
                self.request.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                upstream.sendall(rest)
            else:
                upstream.sendall(_for_origin(head, method, urlunsplit(("", "", parts.path or "/", parts.query, ""))) + rest)
            # A plain request is the only one of its connection: the next one may be for another host.
            length = None if tunnel else _body_length(head)
            more = None if length is None else length - len(rest)
            with suppress(OSError):
                _pass(self.request, upstream, more)


def _read_head(stream: socket.socket) -> tuple[bytes, bytes]:
    """A request's line and headers, and what came with them of its body."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = stream.recv(_CHUNK)
        if not piece or len(data) > _HEAD:
            raise ConnectionError("no request")
        data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def _for_origin(head: bytes, method: str, path: str) -> bytes:
    """The head as the site itself is sent it."""
    lines = head.split(b"\r\n")[1:]
    kept = [line for line in lines if line.partition(b":")[0].strip().lower() not in (b"proxy-connection", b"connection")]
    first = f"{method} {path} HTTP/1.1".encode("latin-1")
    return b"\r\n".join([first, *kept, b"Connection: close"]) + b"\r\n\r\n"


def _body_length(head: bytes) -> int | None:
    """Bytes of the body; None where only its pieces tell."""
    if re.search(rb"(?im)^transfer-encoding:", head):
        return None
    found = re.search(rb"(?im)^content-length:\s*(\d{1,12})\s*$", head)
    return int(found[1]) if found else 0


def _pass(browser: socket.socket, site: socket.socket, more: int | None) -> None:
    """Hand bytes to and fro until one side ends; from the browser only `more` of them, unless it is None."""
    while True:
        ready, _, _ = select.select([browser, site], [], [], _IDLE_SECONDS)
        if not ready:
            return
        for stream in ready:
            data = stream.recv(_CHUNK)
            if not data or (stream is browser and more is not None and len(data) > more):
                return
            if stream is browser and more is not None:
                more -= len(data)
            (site if stream is browser else browser).sendall(data)
