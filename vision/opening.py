"""Open an image of untrusted bytes and read its header: size, EXIF orientation, bits per channel."""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from fototeca.vision.costs import check_cost, estimate, with_pixels
from fototeca.vision.formats import DecodeError, sniff, without_png_profile
from fototeca.vision.limits import Cost

ImageFile.LOAD_TRUNCATED_IMAGES = False
Image.MAX_IMAGE_PIXELS = None  # `max_pixels` is checked on the header instead

_ORIENTATION, _BITS_PER_SAMPLE = 0x0112, 258


@cache
def _load_plugin(name: str) -> None:
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
def open_image(data: bytes, max_pixels: int) -> Iterator[Image.Image]:
    """Open an image and check its size and costs; exceptions of Pillow, inside the block too, become DecodeError.

    DecodeError: those of `sniff`, and `too-many-pixels`, `too-costly`, `not-an-image`, `truncated`.
    """
    name = sniff(data)
    _load_plugin(name)
    try:
        cost, size = estimate(data, name)
    except (IndexError, struct.error):
        raise DecodeError("truncated", "its header is incomplete") from None
    width, height = size or (0, 0)
    _check_size(width, height, max_pixels)  # some plugins allocate or decode when they open
    check_cost(cost, width * height, max_pixels)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about broken metadata, which is not used
            with _open(data, name) as image:
                _check_size(image.width, image.height, max_pixels)
                _check_image(image, cost, max_pixels)
                yield image
    except UnidentifiedImageError:
        raise DecodeError("not-an-image") from None
    except (DecodeError, MemoryError):
        raise
    except Exception as error:  # Pillow's plugins raise anything on broken files
        raise DecodeError("truncated", str(error)) from None


def _open(data: bytes, name: str) -> Image.Image:
    """Open an image with the plugin of its format; a profile that makes Pillow refuse a PNG is left out."""
    try:
        return Image.open(io.BytesIO(data), formats=(name,))
    except Exception:
        plain = without_png_profile(data) if name == "PNG" else data
        if plain == data:
            raise
        return Image.open(io.BytesIO(plain), formats=(name,))


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise DecodeError("too-many-pixels", f"{width}×{height}")


def _check_image(image: Image.Image, cost: Cost, max_pixels: int) -> None:
    """Refuse an open image whose decoder, pixels and conversion together take more than the budget."""
    pixels = image.width * image.height
    converts = image.mode != "RGB" or "icc_profile" in image.info or "transparency" in image.info
    turns = image.format not in ("HEIF", "JXL") and read_orientation(image, header_only=True) != 1
    keeps = {"WEBP": 12, "AVIF": 4}.get(image.format or "", 0)
    check_cost(with_pixels(cost, image.mode, pixels, converts=converts, turns=turns, keeps=keeps), pixels, max_pixels)


def swaps_sides(image: Image.Image) -> bool:
    """Return True if the EXIF orientation in the header swaps width and height."""
    return read_orientation(image, header_only=True) in (5, 6, 7, 8)


def is_rotated(image: Image.Image) -> bool:
    """Return True if EXIF orientation rotates or mirrors the stored pixels."""
    return read_orientation(image) != 1


def read_orientation(image: Image.Image, *, header_only: bool = False) -> int:
    """Return the EXIF orientation by which an open image is turned, 1 to 8; 1 where it is unreadable.

    `header_only`: `getexif` would decode a whole PNG to find EXIF after its pixels. JPEG XL files are decoded upright, except
    those that hold a JPEG.
    """
    try:
        if image.format == "JXL" and not getattr(image, "jpeg", False):
            return 1
        if header_only and image.format == "PNG":
            exif = Image.Exif()
            exif.load(image.info.get("exif", b""))
        else:
            exif = image.getexif()
        orientation = exif.get(_ORIENTATION, 1)
        return orientation if orientation in range(1, 9) else 1
    except Exception:  # unreadable metadata: use the stored orientation
        return 1


def make_upright(image: Image.Image) -> Image.Image:
    """Apply EXIF orientation; a single image is turned in place, which frees its stored pixels. Frames are copied."""
    try:
        if not is_rotated(image):
            return image
        if getattr(image, "is_animated", False):
            return ImageOps.exif_transpose(image)
        ImageOps.exif_transpose(image, in_place=True)
        return image
    except Exception:
        return image


def has_deep_levels(image: Image.Image, data: bytes) -> bool:
    """Return True if the file of these bytes stores more than 8 bits per channel."""
    if image.mode.startswith(("I", "F")):
        return True
    if image.format == "PNG":
        return data[24] > 8
    if image.format == "TIFF":
        bits = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, 8)
        return max(bits if isinstance(bits, tuple) else (bits,), default=8) > 8
    depth = image.info.get("bit_depth", 8)
    return isinstance(depth, int) and depth > 8
