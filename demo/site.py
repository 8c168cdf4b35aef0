"""Server of the gallery on 127.0.0.1, which behaves like an image search page. See docs/demo.md."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from PIL import Image, UnidentifiedImageError

from fototeca.demo.plan import Entry

BATCH = 24
"""Tiles of a page and of each fragment that scrolling adds."""

_TYPES = {"jpg": "image/jpeg", "webp": "image/webp", "png": "image/png"}
_LICENSE_NAMES = {
    "https://creativecommons.org/licenses/by/4.0/": "CC BY 4.0",
    "https://creativecommons.org/licenses/by-sa/4.0/": "CC BY-SA 4.0",
    "https://creativecommons.org/publicdomain/zero/1.0/": "CC0 1.0",
}
_PAGE = (Path(__file__).parent / "pages" / "search.html").read_text(encoding="utf-8")


@contextmanager
def serve_gallery(folder: Path, entries: Sequence[Entry], port: int = 0) -> Iterator[str]:
    """Serve the gallery from another process while the block runs; yield its base URL without a trailing slash.

    Port 0, or a port in use, is replaced by a free one.
    """
    context = get_context("spawn")
    ready = context.SimpleQueue()
    process = context.Process(target=_serve, args=(folder, list(entries), port, ready), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ready.get()}"
    finally:
        process.terminate()
        process.join()


def _serve(folder: Path, entries: Sequence[Entry], port: int, ready: SimpleQueue[int]) -> None:
    try:
        server = _Server(folder, entries, port)
    except OSError:  # the port is in use
        server = _Server(folder, entries, 0)
    ready.put(server.server_address[1])
    server.serve_forever()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, folder: Path, entries: Sequence[Entry], port: int) -> None:
        self.folder = folder
        self.by_query: dict[str, list[Entry]] = {}
        for entry in entries:
            for query in entry.queries:
                self.by_query.setdefault(query, []).append(entry)
        self.by_name = {entry.name: entry for entry in entries}
        self.by_path = {entry.url_path: entry for entry in entries}
        self.limited: set[str] = set()
        super().__init__(("127.0.0.1", port), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Print errors, but not of clients that closed the connection."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *arguments: object) -> None:
        """Print no access log."""

    def do_GET(self) -> None:
        """Respond to one request."""
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        first, _, rest = parts.path.lstrip("/").partition("/")
        if parts.path == "/robots.txt":
            self._respond(b"User-agent: *\nDisallow: /private/\n", "text/plain")
        elif parts.path == "/search":
            self._respond(self._search(query).encode(), "text/html; charset=utf-8")
        elif parts.path == "/search/more":
            self._respond(self._more(query).encode(), "text/html; charset=utf-8")
        elif first == "photo" and rest in self.server.by_name:
            self._respond(_photo(self.server.by_name[rest]).encode(), "text/html; charset=utf-8")
        elif first == "thumbs" and rest.removesuffix(".jpg") in self.server.by_name:
            self._respond((self.server.folder / "thumbs" / rest).read_bytes(), "image/jpeg")
        elif parts.path in self.server.by_path:
            self._send_image(self.server.by_path[parts.path])
        else:
            self._respond(b"Not found", "text/plain", 404)

    def _respond(self, body: bytes, kind: str, status: int = 200, extra: tuple[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (("Content-Type", kind), ("Content-Length", str(len(body))), *([extra] if extra else [])):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _send_image(self, entry: Entry) -> None:
        if entry.kind == "limited" and entry.name not in self.server.limited:
            self.server.limited.add(entry.name)
            self._respond(b"Slow down", "text/plain", 429, ("Retry-After", "1"))
            return
        extra = ("X-Robots-Tag", "noai") if entry.kind == "opted-out" else None
        data = (self.server.folder / "images" / entry.file).read_bytes()
        self._respond(data, _TYPES[entry.file.rpartition(".")[2]], extra=extra)

    def _search(self, parameters: dict[str, str]) -> str:
        query = parameters.get("q") or parameters.get("category", "")
        entries = self.server.by_query.get(query, [])
        tiles = self._tiles(entries[:BATCH]) if entries else '<p class="empty">No results</p>'
        return _PAGE.replace("$QUERY", escape(query)).replace("$COUNT", str(len(entries))).replace("$TILES", tiles)

    def _more(self, parameters: dict[str, str]) -> str:
        offset = int(parameters.get("offset", "0")) if parameters.get("offset", "0").isdigit() else 0
        return self._tiles(self.server.by_query.get(parameters.get("q", ""), [])[offset : offset + BATCH])

    def _tiles(self, entries: Sequence[Entry]) -> str:
        return "\n".join(_tile(entry, _size(self.server.folder, entry)) for entry in entries)


def _size(folder: Path, entry: Entry) -> tuple[int, int] | None:
    """Return width and height of the full image; None if the file is not an image."""
    try:
        with Image.open(folder / "images" / entry.file) as image:
            return image.size
    except UnidentifiedImageError:
        return None


def _tile(entry: Entry, size: tuple[int, int] | None) -> str:
    attributes = f' data-full="{entry.url_path}" data-author="{escape(entry.author)}" data-license="{entry.license}"'
    attributes += f' data-width="{size[0]}" data-height="{size[1]}"' if size else ""
    thumbnail = f'<img loading="lazy" src="/thumbs/{entry.name}.jpg" alt="{entry.sign} sign">'
    return f'<a class="tile" href="/photo/{entry.name}"{"" if entry.hidden else attributes}>{thumbnail}</a>'


def _caption(entry: Entry) -> str:
    rights = f' <a rel="license" href="{entry.license}">{_LICENSE_NAMES[entry.license]}</a>' if entry.license else ""
    return f'<span class="author">{escape(entry.author)}</span>{rights}'


def _photo(entry: Entry) -> str:
    """Return the page of one image, from which the search page builds its lightbox."""
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{entry.name}</title><main>'
        f'<figure class="photo"><img class="full" src="{entry.url_path}" alt="{entry.sign} sign">'
        f'<figcaption>{_caption(entry)} <a class="page" href="/photo/{entry.name}">photo page</a></figcaption></figure></main>'
    )
