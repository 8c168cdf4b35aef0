"""Local pages: serve an ASGI application at 127.0.0.1 behind the guard, and open it in a browser.

Every page of fototeca is served by `serve_locally`. The key that opens a page is in no process's arguments: a browser is given a
file that only this user can read and that leads to the page. hypercorn is imported on use.
"""

from __future__ import annotations

import asyncio
import errno
import html
import socket
import threading
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fototeca.core.console import notify
from fototeca.core.errors import ExternalError
from fototeca.core.files import write_text
from fototeca.core.web_guard import LOCAL, POLICY, Application, Guard
from fototeca.core.web_limits import WebLimits

_STOP_SECONDS = 3.0
"""Time that running requests have to end when the server stops."""
_IDLE_SECONDS = 15
"""Time in which a connection must send the headers of its next request."""
_MAX_HEAD = 32_768
"""Bytes of a request line with its headers."""


class LocalServer:
    """A running server; `new_address` gives a URL for one browser, `open_browser` opens one, `wait` serves until Ctrl-C."""

    def __init__(self, guard: Guard, listener: socket.socket) -> None:
        self.guard = guard
        self.port: int = listener.getsockname()[1]
        self._listener = listener
        self._loop = asyncio.new_event_loop()
        self._stopped = asyncio.Event()
        self._problem: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="fototeca-web", daemon=True)
        self._files: list[Path] = []

    def new_address(self, to: str = "/", on_open: Callable[[], None] | None = None) -> str:
        """Return a URL that opens the path `to` in one browser. `on_open` is called when it was used."""
        return self.guard.new_address(to, on_open)

    def announce(self, text: str, to: str = "/") -> None:
        """Print an address of the path `to` and a text to stderr, and another address each time that one was used."""

        def announce_next() -> None:
            notify(f"to open another browser or phone: {self.new_address(to, announce_next)}")

        notify(f"{self.new_address(to, announce_next)}\n{text}")

    def open_browser(self, folder: Path, to: str = "/") -> None:
        """Open the path `to` in the user's browser.

        Args:
            folder: folder of the temporary file that leads to the page, which the browser can read; a browser in a sandbox
                (snap, flatpak) reads neither hidden folders nor /tmp.
            to: path of the page.
        """
        path = folder / "open.html"
        write_text(path, _leading_page(self.new_address(to, lambda: path.unlink(missing_ok=True))), mode=0o600)
        self._files.append(path)
        webbrowser.open(path.absolute().as_uri())

    def wait(self) -> None:
        """Serve until Ctrl-C. ExternalError (exit 4) if the application does not start."""
        with suppress(KeyboardInterrupt):
            while self._thread.is_alive():
                self._thread.join(0.5)
        if self._problem:
            raise ExternalError(f"the page at {LOCAL}:{self.port} stopped: {self._problem}") from self._problem

    def start(self) -> None:
        """Serve in a thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the server and its thread, and remove the files that lead to it."""
        with suppress(RuntimeError):  # its loop is closed already
            self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(2 * _STOP_SECONDS)
        for path in self._files:
            path.unlink(missing_ok=True)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            try:
                runner.run(self._serve())
            except BaseException as error:
                self._problem = error

    async def _serve(self) -> None:
        from hypercorn.asyncio import serve
        from hypercorn.config import Config

        config = Config()
        config.bind = [f"fd://{self._listener.detach()}"]
        config.errorlog = None  # it would print addresses; the guard prints exceptions
        config.alpn_protocols = ["http/1.1"]
        config.include_server_header = False
        config.h11_max_incomplete_size = _MAX_HEAD
        config.keep_alive_timeout = _IDLE_SECONDS
        config.graceful_timeout = _STOP_SECONDS / 2
        app: Any = self.guard  # hypercorn names every kind of message
        serving = asyncio.ensure_future(serve(app, config, shutdown_trigger=self._stopped.wait, mode="asgi"))
        stopping = asyncio.ensure_future(self._stopped.wait())
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if self._stopped.is_set():  # asyncio reports each connection that is cut
            self._loop.set_exception_handler(lambda loop, context: None)
        done, _ = await asyncio.wait({serving}, timeout=_STOP_SECONDS)
        stopping.cancel()
        if done:
            serving.result()


@contextmanager
def serve_locally(
    app: Application, *, port: int, policy: str = POLICY, limits: WebLimits | None = None, api_key: str = ""
) -> Iterator[LocalServer]:
    """Serve an ASGI application behind the guard during the block.

    Args:
        app: the application; its startup and shutdown events are called.
        port: port of 127.0.0.1; 0 for any free one.
        policy: Content-Security-Policy of responses that have none of their own.
        limits: sizes, times and rates.
        api_key: see `Guard`.

    Raises:
        ExternalError: (exit 4) the port is in use, or cannot be used.

    Example:
        with serve_locally(app, port=5151) as server:
            server.announce("press Ctrl-C here to finish")
            server.wait()
    """
    listener = _listen(port)
    guard = Guard(app, port=listener.getsockname()[1], policy=policy, limits=limits, api_key=api_key)
    server = LocalServer(guard, listener)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def check_port(port: int) -> None:
    """Raise ExternalError (exit 4) if nothing can be served at the port, before work that takes long."""
    _listen(port).close()


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((LOCAL, port))
        listener.listen()
    except (OSError, OverflowError) as error:
        listener.close()
        in_use = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        problem = f"port {port} is in use" if in_use else f"the page cannot be served at {LOCAL}:{port}: {error}"
        raise ExternalError(problem, "choose another port with --port") from None
    return listener


def _leading_page(url: str) -> str:
    return (
        '<!doctype html><meta charset="utf-8"><meta name="referrer" content="no-referrer"><title>fototeca</title>'
        f'<meta http-equiv="refresh" content="0;url={html.escape(url)}"><a href="{html.escape(url)}">fototeca</a>\n'
    )
