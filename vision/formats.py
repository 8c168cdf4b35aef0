"""Recognize the format of a file by its bytes, not by its name."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import BinaryIO

from fototeca.vision.camera_raw import raw_kind

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
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (b"\xffO\xffQ", "JPEG 2000"),
    (b"#?RADIANCE", "HDR"),
    (b"v/1\x01", "OpenEXR"),
    (b"DDS ", "DDS"),
    (b"SIMPLE  =", "FITS"),
    (b"AT&TFORM", "DjVu"),
)
_VIDEO = (b"\x1aE\xdf\xa3", b"\x00\x00\x01\xba", b"FLV\x01")
_AVIF = frozenset((b"avif", b"avis"))
_HEIC = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"))
_ANY_HEIF = frozenset((b"mif1", b"mif2", b"msf1", b"miaf"))
_HTML = (b"<html", b"<head", b"<body", b"<!doctype html")


class DecodeError(Exception):
    """An image that cannot be decoded.

    Attributes:
        reason: `not-an-image`, `unsupported-format`, `camera-raw`, `truncated`, `too-many-pixels` or `too-costly`.
        detail: what the file is (`DNG`, `SVG`, its size in pixels), or what the decoder reports; may be empty.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason, self.detail = reason, detail


def sniff(data: bytes) -> str:
    """Return the format of a file in memory: JPEG, PNG, GIF, BMP, TIFF, WEBP, AVIF, HEIF, JXL or PPM.

    DecodeError: `camera-raw` with the kind (DNG, NEF, CR3...), `unsupported-format` for SVG, PDF, PSD, ICO, JPEG 2000 and
    others, `not-an-image` for anything else.
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
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    kind = next((name for magic, name in _RAW if head.startswith(magic)), "")
    is_tiff = head.startswith(_TIFF)
    if kind := kind or (raw_kind(file, head) if is_tiff else ""):
        raise DecodeError("camera-raw", kind)
    if is_tiff:
        return "TIFF"
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


def without_png_profile(data: bytes) -> bytes:
    """Return a PNG without the chunk of its ICC profile, for which Pillow refuses the file if it is absurd."""
    place = 8
    while place + 12 <= len(data):
        end = place + 12 + int.from_bytes(data[place : place + 4])
        if data[place + 4 : place + 8] == b"iCCP":
            return data[:place] + data[end:]
        if data[place + 4 : place + 8] == b"IDAT":
            break
        place = end
    return data


def read_jxl_size(data: bytes) -> tuple[int, int]:
    """Return width and height of a JPEG XL file (ISO/IEC 18181-1, SizeHeader). DecodeError if it has no code stream."""
    start = _jxl_code_stream(data)
    bits = int.from_bytes(data[start + 2 : start + 16], "little")

    def take(count: int) -> int:
        nonlocal bits
        value = bits & ((1 << count) - 1)
        bits >>= count
        return value

    def side() -> int:
        return 8 * (take(5) + 1) if small else 1 + take((9, 13, 18, 30)[take(2)])

    small = take(1)
    height = side()
    ratio = take(3)
    if not ratio:
        return side(), height
    across, down = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))[ratio - 1]
    return height * across // down, height


def _jxl_code_stream(data: bytes) -> int:
    """Return the position of the code stream of a JPEG XL file: 0, or in its box of the container."""
    if data.startswith(b"\xff\x0a"):
        return 0
    place = 0
    while 0 <= place <= len(data) - 16:
        size, kind, start = int.from_bytes(data[place : place + 4]), data[place + 4 : place + 8], place + 8
        if size == 1:
            size, start = int.from_bytes(data[start : start + 8]), start + 8
        if kind in (b"jxlc", b"jxlp"):
            return start + 4 * (kind == b"jxlp")
        if size < 8:
            break
        place += size
    raise DecodeError("not-an-image", "JPEG XL without a code stream")
