"""The gallery's site on 127.0.0.1, which behaves as image-search pages do. See docs/demo.md."""

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
"""Tiles that a page holds, and that scrolling adds."""

_TYPES = {"jpg": "image/jpeg", "webp": "image/webp", "png": "image/png"}
_NAMES = {
    "https://creativecommons.org/licenses/by/4.0/": "CC BY 4.0",
    "https://creativecommons.org/licenses/by-sa/4.0/": "CC BY-SA 4.0",
    "https://creativecommons.org/publicdomain/zero/1.0/": "CC0 1.0",
}
_PAGE = (Path(__file__).parent / "pages" / "search.html").read_text(encoding="utf-8")


@contextmanager
def serve_gallery(folder: Path, entries: Sequence[Entry], port: int = 0) -> Iterator[str]:
    """Serve the gallery from a process of its own while the block runs; its address without a slash at the end.

    Port 0, or one that somebody else has, becomes any that is free.
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
    except OSError:  # somebody else has the port by now
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
        self.by_address = {entry.address: entry for entry in entries}
        self.refused: set[str] = set()
        super().__init__(("127.0.0.1", port), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that goes away before its answer came is nothing to tell; anything else is."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Answer one request."""
        parts = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        first, _, rest = parts.path.lstrip("/").partition("/")
        if parts.path == "/robots.txt":
            self._answer(b"User-agent: *\nDisallow: /private/\n", "text/plain")
        elif parts.path == "/search":
            self._answer(self._search(asked).encode(), "text/html; charset=utf-8")
        elif parts.path == "/search/more":
            self._answer(self._more(asked).encode(), "text/html; charset=utf-8")
        elif first == "photo" and rest in self.server.by_name:
            self._answer(_photo(self.server.by_name[rest]).encode(), "text/html; charset=utf-8")
        elif first == "thumbs" and rest.removesuffix(".jpg") in self.server.by_name:
            self._answer((self.server.folder / "thumbs" / rest).read_bytes(), "image/jpeg")
        elif parts.path in self.server.by_address:
            self._draw_image(self.server.by_address[parts.path])
        else:
            self._answer(b"Not found", "text/plain", 404)

    def _answer(self, body: bytes, kind: str, status: int = 200, extra: tuple[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (("Content-Type", kind), ("Content-Length", str(len(body))), *([extra] if extra else [])):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _draw_image(self, entry: Entry) -> None:
        if entry.kind == "limited" and entry.name not in self.server.refused:
            self.server.refused.add(entry.name)
            self._answer(b"Slow down", "text/plain", 429, ("Retry-After", "1"))
            return
        extra = ("X-Robots-Tag", "noai") if entry.kind == "opted-out" else None
        data = (self.server.folder / "images" / entry.file).read_bytes()
        self._answer(data, _TYPES[entry.file.rpartition(".")[2]], extra=extra)

    def _search(self, asked: dict[str, str]) -> str:
        query = asked.get("q") or asked.get("category", "")
        entries = self.server.by_query.get(query, [])
        tiles = self._tiles(entries[:BATCH]) if entries else '<p class="empty">No results</p>'
        return _PAGE.replace("$QUERY", escape(query)).replace("$COUNT", str(len(entries))).replace("$TILES", tiles)

    def _more(self, asked: dict[str, str]) -> str:
        offset = int(asked.get("offset", "0")) if asked.get("offset", "0").isdigit() else 0
        return self._tiles(self.server.by_query.get(asked.get("q", ""), [])[offset : offset + BATCH])

    def _tiles(self, entries: Sequence[Entry]) -> str:
        return "\n".join(_tile(entry, _size(self.server.folder, entry)) for entry in entries)


def _size(folder: Path, entry: Entry) -> tuple[int, int] | None:
    """Of the full image; None of a file that is no image."""
    try:
        with Image.open(folder / "images" / entry.file) as image:
            return image.size
    except UnidentifiedImageError:
        return None


def _tile(entry: Entry, size: tuple[int, int] | None) -> str:
    told = f' data-full="{entry.address}" data-author="{escape(entry.author)}" data-license="{entry.license}"'
    told += f' data-width="{size[0]}" data-height="{size[1]}"' if size else ""
    shown = f'<img loading="lazy" src="/thumbs/{entry.name}.jpg" alt="{entry.sign} sign">'
    return f'<a class="tile" href="/photo/{entry.name}"{"" if entry.hidden else told}>{shown}</a>'


def _caption(entry: Entry) -> str:
    rights = f' <a rel="license" href="{entry.license}">{_NAMES[entry.license]}</a>' if entry.license else ""
    return f'<span class="author">{escape(entry.author)}</span>{rights}'


def _photo(entry: Entry) -> str:
    """The page of one image; the search page takes its lightbox from it."""
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{entry.name}</title><main>'
        f'<figure class="photo"><img class="full" src="{entry.address}" alt="{entry.sign} sign">'
        f'<figcaption>{_caption(entry)} <a class="page" href="/photo/{entry.name}">photo page</a></figcaption></figure></main>'
    )
