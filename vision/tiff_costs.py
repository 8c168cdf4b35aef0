"""Estimate what decoding the pages of a TIFF takes: a tile may be larger than its image, and a page than its file.

Tags are those of TIFF 6.0, and of its BigTIFF variant.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from fototeca.vision.limits import Cost

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _OFFSETS, _SAMPLES, _ROWS, _PLANAR = 256, 257, 258, 259, 273, 277, 278, 284
_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS = 322, 323, 324
_JPEG = frozenset((6, 7))
_NONE, _LZMA, _SEPARATE = 1, 34925, 2
_PER_BYTE = {1: 1e-9, 5: 6e-9, 32773: 3e-9, 32946: 1e-8, 8: 1e-8, 50000: 4e-9, 34925: 4e-8, 34712: 1.5e-7, 50001: 3e-8}
"""Seconds for a decoded byte by compression; 2e-8 for others."""

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Bytes of a value by its type."""

_CODES = {1: "B", 3: "H", 4: "I", 16: "Q"}
_PER_VALUE, _VALUE_BYTES = 2.5e-6, 160
"""Seconds and bytes that Pillow takes for a value of a tag."""

MAX_PAGES = 64
"""Directories that are read; `frames.MAX_FRAMES` of them are looked at."""

_MAX_ENTRIES = 4096
_Tags = dict[int, tuple[int, int]]
"""First value and number of values by tag."""


def tiff_cost(data: bytes) -> tuple[Cost, tuple[int, int] | None]:
    """Return the largest cost and the largest size of the pages of a TIFF that may be looked at."""
    cost, size = Cost(len(data) * 2e-9), (0, 0)
    for number, tags in enumerate(_pages(data)):
        page = _page_cost(data, tags)
        if number == 0 or page.seconds > 2 or page.size > cost.size:
            cost = Cost(max(cost.seconds, page.seconds), max(cost.size, page.size), page.why)
        if number == 0:
            size = tags.get(_WIDTH, (0, 0))[0], tags.get(_HEIGHT, (0, 0))[0]
    return cost, size if size[0] * size[1] else None


def _page_cost(data: bytes, tags: _Tags) -> Cost:
    """Return the cost of one page: its tiles or strips are decoded into a buffer of one of them."""
    width, height, compression = (tags.get(tag, (1, 1))[0] for tag in (_WIDTH, _HEIGHT, _COMPRESSION))
    samples, bits = max(tags.get(_SAMPLES, (1, 1))[0], 1), max(tags.get(_BITS, (1, 1))[0], 1)
    entries = sum(count for _, count in tags.values())
    if _TILE_WIDTH in tags:
        across, down = max(tags[_TILE_WIDTH][0], 1), max(tags.get(_TILE_HEIGHT, (1, 1))[0], 1)
    else:
        across, down = max(width, 1), max(min(tags.get(_ROWS, (height, 1))[0], height), 1)
    planes = samples if tags.get(_PLANAR, (1, 1))[0] == _SEPARATE else 1
    parts = -(-width // across) * -(-height // down) * planes
    part = (across * bits * (samples // planes) + 7) // 8 * down
    seconds = parts * part * _PER_BYTE.get(compression, 2e-8) + parts * (3e-5 if compression == _LZMA else 1e-5)
    if compression in _JPEG:
        scans = data.count(b"\xff\xda") / max(parts, 1)
        seconds += scans * (across * down * samples // 64) * parts * 6e-8
    buffer = 0 if compression == _NONE else part + (4 * across * down if compression in _JPEG else 0)
    name = "tile" if _TILE_WIDTH in tags else "strip"
    return Cost(seconds + entries * _PER_VALUE, buffer + _VALUE_BYTES * entries, f"{parts} {name}s of {across}×{down} pixels")


def _pages(data: bytes) -> Iterator[_Tags]:
    order, big = "<" if data[:1] == b"I" else ">", data[2:4] in (b"+\x00", b"\x00+")
    pointer, entry, number = ("Q", 20, "Q") if big else ("I", 12, "H")
    place: int = _number(data, 8 if big else 4, order + pointer)
    known: set[int] = set()
    while place and place not in known and len(known) < MAX_PAGES:
        known.add(place)
        count = _number(data, place, order + number)
        start = place + struct.calcsize(number)
        tags: _Tags = {}
        for at in range(start, start + entry * min(count, _MAX_ENTRIES), entry):
            if at + entry > len(data):
                break
            tag, kind, values = struct.unpack_from(order + ("HHQ" if big else "HHI"), data, at)
            tags.setdefault(tag, (_first(data, at, kind, values, order, big=big), min(values, len(data))))
        yield tags
        place = _number(data, start + entry * count, order + pointer)


def _first(data: bytes, at: int, kind: int, values: int, order: str, *, big: bool) -> int:
    """Return the first value of the entry at a position; 0 if it is no whole number."""
    if kind not in _CODES:
        return 0
    place = at + (12 if big else 8)
    if values * _SIZES[kind] > (8 if big else 4):
        place = _number(data, place, order + ("Q" if big else "I"))
    return _number(data, place, order + _CODES[kind])


def _number(data: bytes, place: int, code: str) -> int:
    """Return the number at a position, 0 beyond the end."""
    return int(struct.unpack_from(code, data, place)[0]) if 0 <= place <= len(data) - struct.calcsize(code) else 0
