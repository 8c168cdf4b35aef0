"""Copy an image without its metadata and with the same pixels, where its format allows that without encoding it again."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from zlib import crc32

from fototeca.vision import jpeg_segments
from fototeca.vision.formats import sniff
from fototeca.vision.image import find_orientation

_PNG_CHUNKS = frozenset(
    (
        *(b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"bKGD", b"pHYs"),
        *(b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"cICP", b"sBIT", b"mDCV", b"cLLI"),
        *(b"acTL", b"fcTL", b"fdAT"),
    )
)
"""Chunks of the pixels, their colors and frames; all others are left out: texts, EXIF, times, private chunks."""

_WEBP_CHUNKS = frozenset((b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP"))
_WEBP_EXIF, _WEBP_XMP = 0x08, 0x04
"""Flags of VP8X."""

_GIF_APPLICATIONS = frozenset((b"NETSCAPE2.0", b"ANIMEXTS1.0", b"ICCRGBG1012"))
"""Application extensions that stay: repetition and color profile."""

_PPM = re.compile(rb"P([456])\s+(\d{1,9})\s+(\d{1,9})(?:\s+(\d{1,5}))?\s")
_BMP_HEADER_END = 54
"""Length of the headers of a BMP without masks, profile or palette."""


def strip_metadata(data: bytes) -> bytes | None:
    """Return the file without EXIF, XMP, IPTC, comments, texts, maker notes, thumbnails, further images and trailing bytes.

    Pixels and ICC profile stay; an orientation other than the normal one stays as the only tag of a new EXIF. The bytes are
    returned unchanged if nothing was to be removed.

    Returns:
        The file; None for a format whose metadata cannot be cut out (TIFF, AVIF, HEIF, JXL, unusual BMP and PPM), or a file
        whose structure is broken. Decode these and write the pixels.

    Raises:
        DecodeError: the bytes are not an image.
    """
    name = sniff(data)
    if name not in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "PPM"):
        return None
    orientation = find_orientation(data)
    exif = _orientation_exif(orientation) if orientation != 1 else b""
    match name:
        case "JPEG":
            return jpeg_segments.copy_without_metadata(data, exif)
        case "PNG":
            return _strip_png(data, exif)
        case "WEBP":
            return _strip_webp(data, exif)
        case "GIF":
            return _strip_gif(data)
        case "BMP":
            return data if _is_plain_bmp(data) else None
        case _:
            return data if _is_plain_ppm(data) else None


def _orientation_exif(orientation: int) -> bytes:
    """Return EXIF (a TIFF structure) with the orientation alone."""
    return struct.pack("<2sHIHHHIHHI", b"II", 42, 8, 1, 0x0112, 3, 1, orientation, 0, 0)


def _strip_png(data: bytes, exif: bytes) -> bytes | None:
    """Copy the chunks in `_PNG_CHUNKS` up to IEND; None if the file ends before it."""
    parts, place = [data[:8]], 8
    while place + 12 <= len(data):
        end = place + 12 + int.from_bytes(data[place : place + 4])
        kind = data[place + 4 : place + 8]
        if end > len(data):
            return None
        if kind in _PNG_CHUNKS:
            parts.append(data[place:end])
        if kind == b"IHDR" and exif:
            parts.append(len(exif).to_bytes(4) + b"eXIf" + exif + crc32(b"eXIf" + exif).to_bytes(4))
        if kind == b"IEND":
            return b"".join(parts)
        place = end
    return None


def _riff_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and payload of RIFF chunks; ValueError if one is longer than the data."""
    place = 0
    while place + 8 <= len(data):
        size = int.from_bytes(data[place + 4 : place + 8], "little")
        if place + 8 + size > len(data):
            raise ValueError("truncated chunk")
        yield data[place : place + 4], data[place + 8 : place + 8 + size]
        place += 8 + size + size % 2


def _riff_chunk(kind: bytes, payload: bytes) -> bytes:
    return kind + len(payload).to_bytes(4, "little") + payload + b"\x00" * (len(payload) % 2)


def _strip_webp(data: bytes, exif: bytes) -> bytes | None:
    """Copy the chunks in `_WEBP_CHUNKS`, those of frames too; None if a chunk is truncated."""
    parts = []
    try:
        for kind, payload in _riff_chunks(data[12 : 8 + int.from_bytes(data[4:8], "little")]):
            if kind == b"VP8X" and payload:
                flags = payload[0] & ~_WEBP_XMP & ~_WEBP_EXIF | (_WEBP_EXIF if exif else 0)
                parts.append(_riff_chunk(kind, bytes((flags,)) + payload[1:10]))
            elif kind == b"ANMF":
                frame = (_riff_chunk(*chunk) for chunk in _riff_chunks(payload[16:]) if chunk[0] in _WEBP_CHUNKS)
                parts.append(_riff_chunk(kind, payload[:16] + b"".join(frame)))
            elif kind in _WEBP_CHUNKS:
                parts.append(_riff_chunk(kind, payload))
    except ValueError:
        return None
    if exif and data[12:16] != b"VP8X":
        return None
    if exif:
        parts.append(_riff_chunk(b"EXIF", exif))
    content = b"WEBP" + b"".join(parts)
    return b"RIFF" + len(content).to_bytes(4, "little") + content


def _strip_gif(data: bytes) -> bytes | None:
    """Copy frames and their controls; comments, plain texts and applications such as XMP are left out."""
    place = 13 + (3 << (data[10] & 7) + 1) * (data[10] >> 7)
    parts = [data[:place]]
    while place < len(data):
        kind, start = data[place], place
        if kind == 0x3B:
            return b"".join([*parts, b";"])
        if kind == 0x2C and place + 10 < len(data):
            place += 11 + (3 << (data[place + 9] & 7) + 1) * (data[place + 9] >> 7)
        elif kind == 0x21:
            place += 2
        else:
            return None
        first = data[place + 1 : place + 1 + data[place]] if place < len(data) else b""
        while place < len(data) and data[place]:
            place += data[place] + 1
        place += 1
        if place > len(data):
            return None
        label = data[start + 1]
        if kind == 0x2C or label == 0xF9 or (label == 0xFF and first in _GIF_APPLICATIONS):
            parts.append(data[start:place])
    return None


def _is_plain_bmp(data: bytes) -> bool:
    """Return True for an uncompressed BMP of 24 or 32 bits that holds nothing but its headers and its pixels."""
    if len(data) < _BMP_HEADER_END:
        return False
    offset, header, width, height, _, depth, compression = struct.unpack_from("<IIiiHHI", data, 10)
    rows = (width * depth + 31) // 32 * 4 * abs(height)
    is_simple = header == 40 and depth in (24, 32) and compression == 0 and not any(data[6:10])
    return is_simple and offset == _BMP_HEADER_END and len(data) == offset + rows


def _is_plain_ppm(data: bytes) -> bool:
    """Return True for a binary PBM, PGM or PPM without comments and with nothing after its pixels."""
    match = _PPM.match(data)
    if match is None or (match[1] == b"4") != (match[4] is None):
        return False
    kind, width, height = (int(value) for value in match.groups()[:3])
    row = (width + 7) // 8 if kind == 4 else width * (3 if kind == 6 else 1) * (1 if int(match[4]) < 256 else 2)
    return len(data) == match.end() + row * height
