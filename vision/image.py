"""Decoding one image from bytes that may be hostile.

The order is the defence: magic bytes, then the header with its pixel count, then the full decode.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".mpo"})
"""Endings of the files of a folder that are taken for images."""

MAX_PIXELS = 50_000_000
"""An image with more pixels is refused before it is decoded (200 MB as RGB)."""

DECODE_VERSION = 1
"""Version of the decoding rules (profiles, transparency, orientation, frame), stored in versions, runs and cache keys."""

Grey = NDArray[np.uint8]
"""Grey levels, (H, W)."""

Pixels = NDArray[np.uint8]
"""RGB, (H, W, 3)."""

ImageFile.LOAD_TRUNCATED_IMAGES = False
Image.MAX_IMAGE_PIXELS = None  # the cap below is checked on the header, and may be set per call

_MAGIC = (
    (b"\xff\xd8\xff", ("JPEG",)),  # MPO too: its first image is a JPEG
    (b"\x89PNG\r\n\x1a\n", ("PNG",)),
    (b"GIF87a", ("GIF",)),
    (b"GIF89a", ("GIF",)),
    (b"BM", ("BMP",)),
    (b"II*\x00", ("TIFF",)),
    (b"MM\x00*", ("TIFF",)),
)
_TOPS = (255.0, 1023.0, 4095.0, 16383.0, 65535.0)
"""Largest values of 8, 10, 12, 14 and 16 bits: cameras and microscopes write fewer bits than their files have room for."""

_STRIP = 256
"""Lines that are made grey at once."""

_REFUSED = (
    (b"%PDF", "PDF"),
    (b"8BPS", "PSD"),
    (b"\x00\x00\x01\x00", "ICO"),
    (b"PK\x03\x04", "ZIP"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\x00\x00\x00\x0cJXL \r\n\x87\n", "JPEG XL"),
)
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_HTML = (b"<html", b"<head", b"<body", b"<!doctype html")


class DecodeError(Exception):
    """Why an image cannot be used: `reason` is one of the fixed words, the message adds what was seen."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(detail or reason)
        self.reason = reason


@dataclass(frozen=True)
class ImageInfo:
    """What the header says. Width and height in pixels, after EXIF orientation."""

    format: str
    width: int
    height: int
    mode: str


def sniff(data: bytes) -> tuple[str, ...]:
    """Pillow's formats that the magic bytes allow. DecodeError: `unsupported-format` for what is known but refused
    (SVG, HEIC, JPEG XL, PDF, PSD, ICO, ZIP), `not-an-image` for everything else."""
    for magic, formats in _MAGIC:
        if data.startswith(magic):
            return formats
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return ("WEBP",)
    if data[4:8] == b"ftyp" and data[8:12] in (b"avif", b"avis"):
        return ("AVIF",)
    if data[4:8] == b"ftyp" and data[8:12] in _HEIC:
        raise DecodeError("unsupported-format", "HEIC")
    for magic, name in _REFUSED:
        if data.startswith(magic):
            raise DecodeError("unsupported-format", name)
    head = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith(b"<") and any(word in head for word in _HTML):
        raise DecodeError("not-an-image", "HTML")
    if head.startswith(b"<") and b"<svg" in head:
        raise DecodeError("unsupported-format", "SVG")
    raise DecodeError("not-an-image")


@contextmanager
def _open(data: bytes, max_pixels: int) -> Iterator[Image.Image]:
    """The image with its header read and its size checked; whatever Pillow raises becomes a DecodeError."""
    formats = sniff(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of broken metadata: the pixels are what counts
            with Image.open(io.BytesIO(data), formats=formats) as image:
                if image.width * image.height > max_pixels:
                    raise DecodeError("too-many-pixels", f"{image.width}×{image.height}")
                yield image
    except UnidentifiedImageError:
        raise DecodeError("not-an-image") from None
    except (DecodeError, MemoryError):
        raise
    except Exception as error:  # Pillow's plugins raise anything on broken files
        raise DecodeError("truncated", str(error)) from None


def _turned(image: Image.Image) -> bool:
    """Whether EXIF orientation, as far as the header has it, swaps width and height."""
    try:
        return _header_exif(image).get(0x0112) in (5, 6, 7, 8)
    except Exception:  # metadata too broken to read: take the image as it lies
        return False


def _header_exif(image: Image.Image) -> Image.Exif:
    """The EXIF that lies before the pixels: asked for all of it, Pillow decodes the whole of a PNG to look behind them."""
    if image.format != "PNG":
        return image.getexif()
    exif = Image.Exif()
    exif.load(image.info.get("exif", b""))
    return exif


def _info(image: Image.Image) -> ImageInfo:
    size = (image.height, image.width) if _turned(image) else (image.width, image.height)
    return ImageInfo(str(image.format), *size, image.mode)


def inspect(data: bytes, *, max_pixels: int = MAX_PIXELS) -> ImageInfo:
    """Read magic bytes and header only. DecodeError with one of the reasons of `decode`."""
    with _open(data, max_pixels) as image:
        return _info(image)


def decode(source: bytes | Path, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decode the first frame fully, as RGB, EXIF orientation applied, transparency on white.

    DecodeError reasons: `not-an-image`, `unsupported-format`, `truncated`, `too-many-pixels`.
    OSError when `source` is a file that cannot be read.
    """
    return decode_with_info(source, max_pixels=max_pixels)[0]


def decode_with_info(source: bytes | Path, *, max_pixels: int = MAX_PIXELS) -> tuple[Image.Image, ImageInfo]:
    """`decode` and `inspect` for the price of one decode."""
    data = source if isinstance(source, bytes) else source.read_bytes()
    with _open(data, max_pixels) as image:
        info = _info(image)
        image.load()
        picture = _rgb(_upright(image))
        return picture, replace(info, width=picture.width, height=picture.height)


def decode_pixels(source: bytes | Path, *, max_pixels: int = MAX_PIXELS) -> Pixels:
    """What `decode` gives, as an array; most JPEGs come without the detour through a Pillow image."""
    data = source if isinstance(source, bytes) else source.read_bytes()
    with _open(data, max_pixels) as image:
        pixels = None if _turn(image) else _jpeg(image, data)
        return np.array(_rgb(_upright(image))) if pixels is None else pixels


def decode_grey(source: bytes | Path, *, max_pixels: int = MAX_PIXELS) -> tuple[Grey, ImageInfo]:
    """The grey levels of what `decode` gives, and what `inspect` says, for less than the price of one decode."""
    from fototeca.vision.kernels import grey_of  # a compiler, which whoever only needs colours does not wait for

    data = source if isinstance(source, bytes) else source.read_bytes()
    with _open(data, max_pixels) as image:
        info = _info(image)
        pixels = None if _turn(image) else _jpeg(image, data)
        levels = _strips(_upright(image)) if pixels is None else grey_of(pixels)
        return levels, replace(info, width=levels.shape[1], height=levels.shape[0])


def _strips(image: Image.Image) -> Grey:
    """Grey levels of an image of any mode, strip by strip: beside a large one there is no room for it in colour."""
    if image.mode.startswith(("I", "F")):
        return np.array(_rgb(image).convert("L"))  # these are scaled by the range of the whole
    levels = np.empty((image.height, image.width), np.uint8)
    for top in range(0, image.height, _STRIP):
        strip = image.crop((0, top, image.width, min(top + _STRIP, image.height)))
        grey = strip.mode == "L" and "transparency" not in strip.info
        levels[top : top + _STRIP] = np.asarray(strip if grey else _rgb(strip).convert("L"))
    return levels


def _jpeg(image: Image.Image, data: bytes) -> Pixels | None:
    """A colour JPEG's pixels in two thirds of the time that Pillow and a copy of its memory take, bit for bit the same; None of
    any other image.

    What is not flawless is left to Pillow, which mends or refuses it.
    """
    if image.format != "JPEG" or image.mode != "RGB":
        return None
    try:
        pixels: Pixels = simplejpeg.decode_jpeg(data, strict=True)
    except ValueError:
        return None
    return pixels if pixels.shape == (image.height, image.width, 3) else None


def _turn(image: Image.Image) -> bool:
    """Whether EXIF orientation asks for the pixels to lie otherwise."""
    try:
        return bool(image.getexif().get(0x0112, 1) != 1)
    except Exception:  # metadata too broken to read: take the image as it lies
        return False


def _upright(image: Image.Image) -> Image.Image:
    """The image with EXIF orientation applied; the same object where there is nothing to turn, since copies cost time."""
    try:
        return ImageOps.exif_transpose(image) if _turn(image) else image
    except Exception:
        return image


def _rgb(image: Image.Image) -> Image.Image:
    """Eight-bit RGB of any mode; 16-bit images are scaled by the bits that they use, float ones by their range."""
    if image.mode == "RGB":
        return image.copy() if image.readonly else image
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image, dtype=np.float64)
        most = max(float(values.max(initial=0)), 1.0)
        top = next((top for top in _TOPS if top >= most), most) if image.mode.startswith("I") else most
        return Image.fromarray(np.clip(values / top * 255, 0, 255).astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        rgba = image if image.mode == "RGBA" else image.convert("RGBA")
        white = Image.new("RGB", rgba.size, "white")
        white.paste(rgba, mask=rgba)
        return white
    return image.convert("RGB")


def grey_levels(image: Image.Image | Grey) -> Grey:
    """Grey levels (H, W) of an image of any mode, as Pillow's convert("L") has them; what is grey levels already stays."""
    if isinstance(image, Image.Image):
        return np.asarray(image if image.mode == "L" else image.convert("L"))
    return image
