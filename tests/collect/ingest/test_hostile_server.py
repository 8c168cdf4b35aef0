"""A hostile local server: every fault gets its state and reason, nothing hangs, memory stays bounded."""

from __future__ import annotations

import gzip
import hashlib
import io
import socket
import socketserver
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image

from fototeca.collect.catalog import Catalog
from fototeca.core.workspace import Workspace, create_workspace
from tests.servers import jpeg

TIMEOUT = 6.0
Send = Callable[[socket.socket, str, int], None]


def plain(body: bytes, kind: str = "image/jpeg", status: str = "200 OK", *headers: str) -> Send:
    """Send a well-formed response."""

    def send(to: socket.socket, base: str, visit: int) -> None:
        lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(body)}", "Connection: close", *headers]
        soon = format_datetime(datetime.now(UTC) + timedelta(seconds=3), usegmt=True)
        head = "\r\n".join(lines).replace("$BASE", base).replace("$SOON", soon)
        to.sendall(head.encode("latin-1") + b"\r\n\r\n" + body)

    return send


def raw(data: bytes, *, pause: float = 0.0, step: int = 0, reset: bool = False) -> Send:
    """Send raw bytes, `step` at a time with pauses, then reset the connection if `reset`."""

    def send(to: socket.socket, base: str, visit: int) -> None:
        for start in range(0, len(data), step or len(data) or 1):
            to.sendall(data[start : start + (step or len(data))])
            time.sleep(pause)
        if reset:
            to.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return send


def endless(head: bytes, piece: bytes) -> Send:
    """Send an endless body."""

    def send(to: socket.socket, base: str, visit: int) -> None:
        to.sendall(head)
        while True:
            to.sendall(piece)

    return send


def first_then(*answers: Send) -> Send:
    """Send the responses in order, then repeat the last."""
    return lambda to, base, visit: answers[min(visit, len(answers) - 1)](to, base, visit)


def late(seconds: float, then: Send) -> Send:
    """Wait, then send a response."""

    def send(to: socket.socket, base: str, visit: int) -> None:
        time.sleep(seconds)
        then(to, base, visit)

    return send


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    """Return an image encoded in a format."""
    file = io.BytesIO()
    image.save(file, form, **options)  # type: ignore[arg-type]
    return file.getvalue()


def noise(seed: int, mode: str = "RGB", side: int = 96) -> Image.Image:
    """Return a noise image; different seeds give dissimilar images."""
    bands = len(Image.new(mode, (1, 1)).getbands())
    values = np.random.default_rng(seed).integers(0, 255, (8, 8, bands) if bands > 1 else (8, 8)).astype(np.uint8)
    return Image.fromarray(values, mode if bands > 1 else "L").resize((side, side))


def png_bomb(side: int) -> bytes:
    """Return a valid PNG of side × side black pixels with a few kilobytes per megapixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    row = b"\0" * (side + 1)
    body = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


GOOD = jpeg(1)
OK = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="200" height="200"><rect width="9" height="9"/></svg>'
GIF = encoded(noise(40), "GIF", save_all=True, append_images=[noise(41), noise(42)])
EXIF = Image.Exif()
EXIF[0x0112] = 6

AVIF_HEAD, _, AVIF_BODY = encoded(noise(31), "AVIF").partition(b"mdat")
BROKEN_AVIF = AVIF_HEAD + b"mdat" + bytes(len(AVIF_BODY))

# name: response, expected state, expected reason
FAULTS: dict[str, tuple[Send, str, str]] = {
    "good.jpg": (plain(GOOD), "accepted", ""),
    "same-bytes.jpg": (plain(GOOD), "rejected", "duplicate"),
    "slow-headers.jpg": (raw(OK + b"X-Padding: " + b"x" * 4000, pause=0.05, step=1), "failed", "timeout"),
    "silent.jpg": (late(30, plain(jpeg(2))), "failed", "timeout"),
    "slow-body.jpg": (raw(OK + b"Content-Length: 9000\r\n\r\n" + jpeg(3)[:900], pause=0.05, step=1), "failed", "timeout"),
    "endless.jpg": (endless(OK + b"\r\n", b"\xff" * 65536), "rejected", "too-large"),
    "endless-chunks.jpg": (
        endless(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b"x" * 65536 + b"\r\n"), "rejected", "too-large"),
    "announced-huge.jpg": (raw(OK + b"Content-Length: 99999999999\r\n\r\nxx"), "rejected", "too-large"),
    "length-too-long.jpg": (raw(OK + b"Content-Length: 99999\r\n\r\n" + jpeg(4)), "failed", "incomplete"),
    "length-too-short.jpg": (raw(OK + b"Content-Length: 500\r\n\r\n" + jpeg(5)), "rejected", "truncated"),
    "length-nonsense.jpg": (raw(OK + b"Content-Length: -5\r\nConnection: close\r\n\r\n" + jpeg(6)), "accepted", ""),
    "reset-half-way.jpg": (raw(OK + b"Content-Length: 9000\r\n\r\n" + jpeg(7)[:700], reset=True), "failed", "incomplete"),
    "reset-at-once.jpg": (raw(b"", reset=True), "failed", "connection"),
    "closed-at-once.jpg": (raw(b""), "failed", "connection"),
    "no-http.jpg": (raw(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"), "failed", "connection"),
    "endless-header.jpg": (endless(OK, b"X-A: " + b"a" * 8192 + b"\r\n"), "failed", "connection"),
    "broken-chunk.jpg": (raw(OK + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\nabc\r\n"), "failed", "incomplete"),
    "redirect-loop.jpg": (
        plain(b"", "text/html", "302 Found", "Location: $BASE/redirect-loop.jpg"), "rejected", "too-many-redirects"),
    "redirect-private.jpg": (
        plain(b"", "text/html", "302 Found", "Location: http://10.1.2.3/a.jpg"), "rejected", "private-address"),
    "redirect-metadata.jpg": (
        plain(b"", "text/html", "301 Moved", "Location: http://169.254.169.254/latest"), "rejected", "private-address"),
    "redirect-mapped.jpg": (
        plain(b"", "text/html", "307 Moved", "Location: http://[::ffff:192.168.0.1]/a.jpg"), "rejected", "private-address"),
    "redirect-file.jpg": (plain(b"", "text/html", "302 Found", "Location: file:///etc/passwd"), "rejected", "bad-url"),
    "redirect-good.jpg": (plain(b"", "text/html", "302 Found", "Location: /target.jpg"), "accepted", ""),
    "gzip-bomb.jpg": (
        plain(gzip.compress(b"\0" * 50_000_000), "image/jpeg", "200 OK", "Content-Encoding: gzip"), "rejected", "encoded"),
    "429-seconds.jpg": (
        first_then(plain(b"", "text/plain", "429 Slow down", "Retry-After: 2"), plain(jpeg(8))), "accepted", ""),
    "429-date.jpg": (
        first_then(plain(b"", "text/plain", "429 Slow down", "Retry-After: $SOON"), plain(jpeg(9))), "accepted", ""),
    "429-odd-date.jpg": (
        plain(b"", "text/plain", "429 Slow down", "Retry-After: Wed, 21 Oct 99999999999999999999 07:28:00 GMT"),
        "failed", "http-429"),
    "length-endless.jpg": (
        raw(OK + b"Connection: close\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n" + jpeg(33)), "accepted", ""),
    "503-long.jpg": (plain(b"", "text/plain", "503 Busy"), "failed", "http-503"),
    "500-then-200.jpg": (first_then(plain(b"", "text/plain", "500 Oops"), plain(jpeg(10))), "accepted", ""),
    "403.jpg": (plain(b"no", "text/plain", "403 Forbidden"), "failed", "http-403"),
    "404.jpg": (plain(jpeg(11), "image/jpeg", "404 Not Found"), "failed", "http-404"),
    "410.jpg": (plain(b"", "text/plain", "410 Gone"), "failed", "http-410"),
    "204.jpg": (plain(b"", "image/jpeg", "204 No Content"), "failed", "http-204"),
    "206.jpg": (plain(jpeg(12)[:500], "image/jpeg", "206 Partial Content"), "failed", "http-206"),
    "empty.jpg": (plain(b""), "rejected", "not-an-image"),
    "html.jpg": (plain(b"<!doctype html><title>Log in</title>" * 20), "rejected", "not-an-image"),
    "json.jpg": (plain(b'{"error": "no"}', "application/json"), "rejected", "not-an-image"),
    "drawing.svg": (plain(SVG, "image/svg+xml"), "rejected", "unsupported-format"),
    "svg-as-png.png": (plain(b"<?xml version='1.0'?>" + SVG, "image/png"), "rejected", "unsupported-format"),
    "paper.jpg": (plain(b"%PDF-1.7\n" + b"x" * 3000), "rejected", "unsupported-format"),
    "truncated.jpg": (plain(jpeg(13)[:-400]), "rejected", "truncated"),
    "truncated.png": (plain(encoded(noise(14), "PNG")[:-60], "image/png"), "rejected", "truncated"),
    "1x1.png": (plain(encoded(Image.new("RGB", (1, 1)), "PNG"), "image/png"), "rejected", "too-small"),
    "thin.png": (plain(encoded(noise(15).resize((4000, 20)), "PNG"), "image/png"), "rejected", "too-small"),
    "broken-head.jpg": (plain(b"\xff\xd8\xff" + b"junk" * 400), "rejected", "not-an-image"),
    "broken.avif": (plain(BROKEN_AVIF, "image/avif"), "rejected", "truncated"),
    "photo.heic": (plain(b"\x00\x00\x00\x18ftypheic" + b"\0" * 900, "image/heic"), "rejected", "not-an-image"),
    "photo.tif": (plain(b"II*\0\x10\0\0\0CR\x02\0" + b"\0" * 900, "image/tiff"), "rejected", "camera-raw"),
    "photo.jxl": (plain(b"\xff\x0a" + b"\0" * 900, "image/jxl"), "rejected", "truncated"),
    "9900.png": (plain(png_bomb(9_900), "image/png"), "rejected", "too-many-pixels"),
    "30000.png": (plain(png_bomb(30_000), "image/png"), "rejected", "too-many-pixels"),
    "png-as-jpeg.jpg": (plain(encoded(noise(16), "PNG"), "image/jpeg"), "accepted", ""),
    "declared-text.jpg": (plain(jpeg(17), "text/plain"), "accepted", ""),
    "animated.gif": (plain(GIF, "image/gif"), "accepted", ""),
    "cmyk.jpg": (plain(encoded(noise(18, "CMYK"), "JPEG")), "accepted", ""),
    "16-bit.png": (plain(encoded(noise(19).convert("L").convert("I").convert("I;16"), "PNG"), "image/png"), "accepted", ""),
    "transparent.png": (plain(encoded(noise(20, "RGBA"), "PNG"), "image/png"), "accepted", ""),
    "turned.jpg": (plain(encoded(noise(21).resize((120, 80)), "JPEG", exif=EXIF)), "accepted", ""),
    "opted-out.jpg": (plain(jpeg(22), "image/jpeg", "200 OK", "X-Robots-Tag: noai, noimageai"), "rejected", "opted-out"),
    "noimageindex.jpg": (plain(jpeg(23), "image/jpeg", "200 OK", "X-Robots-Tag: noimageindex"), "rejected", "opted-out"),
    "other-agent.jpg": (plain(jpeg(24), "image/jpeg", "200 OK", "X-Robots-Tag: otherbot: noindex"), "accepted", ""),
    "forbidden/a.jpg": (plain(jpeg(25)), "rejected", "robots"),
    "%2E%2E%2F%2E%2E%2Fclimb.jpg": (plain(jpeg(26)), "accepted", ""),
    "na%00me.jpg": (plain(jpeg(27)), "accepted", ""),
    "ñandú 🦩.jpg": (plain(jpeg(28)), "accepted", ""),
    "cookie-bomb.jpg": (
        plain(jpeg(29), "image/jpeg", "200 OK", *[f"Set-Cookie: a{n}={'x' * 900}" for n in range(60)]), "accepted", ""),
}  # fmt: skip
FAULTS |= {  # the largest images that may be decoded: all of them at once would take gigabytes
    f"large-{number}.png": (plain(png_bomb(7_000 + number), "image/png"), "accepted", "") for number in range(6)
}
LONG = {f"long-{number}.jpg": (endless(OK + b"\r\n", b"\xff" * 65536), "rejected", "too-large") for number in range(16)}
LONG |= {f"heavy-{number}.jpg": (plain(b"x" * 25_000_000), "rejected", "not-an-image") for number in range(16)}
"""Together larger than the memory limit of the test."""

BY_ADDRESS = {
    "http://192.168.7.7/a.jpg": ("rejected", "private-address"),
    "http://no-such-host.invalid/a.jpg": ("failed", "dns"),
    "ftp://example.org/a.jpg": ("rejected", "bad-url"),
    "not an address": ("rejected", "bad-url"),
    "http://127.0.0.1:1/a.jpg": ("failed", "connection"),
}


HOSTS = 6
"""Number of servers: the circuit breaker would open for a single server with all faults."""


@pytest.fixture
def hostile() -> Iterator[tuple[list[str], dict[str, list[float]]]]:
    """Yield the base URLs of the servers, and the times at which each path was requested."""
    visits: defaultdict[str, list[float]] = defaultdict(list)
    lock = threading.Lock()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            data = b""
            while b"\r\n\r\n" not in data:
                if not (piece := self.request.recv(65536)):
                    return
                data += piece
            path = data.split(b" ")[1].decode().lstrip("/")
            with lock:
                visits[path].append(time.monotonic())
                visit = len(visits[path]) - 1
            with suppress(OSError):
                _answer(path)(self.request, f"http://127.0.0.1:{self.server.server_address[1]}", visit)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True
        request_queue_size = 128
        block_on_close = False

    servers = [Server(("127.0.0.1", 0), Handler) for _ in range(HOSTS)]
    for server in servers:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield [f"http://127.0.0.1:{server.server_address[1]}" for server in servers], visits
    for server in servers:
        server.shutdown()
        server.server_close()


def _answer(path: str) -> Send:
    if path == "robots.txt":
        return plain(b"User-agent: *\nDisallow: /forbidden/\n", "text/plain")
    wanted = {_path(name): send for name, (send, _, _) in {**FAULTS, **LONG}.items()} | {"target.jpg": plain(jpeg(30))}
    return wanted.get(path, plain(b"", "text/plain", "404 Not Found"))


def _path(name: str) -> str:
    return quote(name, safe="/%")


def _collect_in_process(workspace: Workspace, listed: Path, *limits: str) -> int:
    """Collect a list in another process; return its peak memory in kilobytes."""
    program = (
        "import sys, fototeca.cli\n"
        "try: fototeca.cli.main()\n"
        "finally: print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0], file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "collect", "urls", str(listed), "--category", "x", "--allow-loopback", *limits],
        cwd=workspace.root, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr  # short of the target
    return int(done.stderr.split()[-1])


def test_memory_stays_bounded_with_long_bodies(hostile: tuple[list[str], dict[str, list[float]]], tmp_path: Path) -> None:
    """With the default limits."""
    bases, _ = hostile
    workspace = create_workspace(tmp_path / "w", ["x"], target=100)
    listed = tmp_path / "list.txt"
    listed.write_text("\n".join(f"{bases[number % HOSTS]}/{name}" for number, name in enumerate(LONG)), encoding="utf-8")
    assert _collect_in_process(workspace, listed) < 400_000, "kilobytes"
    with Catalog.open(workspace) as catalog:
        ends = Counter((candidate.state, candidate.reason) for candidate in catalog.candidates.all())
    assert ends == {("rejected", "too-large"): 16, ("rejected", "not-an-image"): 16}


def test_every_fault_gets_its_state_and_reason(hostile: tuple[list[str], dict[str, list[float]]], tmp_path: Path) -> None:
    """Run as a process with bounded memory and time."""
    bases, visits = hostile
    url = {name: f"{bases[number % HOSTS]}/{_path(name)}" for number, name in enumerate(FAULTS)}
    assert len(FAULTS) + len(BY_ADDRESS) >= 60
    workspace = create_workspace(tmp_path / "w", ["x"], target=100)
    listed = tmp_path / "list.txt"
    listed.write_text("\n".join([*url.values(), *BY_ADDRESS]), encoding="utf-8")
    limits = ("--timeout", str(TIMEOUT), "--min-side", "32", "--max-bytes", "3000000", "--per-host", "16")
    assert _collect_in_process(workspace, listed, *limits) < 400_000, "kilobytes"
    with Catalog.open(workspace) as catalog:
        rows = {candidate.url: (candidate.state, candidate.reason) for candidate in catalog.candidates.all()}
        images = catalog.images.all()
        widths = {image.image_id: (image.width, image.height) for image in images}
        turned = catalog.candidates.get(url["turned.jpg"])
    expected = {url[name]: (state, reason) for name, (_, state, reason) in FAULTS.items()} | BY_ADDRESS
    assert {address: rows.get(address) for address in expected} == expected
    assert turned
    assert turned.image_id
    assert widths[turned.image_id] == (80, 120)  # its EXIF turns it; the bytes stay as they came
    assert not visits["forbidden/a.jpg"]
    for name in ("429-seconds.jpg", "429-date.jpg"):
        first, second = visits[name]
        assert second - first > 1.8, "the pause of Retry-After"
    stored = [path for path in workspace.images.rglob("*") if path.is_file()]  # no part of an image, nothing refused
    assert {workspace.relative(path) for path in stored} == {image.path for image in images}
    assert all(hashlib.sha256(path.read_bytes()).hexdigest() == path.stem for path in stored)
    assert {path.name for path in tmp_path.iterdir()} == {"w", "list.txt"}
