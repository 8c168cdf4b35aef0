"""An ASGI guard for pages of this machine: host, origin, one-time key, session cookie, limits and headers.

A browser runs pages of every site, and one of them may send requests to a port of this machine or let its own name resolve to
127.0.0.1. Other users of this machine may connect as well. The guard answers a request only if it names this server as its host,
comes from its own page, and has the cookie that `/open` gives once for each key. Everything else is refused before its body is
read and before the guarded application sees it.

Sources: OWASP Cross-Site Request Forgery Prevention; W3C Fetch Metadata Request Headers; RFC 6265bis, section 5.6.7 (SameSite).
"""

from __future__ import annotations

import asyncio
import html
import json
import re
import secrets
import traceback
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from contextlib import suppress
from hashlib import sha256
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, quote, urlencode

from fototeca.core.console import notify
from fototeca.core.web_limits import Bucket, WebLimits

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Any, Any, Any], Awaitable[None]]
"""An ASGI 3 application, called with scope, receive and send."""

LOCAL = "127.0.0.1"
"""Address that local servers listen on; other machines cannot reach it."""
OPEN = "/open"
"""Path that exchanges a one-time key for the cookie, and redirects to the path `to`."""
POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; form-action 'self';"
    " frame-ancestors 'none'"
)
"""Content-Security-Policy of responses that have none of their own."""

_SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))
_MAX_SESSIONS = 64
_MAX_HEADERS = 100

_HEADERS = {
    b"cache-control": b"no-store",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"referrer-policy": b"no-referrer",
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
}
"""Headers of every response; the application may choose another Cache-Control."""

_CLOSED = "open this page with the newest address that fototeca printed; an address opens one browser"


class Refusal(Exception):
    """A request that is refused with an HTTP status."""

    def __init__(self, status: HTTPStatus, text: str = "") -> None:
        super().__init__(text or status.phrase)
        self.status = status


class Guard:
    """Guards an ASGI application that is served at `port` of 127.0.0.1.

    Args:
        app: the application; it sees only requests that the guard let through, with complete bodies, and no WebSockets.
        port: port of the browser's URL.
        policy: Content-Security-Policy of responses that have none of their own.
        limits: sizes, times and rates.
        api_key: secret that a program sends as `Authorization: Bearer KEY` instead of the cookie; empty: programs are refused.
    """

    def __init__(
        self, app: Application, *, port: int, policy: str = POLICY, limits: WebLimits | None = None, api_key: str = ""
    ) -> None:
        self.app = app
        self.limits = limits or WebLimits()
        self.hosts = _hosts(port)
        self.origin = f"http://{LOCAL}:{port}"
        self.cookie = f"fototeca-{port}"
        self._headers = {**_HEADERS, b"content-security-policy": policy.encode("ascii")}
        self._api_key = _digest(f"Bearer {api_key}") if api_key else b""
        self._keys: dict[bytes, Callable[[], None] | None] = {}
        self._sessions: dict[bytes, None] = {}
        self._running = 0
        self._allowed = Bucket(self.limits.per_second)
        self._refused = Bucket(self.limits.refused_per_second)

    def new_address(self, to: str = "/", on_open: Callable[[], None] | None = None) -> str:
        """Return a URL that opens the path `to` in one browser. `on_open` is called when it was used."""
        key = secrets.token_urlsafe(32)
        self._keys[_digest(key)] = on_open
        return f"{self.origin}{OPEN}?{urlencode({'key': key, 'to': to})}"

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one ASGI connection."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
        else:
            response = _Response(send, self._headers)
            try:
                await self._answer(scope, receive, response)
            except Refusal as refusal:
                await self._refuse(refusal, response)

    async def _answer(self, scope: Message, receive: Receive, response: _Response) -> None:
        headers = _read_headers(scope)
        is_program = self._is_program(headers)
        self._check_source(scope, headers, has_origin=not is_program)
        if scope["path"] == OPEN and scope["method"] == "GET":
            return await self._open(scope, headers, response)
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            raise Refusal(HTTPStatus.FORBIDDEN)
        if not is_program and not self._has_session(headers):
            raise Refusal(HTTPStatus.FORBIDDEN, _CLOSED)
        if not self._allowed.take():
            raise Refusal(HTTPStatus.TOO_MANY_REQUESTS)
        if self._running >= self.limits.requests:
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE)
        self._running += 1
        try:
            await self._call(scope, await self._read_body(headers, receive), response)
        finally:
            self._running -= 1

    def _is_program(self, headers: Mapping[str, str]) -> bool:
        """Return True for the API key. A page of another site cannot send it: the header needs a permission nobody gives."""
        return bool(self._api_key) and _digest(headers.get("authorization", "")) == self._api_key

    def _check_source(self, scope: Message, headers: Mapping[str, str], *, has_origin: bool) -> None:
        """Refuse another host name (DNS rebinding) and another site's page (forgery). Programs and reading need no Origin."""
        if not scope["path"].startswith("/"):  # a whole URL, which may name another host than Host does
            raise Refusal(HTTPStatus.BAD_REQUEST)
        host = headers.get("host", "").lower()
        is_optional = scope["method"] in _SAFE_METHODS or not has_origin
        origin = headers.get("origin", f"http://{host}" if is_optional else "")
        if host not in self.hosts or origin != f"http://{host}":
            raise Refusal(HTTPStatus.FORBIDDEN)

    async def _open(self, scope: Message, headers: Mapping[str, str], response: _Response) -> None:
        """Exchange a key for the cookie. The address without the key follows, so the key stays in no history.

        A Strict cookie is not sent to a redirect of another site's link, nor to that of a file; a page of this server leads on.
        """
        query = {name: values[0] for name, values in parse_qs(scope["query_string"].decode("latin-1")).items()}
        target = _local_path(query.get("to", "/"))
        cookies: list[tuple[bytes, bytes]] = []
        if not self._has_session(headers):
            digest = _digest(query.get("key", ""))
            if digest not in self._keys:
                raise Refusal(HTTPStatus.FORBIDDEN, _CLOSED)
            on_open = self._keys.pop(digest)
            cookies = [(b"set-cookie", f"{self._new_session()}; HttpOnly; SameSite=Strict; Path=/".encode("ascii"))]
            if on_open:
                with suppress(OSError):  # a closed terminal or a full disk leaves the page open
                    on_open()
        if headers.get("sec-fetch-site", "none") in ("same-origin", "none"):
            await response.send_all(HTTPStatus.SEE_OTHER, b"", [*cookies, (b"location", target.encode("ascii"))])
        else:
            page = f'<!doctype html><title>fototeca</title><meta http-equiv="refresh" content="0;url={html.escape(target)}">'
            await response.send_all(HTTPStatus.OK, page.encode("ascii"), [*cookies, (b"content-type", b"text/html")])

    def _new_session(self) -> str:
        """Return a new session as `name=value`; the oldest one ends if there are too many."""
        token = secrets.token_urlsafe(32)
        self._sessions[_digest(token)] = None
        if len(self._sessions) > _MAX_SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        return f"{self.cookie}={token}"

    def _has_session(self, headers: Mapping[str, str]) -> bool:
        """Return True if one of the cookies is valid; a server at another port may have set another of the same name."""
        pairs = (part.strip().partition("=") for part in headers.get("cookie", "").split(";"))
        return any(name == self.cookie and _digest(value) in self._sessions for name, _, value in pairs)

    async def _read_body(self, headers: Mapping[str, str], receive: Receive) -> Receive:
        """Read the body within the limits; return a function that gives it to the application, then what else arrives."""
        size = headers.get("content-length", "0")
        if not re.fullmatch(r"[0-9]{1,15}", size) or int(size) > self.limits.max_body:
            raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        body = bytearray()
        try:
            async with asyncio.timeout(self.limits.body_seconds):
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Refusal(HTTPStatus.BAD_REQUEST)
                    body += message.get("body", b"")
                    more = message.get("more_body", False)
                    if len(body) > self.limits.max_body:
                        raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        except TimeoutError:
            raise Refusal(HTTPStatus.REQUEST_TIMEOUT) from None
        messages: list[Message] = [{"type": "http.request", "body": bytes(body), "more_body": False}]

        async def replay() -> Message:
            return messages.pop() if messages else await receive()

        return replay

    async def _call(self, scope: Message, receive: Receive, response: _Response) -> None:
        """Call the application. Its exceptions are printed without the request, and answered if it did not answer."""
        try:
            await self.app(scope, receive, response.send)
        except Refusal:
            raise
        except Exception:
            notify(traceback.format_exc())
            if not response.started:
                raise Refusal(HTTPStatus.INTERNAL_SERVER_ERROR) from None

    async def _refuse(self, refusal: Refusal, response: _Response) -> None:
        """Answer with the reason; without it once too many requests were refused."""
        status, text = refusal.status, str(refusal)
        if status == HTTPStatus.FORBIDDEN and not self._refused.take():
            status, text = HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.TOO_MANY_REQUESTS.phrase
        headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
        await response.send_all(status, json.dumps({"error": text}).encode("ascii"), headers)


class _Response:
    """Sends one response with the guard's headers; those that would share it with other sites are removed."""

    def __init__(self, send: Send, headers: Mapping[bytes, bytes]) -> None:
        self._send = send
        self._headers = headers
        self.started = False

    async def send(self, message: Message) -> None:
        """Send a message of the application."""
        if message["type"] == "http.response.start":
            self.started = True
            own = [(name.lower(), value) for name, value in message.get("headers", ())]
            chosen = {name for name, _ in own} & {b"cache-control", b"content-security-policy"}
            fixed = [pair for pair in self._headers.items() if pair[0] not in chosen]
            message = {**message, "headers": [*(pair for pair in own if self._is_kept(*pair)), *fixed]}
        await self._send(message)

    async def send_all(self, status: HTTPStatus, body: bytes, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Send a whole response of the guard, unless the application has begun its own."""
        if not self.started:
            size = (b"content-length", str(len(body)).encode("ascii"))
            await self.send({"type": "http.response.start", "status": int(status), "headers": [*headers, size]})
            await self.send({"type": "http.response.body", "body": body})

    def _is_kept(self, name: bytes, value: bytes) -> bool:
        is_replaced = name in self._headers and name not in (b"cache-control", b"content-security-policy")
        return not is_replaced and not name.startswith(b"access-control-")


def _hosts(port: int) -> frozenset[str]:
    """Return the values of Host that name this server. A browser leaves out port 80."""
    names = (LOCAL, "localhost")
    return frozenset((*(f"{name}:{port}" for name in names), *(names if port == 80 else ())))


def _digest(text: str) -> bytes:
    """Return what is stored and compared instead of a secret, so that the time of a comparison says nothing about it."""
    return sha256(text.encode("utf-8", "surrogatepass")).digest()


def _read_headers(scope: Message) -> dict[str, str]:
    """Return the headers by name; refuse repeated ones that decide about a request, and too many."""
    pairs = [(name.decode("latin-1").lower(), value.decode("latin-1").strip()) for name, value in scope["headers"]]
    headers = dict(pairs)
    cookies = [value for name, value in pairs if name == "cookie"]
    names = [name for name, _ in pairs]
    if len(pairs) > _MAX_HEADERS or any(names.count(name) > 1 for name in ("host", "origin", "content-length", "authorization")):
        raise Refusal(HTTPStatus.BAD_REQUEST)
    return {**headers, "cookie": ";".join(cookies)}


def _local_path(text: str) -> str:
    """Return a path of this server as ASCII; `/` for anything that a browser might read as another server."""
    with suppress(UnicodeError):
        if re.match(r"/(?![/\\])", text):
            return quote(text, safe="/?&=%:,;@+~!$()*-._")
    return "/"
