"""Recognize the format of a file by its bytes, whatever its name says."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

SUFFIXES = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".avif", ".avifs"),
        *(".mpo", ".heic", ".heif", ".heics", ".hif", ".jxl", ".ppm", ".pgm", ".pbm", ".pnm"),
    )
)
"""Usual file name suffixes of images. The bytes decide: files with other suffixes or none are images too."""

RAW_SUFFIXES = frozenset(
    (
        *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".iiq", ".kdc", ".mef", ".mos", ".mrw", ".nef"),
        *(".nrw", ".orf", ".pef", ".raf", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"),
    )
)
"""File name suffixes of camera raw files."""

HEAD = 4096
"""Bytes that tell the format of a file; of a TIFF, its directories are read too."""

_MAGIC = (
    (b"\xff\xd8\xff", "JPEG"),  # also MPO, whose first image is a JPEG
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"\xff\x0a", "JXL"),
    (b"\x00\x00\x00\x0cJXL \r\n\x87\n", "JXL"),
)
_PPM = re.compile(rb"P[1-6]\s+(#[^\n]*\n\s*)*\d")
_BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)
"""Lengths of the second header of a BMP."""

_TIFF = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
_RAW = (
    (b"FUJIFILMCCD-RAW", "RAF"),
    (b"II\x1a\x00\x00\x00HEAPCCDR", "CRW"),
    (b"IIRO", "ORF"),
    (b"IIRS", "ORF"),
    (b"MMOR", "ORF"),
    (b"IIU\x00", "RW2"),
    (b"FOVb", "X3F"),
    (b"\x00MRM", "MRW"),
)
_UNSUPPORTED = (
    (b"%PDF", "PDF"),
    (b"8BPS", "PSD"),
    (b"\x00\x00\x01\x00", "ICO"),
    (b"PK\x03\x04", "ZIP"),
)
_VIDEO = (b"\x1aE\xdf\xa3", b"\x00\x00\x01\xba", b"FLV\x01")
_AVIF = frozenset((b"avif", b"avis"))
_HEIC = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"))
_ANY_HEIF = frozenset((b"mif1", b"mif2", b"msf1", b"miaf"))
_HTML = (b"<html", b"<head", b"<body", b"<!doctype html")

_MAKE, _COMPRESSION, _PHOTOMETRIC, _NEXT_DIRECTORIES, _DNG_VERSION = 271, 259, 262, 330, 50706
_RAW_PHOTOMETRIC = frozenset((32803, 34892))
"""Values of PhotometricInterpretation for sensor data: color filter array and linear raw."""

_RAW_COMPRESSION = {34713: "NEF", 32767: "ARW", 32770: "SRW", 65535: "PEF", 65000: "KDC"}
_RAW_BY_MAKE = (
    ("NIKON", "NEF"),
    ("SONY", "ARW"),
    ("PENTAX", "PEF"),
    ("RICOH", "PEF"),
    ("SAMSUNG", "SRW"),
    ("CANON", "CR2"),
    ("HASSELBLAD", "3FR"),
    ("PHASE ONE", "IIQ"),
    ("LEAF", "MOS"),
    ("EASTMAN KODAK", "DCR"),
    ("KODAK", "DCR"),
    ("SEIKO EPSON", "ERF"),
    ("MAMIYA", "MEF"),
)
_MAX_DIRECTORIES, _MAX_ENTRIES, _MAX_TEXT = 16, 512, 64


class DecodeError(Exception):
    """An image that cannot be decoded.

    Attributes:
        reason: `not-an-image`, `unsupported-format`, `camera-raw`, `truncated` or `too-many-pixels`.
        detail: what the file is (`DNG`, `SVG`, its size in pixels), or what the decoder reports; may be empty.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason, self.detail = reason, detail


def sniff(data: bytes) -> str:
    """Return the format of a file in memory: JPEG, PNG, GIF, BMP, TIFF, WEBP, AVIF, HEIF, JXL or PPM.

    DecodeError: `camera-raw` with the kind (DNG, NEF, CR3...), `unsupported-format` for SVG, PDF, PSD, ICO and ZIP,
    `not-an-image` for anything else.
    """
    return _sniff(io.BytesIO(data))


def sniff_file(path: Path) -> str:
    """Return the format of a file as `sniff` does; reads its first bytes, and of a TIFF its directories.

    DecodeError as `sniff`. OSError if the file cannot be read.
    """
    with path.open("rb") as file:
        return _sniff(file)


def _sniff(file: BinaryIO) -> str:
    head = file.read(HEAD)
    for magic, name in _RAW:
        if head.startswith(magic):
            raise DecodeError("camera-raw", name)
    if head.startswith(_TIFF):
        if kind := _raw_kind(file, head):
            raise DecodeError("camera-raw", kind)
        return "TIFF"
    name = next((name for magic, name in _MAGIC if head.startswith(magic)), "")
    if name:
        return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] == b"ftyp":
        return _iso_format(head)
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return "BMP"
    if _PPM.match(head):
        return "PPM"
    raise _other_format(head)


def _iso_format(head: bytes) -> str:
    """Return AVIF or HEIF for an ISO base media file by its major and compatible brands; DecodeError for any other."""
    brand, length = head[8:12], min(int.from_bytes(head[:4]), len(head))
    compatible = [head[place : place + 4] for place in range(16, length - 3, 4)]
    if brand == b"crx ":
        raise DecodeError("camera-raw", "CR3")
    for known in (brand, *compatible) if brand in _ANY_HEIF else (brand,):
        if known in _AVIF:
            return "AVIF"
        if known in _HEIC:
            return "HEIF"
    if brand in _ANY_HEIF:
        return "HEIF"
    raise DecodeError("not-an-image", "video")


def _other_format(head: bytes) -> DecodeError:
    for magic, name in _UNSUPPORTED:
        if head.startswith(magic):
            return DecodeError("unsupported-format", name)
    if head.startswith(_VIDEO) or (head[:4] == b"RIFF" and head[8:12] == b"AVI "):
        return DecodeError("not-an-image", "video")
    text = head[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith(b"<") and any(word in text for word in _HTML):
        return DecodeError("not-an-image", "HTML")
    if text.startswith(b"<") and b"<svg" in text:
        return DecodeError("unsupported-format", "SVG")
    return DecodeError("not-an-image")


def _raw_kind(file: BinaryIO, head: bytes) -> str:
    """Return the kind of camera raw of a TIFF file, empty for a TIFF of pixels, also for one that a camera wrote.

    Raw files hold sensor data in one of their directories, and often a small preview in the first one, which readers of TIFF
    take for the photograph.
    """
    if head[8:10] == b"CR":
        return "CR2"
    if head[8:12] in (b"IIII", b"MMMM"):
        return "IIQ"
    make = ""
    is_raw = False
    for entries in _directories(file, head):
        if _DNG_VERSION in entries:
            return "DNG"
        make = make or _text(file, entries)
        compression = _RAW_COMPRESSION.get(_first(entries, _COMPRESSION))
        if compression:
            return next((kind for name, kind in _RAW_BY_MAKE if make.startswith(name)), compression)
        is_raw = is_raw or _first(entries, _PHOTOMETRIC) in _RAW_PHOTOMETRIC
    return next((kind for name, kind in _RAW_BY_MAKE if make.startswith(name)), "raw") if is_raw else ""


_Entries = dict[int, tuple[int, tuple[int, ...]]]
"""Count and values (for longer fields, the position of the text) of the entries of a directory by tag."""


def _directories(file: BinaryIO, head: bytes) -> Iterator[_Entries]:
    """Yield the directories of a TIFF, sub-directories included, a bounded number of them."""
    order, big = "<" if head[:1] == b"I" else ">", head[2:4] in (b"+\x00", b"\x00+")
    queue = list(_numbers(head[8:16] if big else head[4:8], order, "Q" if big else "I"))
    known: set[int] = set()
    while queue and len(known) < _MAX_DIRECTORIES:
        place = queue.pop(0)
        if not place or place in known:
            continue
        known.add(place)
        entries, following = _directory(file, place, order, big)
        yield entries
        queue += [*entries.get(_NEXT_DIRECTORIES, (0, ()))[1], *following]


def _directory(file: BinaryIO, place: int, order: str, big: bool) -> tuple[_Entries, list[int]]:
    """Read the directory at a position; return its entries and the position of the next one, nothing where it is damaged."""
    number, size, pointer = ("Q", 20, "Q") if big else ("H", 12, "I")
    (count,) = _numbers(_read(file, place, 8 if big else 2), order, number) or (0,)
    start = place + struct.calcsize(order + number)
    count = min(count, _MAX_ENTRIES)
    block = _read(file, start, count * size + struct.calcsize(order + pointer))
    entries: _Entries = {}
    for at in range(0, min(count * size, len(block) - size + 1), size):
        tag, kind, length = struct.unpack_from(order + ("HHQ" if big else "HHI"), block, at)
        entries[tag] = (length, _values(file, block[at + size - (8 if big else 4) : at + size], kind, length, order, pointer))
    return entries, list(_numbers(block[count * size :], order, pointer))


def _values(file: BinaryIO, field: bytes, kind: int, length: int, order: str, pointer: str) -> tuple[int, ...]:
    """Return the first values of an entry of whole numbers; of other types, the position of what it holds."""
    code = {3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}.get(kind)
    if code is None:
        return _numbers(field, order, pointer)
    length = min(length, _MAX_DIRECTORIES)
    size = length * struct.calcsize(order + code)
    if size > len(field):
        (place,) = _numbers(field, order, pointer)
        field = _read(file, place, size)
    return _numbers(field[:size], order, code)


def _text(file: BinaryIO, entries: _Entries) -> str:
    """Return the camera's make in upper case, empty if there is none."""
    length, places = entries.get(_MAKE, (0, ()))
    return _read(file, places[0], min(length, _MAX_TEXT)).decode("ascii", "replace").strip("\0 ").upper() if places else ""


def _first(entries: _Entries, tag: int) -> int:
    values = entries.get(tag, (0, ()))[1]
    return values[0] if values else 0


def _read(file: BinaryIO, place: int, size: int) -> bytes:
    if not 0 <= place < 1 << 62:
        return b""
    file.seek(place)
    return file.read(size)


def _numbers(data: bytes, order: str, code: str) -> tuple[int, ...]:
    """Return the whole numbers of one type that `data` begins with."""
    count = len(data) // struct.calcsize(order + code)
    return struct.unpack_from(f"{order}{count}{code}", data) if count else ()
