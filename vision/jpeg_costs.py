"""Count the scans of a JPEG before it is decoded: a decoder passes over all blocks of the image for each scan, however short.

Marker codes are those of ITU-T T.81, annex B.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from fototeca.vision.limits import Cost

_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
"""A marker, but no stuffed byte and no restart marker."""

_ALONE = frozenset((0x01, *range(0xD0, 0xDA)))
"""Markers without a length."""

_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SEQUENTIAL = frozenset((0xC0, 0xC1))
_SCAN, _END = 0xDA, 0xD9

_PER_BYTE, _PER_PIXEL = 1.2e-8, 6e-9
_PER_BLOCK, _PER_REFINED = 6e-9, 8e-10
"""Seconds for a block of 64 coefficients in one scan; in a scan that refines, for each of its coefficients more."""

_ARITHMETIC = 40.0
"""Arithmetic coding needs hardly a bit for a coefficient, so that bytes do not bound its time."""

_PER_SEGMENT, _PER_JUNK = 4e-6, 4e-7
"""Seconds for a segment before the first scan, and for a byte between segments, which Pillow reads in Python."""

MAX_MARKERS = 100_000
"""Markers that are walked; a photograph has less than a hundred."""


@dataclass
class _Frame:
    """The frame header: width and height in pixels, sampling factors by component."""

    width: int
    height: int
    factors: dict[int, tuple[int, int]]
    kind: int

    def blocks(self, components: list[int]) -> int:
        """Return the number of blocks of some components."""
        across = max((h for h, _ in self.factors.values()), default=1)
        down = max((v for _, v in self.factors.values()), default=1)
        sizes = (self.factors.get(component, (across, down)) for component in components)
        return sum(-(-self.width * h // (8 * across)) * -(-self.height * v // (8 * down)) for h, v in sizes)


def jpeg_cost(data: bytes) -> tuple[Cost, tuple[int, int] | None]:
    """Return what decoding a JPEG takes beside Pillow's image, and its size as its frame header has it.

    A sequential JPEG whose first scan has all components is decoded in that scan; of any other all scans are counted, and its
    coefficients are held in memory, 2 bytes each.
    """
    frame: _Frame | None = None
    place, scans, markers, seconds, junk = 2, 0, 0, 0.0, 0
    buffered = False
    while (match := _MARKER.search(data, place)) and markers <= MAX_MARKERS:
        marker, start = data[match.start() + 1], match.end()
        markers += 1
        if not scans:
            junk += match.start() - place
        if marker == _END and scans:
            break
        if marker in _ALONE:
            place = start
            continue
        length = int.from_bytes(data[start : start + 2])
        body, place = data[start + 2 : min(start + length, start + 1024)], start + max(length, 2)
        if marker in _FRAMES and frame is None:
            frame = _read_frame(marker, body)
        elif marker == _SCAN and frame is not None:
            scans += 1
            components = list(body[1 : 1 + 2 * body[0] : 2]) if body else []
            if scans == 1 and frame.kind in _SEQUENTIAL and len(components) >= len(frame.factors):
                break
            buffered = True
            seconds += _scan_seconds(frame, components, body)
    if markers > MAX_MARKERS:
        return Cost(1e3, 0, f"more than {MAX_MARKERS} markers"), _size(frame)
    seconds += len(data) * _PER_BYTE + (markers - scans) * _PER_SEGMENT + junk * _PER_JUNK
    if frame is None:
        return Cost(seconds), None
    seconds += frame.width * frame.height * _PER_PIXEL
    size = 128 * frame.blocks(list(frame.factors)) if buffered else 0
    return Cost(seconds, size, f"{scans} scans" if buffered else ""), _size(frame)


def _size(frame: _Frame | None) -> tuple[int, int] | None:
    return (frame.width, frame.height) if frame else None


def _read_frame(marker: int, body: bytes) -> _Frame:
    height, width = int.from_bytes(body[1:3]), int.from_bytes(body[3:5])
    count = body[5] if len(body) > 5 else 0
    parts = [body[place : place + 3] for place in range(6, 6 + 3 * count, 3)]
    factors = {part[0]: (max(part[1] >> 4, 1), max(part[1] & 15, 1)) for part in parts if len(part) == 3}
    return _Frame(width, height, factors, marker)


def _scan_seconds(frame: _Frame, components: list[int], body: bytes) -> float:
    """Return the seconds of passing over the blocks of a scan; `body` is its header."""
    end = 1 + 2 * len(components)
    first, last, bits = body[end : end + 3] if len(body) >= end + 3 else (0, 63, 0x11)
    each = _PER_BLOCK
    if first and bits >> 4:
        each += _PER_REFINED * (max(last - first, 0) + 1)
    return frame.blocks(components) * each * (_ARITHMETIC if frame.kind >= 0xC9 else 1)
