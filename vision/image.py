"""Decode one image from untrusted bytes.

Magic bytes are checked first, then the header with its pixel count, then the image is decoded.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from fototeca.vision.formats import SUFFIXES, DecodeError, sniff

__all__ = [
    "DECODE_VERSION",
    "MAX_PIXELS",
    "SUFFIXES",
    "DecodeError",
    "Grey",
    "ImageInfo",
    "Pixels",
    "decode",
    "decode_grey",
    "decode_pixels",
    "decode_with_info",
    "grey_levels",
    "inspect",
]

MAX_PIXELS = 50_000_000
"""Images with more pixels are rejected before decoding (200 MB as RGB)."""

DECODE_VERSION = 1
"""Version of the decoding rules (profiles, transparency, orientation, frame), stored in versions, runs and cache keys."""

Grey = NDArray[np.uint8]
"""Grey levels, (H, W)."""

Pixels = NDArray[np.uint8]
"""RGB, (H, W, 3)."""

ImageFile.LOAD_TRUNCATED_IMAGES = False
Image.MAX_IMAGE_PIXELS = None  # `max_pixels` is checked on the header instead

_TOPS = (255.0, 1023.0, 4095.0, 16383.0, 65535.0)
"""Largest values of 8, 10, 12, 14 and 16 bits; cameras and microscopes store fewer bits than the file format has."""

_STRIP = 256
"""Rows converted to grey at a time."""


@dataclass(frozen=True)
class ImageInfo:
    """Header of an image; width and height in pixels, after EXIF orientation."""

    format: str
    width: int
    height: int
    mode: str


@cache
def _register(name: str) -> None:
    """Load the plugin of a format that Pillow does not read by itself; DecodeError if it is not installed."""
    if name == "HEIF":
        import pillow_heif

        pillow_heif.register_heif_opener()
    elif name == "JXL":
        try:
            import pillow_jxl  # noqa: F401 - registers itself
        except ModuleNotFoundError:
            raise DecodeError("unsupported-format", "JPEG XL, run: pip install 'fototeca[jxl]'") from None


@contextmanager
def _open(data: bytes, max_pixels: int) -> Iterator[Image.Image]:
    """Open an image and check its size; exceptions of Pillow become DecodeError."""
    formats = (sniff(data),)
    _register(formats[0])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about broken metadata, which is not used
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


def _swaps_sides(image: Image.Image) -> bool:
    """Return True if the EXIF orientation in the header swaps width and height."""
    try:
        return _header_exif(image).get(0x0112) in (5, 6, 7, 8)
    except Exception:  # unreadable metadata: use the stored orientation
        return False


def _header_exif(image: Image.Image) -> Image.Exif:
    """Return the EXIF stored before the pixels; `getexif` would decode a whole PNG to find EXIF after them."""
    if image.format != "PNG":
        return image.getexif()
    exif = Image.Exif()
    exif.load(image.info.get("exif", b""))
    return exif


def _info(image: Image.Image) -> ImageInfo:
    size = (image.height, image.width) if _swaps_sides(image) else (image.width, image.height)
    return ImageInfo(str(image.format), *size, image.mode)


def inspect(data: bytes, *, max_pixels: int = MAX_PIXELS) -> ImageInfo:
    """Read magic bytes and header only. DecodeError as in `decode`, except for damage in the pixels."""
    with _open(data, max_pixels) as image:
        return _info(image)


def read_orientation(data: bytes) -> int:
    """Return the EXIF orientation by which an image is turned when it is decoded, 1 to 8; 1 for upright pixels."""
    try:
        with _open(data, MAX_PIXELS) as image:
            orientation = image.getexif().get(0x0112, 1)
    except Exception:  # unreadable metadata: use the stored orientation
        return 1
    return orientation if orientation in range(1, 9) else 1


def decode(source: bytes | Path, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decode the first frame as RGB, with EXIF orientation applied and transparency composited on white.

    Args:
        source: bytes or file.
        max_pixels: largest width × height.

    DecodeError with one of its reasons. OSError if a file cannot be read.
    """
    return decode_with_info(source, max_pixels=max_pixels)[0]


def decode_with_info(source: bytes | Path, *, max_pixels: int = MAX_PIXELS) -> tuple[Image.Image, ImageInfo]:
    """Return the results of `decode` and `inspect` from one decode."""
    data = source if isinstance(source, bytes) else source.read_bytes()
    with _open(data, max_pixels) as image:
        info = _info(image)
        image.load()
        decoded = _rgb(_upright(image))
        return decoded, replace(info, width=decoded.width, height=decoded.height)


def decode_pixels(source: bytes | Path, *, max_pixels: int = MAX_PIXELS) -> Pixels:
    """Decode to an array (H, W, 3) uint8, equal to `decode`; most JPEGs are decoded without a Pillow image."""
    data = source if isinstance(source, bytes) else source.read_bytes()
    with _open(data, max_pixels) as image:
        pixels = None if _is_rotated(image) else _jpeg(image, data)
        return np.array(_rgb(_upright(image))) if pixels is None else pixels


def decode_grey(source: bytes | Path, *, max_pixels: int = MAX_PIXELS) -> tuple[Grey, ImageInfo]:
    """Return the grey levels (H, W) of the decoded image and its header, in less time than `decode`."""
    from fototeca.vision.kernels import rgb_to_grey  # loads numba, which decoding to RGB does not need

    data = source if isinstance(source, bytes) else source.read_bytes()
    with _open(data, max_pixels) as image:
        info = _info(image)
        pixels = None if _is_rotated(image) else _jpeg(image, data)
        levels = _strips(_upright(image)) if pixels is None else rgb_to_grey(pixels)
        return levels, replace(info, width=levels.shape[1], height=levels.shape[0])


def _strips(image: Image.Image) -> Grey:
    """Convert an image of any mode to grey in strips, so that it is never held in color as a whole."""
    if image.mode.startswith(("I", "F")):
        return np.array(_rgb(image).convert("L"))  # scaled by the range of the whole image
    levels = np.empty((image.height, image.width), np.uint8)
    for top in range(0, image.height, _STRIP):
        strip = image.crop((0, top, image.width, min(top + _STRIP, image.height)))
        grey = strip.mode == "L" and "transparency" not in strip.info
        levels[top : top + _STRIP] = np.asarray(strip if grey else _rgb(strip).convert("L"))
    return levels


def _jpeg(image: Image.Image, data: bytes) -> Pixels | None:
    """Decode an RGB JPEG with simplejpeg, bit for bit as Pillow does, in two thirds of the time.

    Returns None for any other image, and for a JPEG with errors, which Pillow may tolerate.
    """
    if image.format != "JPEG" or image.mode != "RGB":
        return None
    try:
        pixels: Pixels = simplejpeg.decode_jpeg(data, strict=True)
    except ValueError:
        return None
    return pixels if pixels.shape == (image.height, image.width, 3) else None


def _is_rotated(image: Image.Image) -> bool:
    """Return True if EXIF orientation rotates or mirrors the stored pixels."""
    try:
        return bool(image.getexif().get(0x0112, 1) != 1)
    except Exception:  # unreadable metadata: use the stored orientation
        return False


def _upright(image: Image.Image) -> Image.Image:
    """Apply EXIF orientation; returns the same object if there is nothing to rotate."""
    try:
        return ImageOps.exif_transpose(image) if _is_rotated(image) else image
    except Exception:
        return image


def _rgb(image: Image.Image) -> Image.Image:
    """Convert any mode to 8-bit RGB; 16-bit images are scaled by the bits in use, float images by their range."""
    if image.mode == "RGB":
        return image.copy() if image.readonly else image
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image, dtype=np.float64)
        largest = max(float(values.max(initial=0)), 1.0)
        top = next((top for top in _TOPS if top >= largest), largest) if image.mode.startswith("I") else largest
        return Image.fromarray(np.clip(values / top * 255, 0, 255).astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        rgba = image if image.mode == "RGBA" else image.convert("RGBA")
        white = Image.new("RGB", rgba.size, "white")
        white.paste(rgba, mask=rgba)
        return white
    return image.convert("RGB")


def grey_levels(image: Image.Image | Grey) -> Grey:
    """Return the grey levels (H, W) of an image, as Pillow's convert("L") computes them; arrays are returned unchanged."""
    if isinstance(image, Image.Image):
        return np.asarray(image if image.mode == "L" else image.convert("L"))
    return image
