"""Estimate from the bytes of an image file what decoding it takes, before a decoder sees it.

The number of pixels does not tell: 286 KB of progressive JPEG with 2,500 scans take 15 s. Decoders are written in C and cannot be
interrupted from a thread, so files beyond the budget are refused by what their headers announce. Bytes within a format are
walked with a bounded number of steps. The rates were measured with `bench/decode_costs.py`; docs/decoding.md has its table.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import replace

from fototeca.vision.formats import DecodeError, read_jxl_size
from fototeca.vision.jpeg_costs import jpeg_cost
from fototeca.vision.limits import MAX_COST_BYTES, MAX_COST_SECONDS, MAX_PIXELS, MAX_STORED_PIXELS, Cost
from fototeca.vision.tiff_costs import tiff_cost

MAX_BLOCKS = 200_000
"""Chunks of a PNG or WebP, blocks of a GIF: more are not walked, and the file is refused."""

_FAR_TOO_LONG = 1e3
"""Seconds of a file that is not walked to its end."""

_PER_BLOCK = 4e-6
"""Seconds for a chunk, which Pillow reads in Python."""

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Channels of a PNG by its color type."""

_TEXT = 1 << 20
"""Largest text of one PNG chunk, in bytes, that Pillow decompresses."""

_INFLATE = 1032
"""Largest ratio of DEFLATE."""


def check_cost(cost: Cost, pixels: int, max_pixels: int) -> None:
    """Refuse a cost beyond the budget.

    An image of up to `MAX_PIXELS` may take MAX_COST_SECONDS and MAX_COST_BYTES. Where a person raised `--max-pixels`, twice its
    share of pixels counts, up to what an image of `--max-pixels` pixels may take.

    DecodeError: `too-costly`, with the value of `--max-pixels` that allows it.
    """
    scale = max(1.0, min(2 * pixels, max_pixels) / MAX_PIXELS)
    need = max(cost.seconds / MAX_COST_SECONDS, cost.size / MAX_COST_BYTES)
    if need <= scale:
        return
    parts = [f"about {cost.seconds:.1f} s"] if MAX_COST_SECONDS * scale < cost.seconds < 100 else []
    parts += ["too long"] if cost.seconds >= 100 else []
    parts += [f"{cost.size / 1e6:.0f} MB"] if cost.size > MAX_COST_BYTES * scale else []
    limit = math.ceil(need * MAX_PIXELS)
    hint = f"; --max-pixels {limit} allows it" if limit <= min(2 * pixels, MAX_STORED_PIXELS) else ""
    raise DecodeError("too-costly", f"decoding takes {' and '.join(parts)}{cost.why and f' ({cost.why})'}{hint}")


def estimate(data: bytes, name: str) -> tuple[Cost, tuple[int, int] | None]:
    """Return what the decoder of a format takes beside the pixels it returns, and the largest width and height it handles.

    The size is None where the format's plugin reads it without allocating for it.

    Args:
        data: the file.
        name: its format, from `sniff`.
    """
    return _ESTIMATES[name](data)


def _png(data: bytes) -> tuple[Cost, tuple[int, int] | None]:
    """Inflated rows at 10 ns a byte, twice as long if interlaced; texts; chunks, which Pillow reads in Python."""
    if data[12:16] != b"IHDR":
        raise DecodeError("not-an-image")
    width, height = int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
    depth, color, interlaced = data[24], data[25], data[28]
    size = height * (width * depth * _CHANNELS.get(color, 4) // 8 + 1)
    blocks = texts = 0
    for kind, length in _png_chunks(data):
        blocks += 1
        if kind in (b"zTXt", b"iTXt"):
            texts += min(_TEXT, _INFLATE * length)
    if blocks > MAX_BLOCKS:
        return Cost(_FAR_TOO_LONG, 0, f"more than {MAX_BLOCKS} chunks"), (width, height)
    return Cost(size * (2e-8 if interlaced else 1e-8) + blocks * _PER_BLOCK + texts * 1e-8, 4 * texts), (width, height)


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int]]:
    place, blocks = 8, 0
    while place + 12 <= len(data) and blocks <= MAX_BLOCKS:
        length, kind = int.from_bytes(data[place : place + 4]), data[place + 4 : place + 8]
        yield kind, length
        if kind == b"IEND":
            return
        place, blocks = place + 12 + length, blocks + 1


def _gif(data: bytes) -> tuple[Cost, tuple[int, int] | None]:
    """Largest extent of the canvas and the frames that are looked at, and blocks, which Pillow reads in Python."""
    width, height = (int.from_bytes(data[place : place + 2], "little") for place in (6, 8))
    canvas = width * height
    place = 13 + (3 << (data[10] & 7) + 1 if data[10] & 128 else 0) if len(data) > 12 else len(data)
    blocks = frames = 0
    while place < len(data) and blocks <= MAX_BLOCKS and frames < 64 and data[place] != 0x3B:
        kind, place = data[place], place + 1
        if kind == 0x21:
            place += 1
        elif kind == 0x2C and place + 9 < len(data):
            left, top, wide, high = (int.from_bytes(data[at : at + 2], "little") for at in range(place, place + 8, 2))
            width, height, flags = max(width, left + wide), max(height, top + high), data[place + 8]
            place += 10 + (3 << (flags & 7) + 1 if flags & 128 else 0)
            frames += 1
        else:
            blocks += 1
            continue
        while place < len(data) and data[place] and blocks <= MAX_BLOCKS:
            place, blocks = place + data[place] + 1, blocks + 1
        place, blocks = place + 1, blocks + 1
    if blocks > MAX_BLOCKS:
        return Cost(_FAR_TOO_LONG, 0, f"more than {MAX_BLOCKS} blocks"), (width, height)
    grown = 10 * width * height if width * height > canvas else 0
    return Cost(width * height * 1e-8 + blocks * 1e-6, grown, "frames beyond the canvas" if grown else ""), (width, height)


def _webp(data: bytes) -> tuple[Cost, tuple[int, int] | None]:
    """Two canvases of libwebp and a copy beside Pillow's image; 20 ns a pixel and 40 ns a byte."""
    kind = data[12:16]
    if kind == b"VP8X":
        width, height = (int.from_bytes(data[place : place + 3], "little") + 1 for place in (24, 27))
    elif kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    else:
        width, height = (int.from_bytes(data[place : place + 2], "little") & 0x3FFF for place in (26, 28))
    pixels = width * height
    return Cost(pixels * 2e-8 + len(data) * 4e-8, 12 * pixels), (width, height)


def _bmp(data: bytes) -> tuple[Cost, tuple[int, int] | None]:
    """Run lengths are decoded in Python, pixel by pixel where a row is padded."""
    if int.from_bytes(data[14:18], "little") < 40:
        width, height = (int.from_bytes(data[place : place + 2], "little") for place in (18, 20))
        return Cost(width * height * 5e-9), (width, height)
    width, height = (abs(int.from_bytes(data[place : place + 4], "little", signed=True)) for place in (18, 22))
    if int.from_bytes(data[30:34], "little") in (1, 2):
        return Cost(width * height * 2e-7 + len(data) * 7e-7, 2 * width * height, "run lengths"), (width, height)
    return Cost(width * height * 5e-9), (width, height)


_PPM_HEADER = re.compile(rb"P([1-6])\s+(?:#[^\n]*\n\s*)*(\d+)\s+(?:#[^\n]*\n\s*)*(\d+)(?:\s+(?:#[^\n]*\n\s*)*(\d+))?")


def _ppm(data: bytes) -> tuple[Cost, tuple[int, int] | None]:
    """Numbers in text, and largest values other than 255 and 65535, are decoded in Python."""
    match = _PPM_HEADER.match(data[:65536])
    if match is None:
        raise DecodeError("not-an-image")
    kind, width, height = int(match[1]), int(match[2][:9]), int(match[3][:9])
    if kind < 4:
        return Cost(len(data) * 3e-7, 3 * len(data), "numbers in text"), (width, height)
    if kind in (5, 6) and int((match[4] or b"255")[:9]) not in (255, 65535):
        return Cost(min(len(data), 3 * width * height) * 1e-6, 3 * len(data), "an odd largest value"), (width, height)
    return Cost(width * height * 5e-9), (width, height)


def _iso(data: bytes, per_pixel: float, per_byte: float, bytes_per_pixel: float) -> tuple[Cost, tuple[int, int] | None]:
    """Largest size that the boxes of an ISO base media file announce for an image or a tile (`ispe`)."""
    largest, place = (0, 0), data.find(b"ispe")
    for _ in range(1024):
        if place < 0:
            break
        size = int.from_bytes(data[place + 8 : place + 12]), int.from_bytes(data[place + 12 : place + 16])
        largest = max(largest, size, key=lambda size: size[0] * size[1])
        place = data.find(b"ispe", place + 4)
    pixels = largest[0] * largest[1]
    return Cost(pixels * per_pixel + len(data) * per_byte, int(pixels * bytes_per_pixel)), largest if pixels else None


def _jxl(data: bytes) -> tuple[Cost, tuple[int, int] | None]:
    width, height = read_jxl_size(data)
    return Cost(width * height * 2e-8 + len(data) * 2e-8, 4 * width * height), (width, height)


_ESTIMATES: dict[str, Callable[[bytes], tuple[Cost, tuple[int, int] | None]]] = {
    "JPEG": jpeg_cost,
    "PNG": _png,
    "GIF": _gif,
    "WEBP": _webp,
    "BMP": _bmp,
    "PPM": _ppm,
    "TIFF": tiff_cost,
    "AVIF": lambda data: _iso(data, 2e-8, 3e-8, 4),
    "HEIF": lambda data: _iso(data, 2e-8, 3e-8, 3.5),
    "JXL": _jxl,
}


def with_pixels(cost: Cost, mode: str, pixels: int, *, converts: bool, turns: bool, keeps: int = 0) -> Cost:
    """Add what Pillow's image, its turned copy and its conversion to RGB take to the cost of a decoder.

    Args:
        cost: of the decoder; its bytes are freed once the image is loaded, except `keeps`.
        mode: of Pillow's image.
        pixels: of the image.
        converts: the image is converted to RGB.
        turns: EXIF orientation is applied.
        keeps: bytes per pixel that the decoder holds until the file is closed.
    """
    stored = pixels * (1 if mode in ("1", "L", "P") else 2 if mode.startswith("I;16") else 4)
    peak = max(stored + cost.size, stored * 2 if turns else 0, stored + pixels * (keeps + (4 if converts else 0)))
    return replace(cost, seconds=cost.seconds + pixels * (1.2e-8 if converts else 4e-9), size=peak)
