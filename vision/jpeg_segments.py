"""Copy a JPEG without the segments that readers of its pixels do not need (ITU-T T.81, annex B)."""

from __future__ import annotations

import re
from collections.abc import Iterator

_MARKER = re.compile(rb"\xff[^\x00\xff]")
"""A marker; the bytes before it are skipped, as libjpeg does."""

_MARKER_IN_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
"""The marker that ends entropy-coded data, in which restart markers stand."""

_EOI, _SOS, _COM, _TEM = 0xD9, 0xDA, 0xFE, 0x01
_APP0, _APP1, _APP2, _APP14 = 0xE0, 0xE1, 0xE2, 0xEE
_TABLES = frozenset({*range(0xC0, 0xD0), *range(0xDB, 0xE0)})
"""Frames (SOF), tables (DHT, DAC, DQT), DNL, DRI, DHP and EXP."""

_JFIF_BYTES, _ADOBE_BYTES = 12, 12
"""Bytes of a JFIF segment before its thumbnail, and of an Adobe segment."""


def copy_without_metadata(data: bytes, exif: bytes) -> bytes | None:
    """Return the file without EXIF, XMP, IPTC, comments, thumbnails, further images and bytes after its end.

    Frames, scans and tables stay as they are, and so do the ICC profile and the color transform (JFIF, Adobe), so that the
    pixels are equal. None if the segments cannot be followed to the end of the image.

    Args:
        data: a JPEG file.
        exif: EXIF (a TIFF structure) to write into the copy; empty for none.
    """
    parts = [b"\xff\xd8"]
    orientation = _segment(_APP1, b"Exif\x00\x00" + exif) if exif else b""
    has_jfif = False
    for marker, payload, scan in _segments(data):
        if marker < 0:
            return None
        kept = _kept_payload(marker, payload)
        is_jfif = marker == _APP0 and kept is not None
        if kept is None or (is_jfif and has_jfif):
            continue
        if not is_jfif:
            parts.append(orientation)  # after JFIF, which must be first
            orientation = b""
        has_jfif = has_jfif or is_jfif
        parts += [_segment(marker, kept), scan]
    return b"".join([*parts, b"\xff\xd9"])


def _segments(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield marker, payload and, of a scan, its entropy-coded data, up to the end of the image; marker -1 where it is broken."""
    place = 2
    while match := _MARKER.search(data, place):
        marker, place = data[match.start() + 1], match.end()
        if marker == _EOI:
            return
        if marker == _TEM or 0xD0 <= marker <= 0xD7:
            continue
        length = int.from_bytes(data[place : place + 2])
        if length < 2 or place + length > len(data) or (marker not in _TABLES and not _SOS <= marker <= _COM):
            break
        payload, place = data[place + 2 : place + length], place + length
        scan = b""
        if marker == _SOS:
            end = _MARKER_IN_SCAN.search(data, place)
            if end is None:
                break
            scan, place = data[place : end.start()], end.start()
        yield marker, payload, scan
    yield -1, b"", b""


def _kept_payload(marker: int, payload: bytes) -> bytes | None:
    """Return the part of a segment that the copy has; None for none."""
    if marker == _APP0 and payload.startswith(b"JFIF\x00") and len(payload) >= _JFIF_BYTES + 2:
        return payload[:_JFIF_BYTES] + b"\x00\x00"
    if marker == _APP2 and payload.startswith(b"ICC_PROFILE\x00"):
        return payload
    if marker == _APP14 and payload.startswith(b"Adobe") and len(payload) >= _ADOBE_BYTES:
        return payload[:_ADOBE_BYTES]
    return payload if marker in _TABLES or marker == _SOS else None


def _segment(marker: int, payload: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(payload) + 2).to_bytes(2) + payload
