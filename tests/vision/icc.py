"""ICC profiles drawn for tests: RGB by a matrix, grey by a gamma, CMYK by a table."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable

WIDE = ((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446))
"""Primaries in XYZ (D50) of a wide gamut, as a camera stores them."""


def _fixed(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def _xyz(*values: float) -> bytes:
    return b"XYZ \0\0\0\0" + _fixed(*values)


def _gamma(value: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(value * 256))


def _profile(space: bytes, kind: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    """Version 2.4 profile with a description, a white point and these tags."""
    name = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(78)
    tags = {b"desc": name, b"cprt": b"text\0\0\0\0none\0", b"wtpt": _xyz(0.9642, 1, 0.8249), **tags}
    table, body = struct.pack(">I", len(tags)), b""
    for tag, value in tags.items():
        padded = value + bytes(-len(value) % 4)
        table += tag + struct.pack(">II", 132 + 12 * len(tags) + len(body), len(value))
        body += padded
    size = 128 + len(table) + len(body)
    head = struct.pack(">I", size) + bytes(4) + struct.pack(">I", 0x02400000) + kind + space + connection + bytes(12) + b"acsp"
    return head + bytes(28) + _fixed(0.9642, 1, 0.8249) + bytes(48) + table + body


def rgb_profile(primaries: tuple[tuple[float, float, float], ...] = WIDE, gamma: float = 2.2) -> bytes:
    """Monitor profile of these primaries."""
    columns = dict(zip((b"rXYZ", b"gXYZ", b"bXYZ"), (_xyz(*column) for column in primaries), strict=True))
    return _profile(b"RGB ", b"mntr", b"XYZ ", columns | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), _gamma(gamma)))


def grey_profile(gamma: float) -> bytes:
    """Monitor profile for grey levels."""
    return _profile(b"GRAY", b"mntr", b"XYZ ", {b"kTRC": _gamma(gamma)})


def cmyk_profile(lab: Callable[[tuple[int, ...]], tuple[float, float, float]]) -> bytes:
    """Printer profile whose table holds the Lab color of the sixteen full and empty inks."""
    identity = bytes(range(256))
    corners = itertools.product((0, 1), repeat=4)
    cells = b"".join(bytes((round(lightness * 2.55), round(a) + 128, round(b) + 128)) for lightness, a, b in map(lab, corners))
    lut = b"mft1\0\0\0\0" + bytes((4, 3, 2, 0)) + _fixed(1, 0, 0, 0, 1, 0, 0, 0, 1) + identity * 4 + cells + identity * 3
    return _profile(b"CMYK", b"prtr", b"Lab ", {b"A2B0": lut})
