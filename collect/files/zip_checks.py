"""Check the directory of a zip file before zipfile reads it, which takes 4 µs and 500 bytes an entry."""

from __future__ import annotations

import os
import struct
import zipfile
from collections.abc import Sequence
from pathlib import Path

_END = b"PK\x05\x06"
_END_64 = b"PK\x06\x06"
"""Signatures of the two records that end a zip file (APPNOTE 6.3.10, sections 4.3.14 and 4.3.16)."""

_TAIL = 65_557 + 76
"""Bytes at the end of a zip file among which both records stand."""

_SMALL = 1_000_000
"""Bytes; a directory up to this size is read in archives of any size."""

_MAX_DIRECTORY = 200_000_000
"""Bytes; a million entries with names of a hundred characters take three quarters of it."""

_LOCAL_HEADER = 30
"""Bytes of a member's header, its name not counted."""


def check_zip_directory(path: Path) -> None:
    """Refuse a zip file whose directory is longer than what it lists, or longer than that of a million files.

    Members have headers of nearly the same length as their entries, so a directory of 400,000 entries that is longer than the
    rest of the archive lists files that are empty, or the same bytes again and again.

    BadZipFile: the directory is too long.
    """
    size, directory = path.stat().st_size, _directory_size(path)
    if directory > _MAX_DIRECTORY or (directory > _SMALL and directory * 5 > size * 2):
        raise zipfile.BadZipFile(f"its directory of {directory / 1e6:.0f} MB lists empty or repeated files")


def _directory_size(path: Path) -> int:
    """Return the bytes of a zip file's directory as its last record says; 0 if there is none."""
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
        tail = file.read()
    end, end_64 = tail.rfind(_END), tail.rfind(_END_64)
    sizes = [0]
    if 0 <= end <= len(tail) - 22:
        sizes.append(struct.unpack_from("<I", tail, end + 12)[0])
    if 0 <= end_64 <= len(tail) - 56:
        sizes.append(struct.unpack_from("<Q", tail, end_64 + 40)[0])
    known = [size for size in sizes if size != 0xFFFFFFFF]
    return min(max(known), path.stat().st_size)


def check_overlaps(infos: Sequence[zipfile.ZipInfo]) -> None:
    """Refuse a zip file in which members share bytes: a file of kilobytes lists petabytes in this way.

    Source: D. Fifield, "A better zip bomb", WOOT 2019. zipfile checks it from Python 3.11.8 and 3.12.2 on, as it opens a member.

    BadZipFile: two members overlap, or one lies before the file.
    """
    end = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        if info.header_offset < end:
            raise zipfile.BadZipFile("its members overlap or lie outside of it")
        end = info.header_offset + _LOCAL_HEADER + info.compress_size
