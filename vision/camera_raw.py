"""Tell camera raw files, most of which are TIFF files, from TIFF files of pixels."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

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


def raw_kind(file: BinaryIO, head: bytes) -> str:
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
