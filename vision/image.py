"""Decode one image of untrusted bytes as the models see it: upright 8-bit sRGB.

Magic bytes are checked first, then the header with its pixel count, then the image is decoded.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, ImageCms

from fototeca.vision.alpha import choose_background, is_flat, render, render_whole
from fototeca.vision.color import eight_bits, find_transform, strips, to_srgb
from fototeca.vision.formats import SUFFIXES, DecodeError
from fototeca.vision.frames import MAX_SEARCHED_PIXELS, find_frame, is_animated
from fototeca.vision.limits import MAX_PIXELS, MAX_STORED_PIXELS
from fototeca.vision.opening import has_deep_levels, is_rotated, make_upright, open_image, read_orientation, swaps_sides

__all__ = [
    "DECODE_VERSION",
    "MAX_PIXELS",
    "MAX_STORED_PIXELS",
    "SUFFIXES",
    "DecodeError",
    "Grey",
    "ImageInfo",
    "Pixels",
    "decode",
    "decode_grey",
    "decode_layers",
    "decode_pixels",
    "decode_reduced",
    "decode_with_info",
    "find_changes",
    "grey_levels",
    "inspect",
    "read_stored_size",
]

DECODE_VERSION = 1
"""Version of the decoding rules (profiles, transparency, orientation, frame), stored in versions, runs and cache keys."""

_STRIP = 256
"""Rows whose colors are converted at a time."""

Grey = NDArray[np.uint8]
"""Grey levels, (H, W)."""

Pixels = NDArray[np.uint8]
"""RGB, (H, W, 3)."""


@dataclass(frozen=True)
class ImageInfo:
    """Properties of an image; width and height in pixels, after EXIF orientation.

    `background`: color under transparent pixels, empty if there are none. `frame`: frame of an animation that is read.
    `normalized`: how reading changes the stored pixels: `animation`, `orientation`, `depth`, `profile`, `cmyk`, `lab`,
    `transparency`. `inspect`, which reads the header only, leaves these three at their defaults.
    """

    format: str
    width: int
    height: int
    mode: str
    background: str = ""
    frame: int = 0
    normalized: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Frame:
    """The frame that is read, upright and of 8 bits, with what turns it into RGB."""

    image: Image.Image
    transform: ImageCms.ImageCmsTransform | None
    background: str
    info: ImageInfo

    def render(self) -> Image.Image:
        return render_whole(self.image, self.transform, self.background)

    def pixels(self) -> Pixels:
        """Convert to RGB in strips, so that Pillow never holds it in color as a whole."""
        pixels = np.empty((self.image.height, self.image.width, 3), np.uint8)
        top = 0
        for strip in strips(self.image):
            pixels[top : top + strip.height] = np.asarray(render(strip, self.transform, self.background))
            top += strip.height
        return pixels


def inspect(data: bytes, *, max_pixels: int = MAX_STORED_PIXELS) -> ImageInfo:
    """Read magic bytes and header only. DecodeError as in `decode`, except for damage in the pixels."""
    with open_image(data, max_pixels) as image:
        return _header(image)


def decode(source: bytes | Path, *, max_pixels: int = MAX_STORED_PIXELS) -> Image.Image:
    """Decode as upright 8-bit sRGB: EXIF orientation and ICC profile applied, transparency composited.

    Transparent images are composited on white, or on black if they show nothing on white. Of an animation the first frame that
    shows something is read. Grey levels of 16 bits are scaled by the bits in use.

    Args:
        source: bytes or file.
        max_pixels: largest width × height.

    DecodeError with one of its reasons. OSError if a file cannot be read.
    """
    return decode_with_info(source, max_pixels=max_pixels)[0]


def decode_with_info(source: bytes | Path, *, max_pixels: int = MAX_STORED_PIXELS) -> tuple[Image.Image, ImageInfo]:
    """Return the decoded image and its properties."""
    data = source if isinstance(source, bytes) else source.read_bytes()
    with open_image(data, max_pixels) as image:
        frame = _read_frame(image, data, max_pixels)
        return _without_metadata(frame.render()), frame.info


def decode_pixels(source: bytes | Path, *, max_pixels: int = MAX_STORED_PIXELS) -> Pixels:
    """Decode to an array (H, W, 3) uint8, equal to `decode`; most JPEGs are decoded without a Pillow image."""
    data = source if isinstance(source, bytes) else source.read_bytes()
    with open_image(data, max_pixels) as image:
        pixels = _jpeg(image, data)
        return _read_frame(image, data, max_pixels).pixels() if pixels is None else pixels


def decode_grey(source: bytes | Path, *, max_pixels: int = MAX_STORED_PIXELS) -> tuple[Grey, ImageInfo]:
    """Return the grey levels (H, W) of the decoded image and its properties, in less time than `decode`."""
    from fototeca.vision.kernels import rgb_to_grey  # loads numba, which decoding to RGB does not need

    data = source if isinstance(source, bytes) else source.read_bytes()
    with open_image(data, max_pixels) as image:
        pixels = _jpeg(image, data)
        if pixels is not None:
            changes = {"orientation": is_rotated(image), "profile": find_transform(image) is not None}
            height, width, _ = pixels.shape
            normalized = tuple(name for name, applies in changes.items() if applies)
            return rgb_to_grey(pixels), ImageInfo("JPEG", width, height, "RGB", normalized=normalized)
        frame = _read_frame(image, data, max_pixels)
        return _grey_strips(frame), frame.info


def find_changes(data: bytes) -> tuple[str, ...]:
    """Return how reading changes the stored pixels, as `ImageInfo.normalized`; JPEG files are not decoded for it.

    DecodeError as in `inspect`, and for files of other formats as in `decode`.
    """
    with open_image(data, MAX_STORED_PIXELS) as image:
        if image.format != "JPEG":
            return _read_frame(image, data, MAX_STORED_PIXELS).info.normalized
        changes = {"orientation": is_rotated(image), "profile": find_transform(image) is not None, "cmyk": image.mode == "CMYK"}
        return tuple(name for name, applies in changes.items() if applies)


def read_stored_size(data: bytes) -> tuple[int, int]:
    """Return width and height in pixels as the file stores them, before EXIF orientation. DecodeError as in `inspect`."""
    with open_image(data, MAX_STORED_PIXELS) as image:
        return image.size


def find_orientation(data: bytes) -> int:
    """Return the EXIF orientation by which decoding turns the stored pixels, 1 to 8. DecodeError as in `inspect`."""
    with open_image(data, MAX_STORED_PIXELS) as image:
        return read_orientation(image)


def decode_reduced(source: bytes | Path, side: int) -> Image.Image:
    """Decode for a thumbnail: as `decode`, a large JPEG at reduced size, its shorter side at least 2 × `side` pixels.

    12 megapixels take a fifth of the time. Errors as in `decode`.
    """
    return decode_layers(source, side)[0]


def decode_layers(source: bytes | Path, side: int) -> tuple[Image.Image, Grey | None]:
    """Return what `decode_reduced` does, and the opacity (H, W) of an image with transparent pixels."""
    data = source if isinstance(source, bytes) else source.read_bytes()
    with open_image(data, MAX_STORED_PIXELS) as image:
        if image.format == "JPEG" and image.mode == "RGB" and min(image.size) >= 8 * side:
            image.draft("RGB", (2 * side, 2 * side))
        frame = _read_frame(image, data, MAX_STORED_PIXELS)
        opacity = np.asarray(frame.image.convert("RGBA").getchannel("A")) if frame.background else None
        return _without_metadata(frame.render()), opacity


def _without_metadata(image: Image.Image) -> Image.Image:
    """Remove the profile and other metadata: where the image is saved, the profile would be applied twice."""
    image.info.clear()
    return image


def _header(image: Image.Image) -> ImageInfo:
    size = (image.height, image.width) if swaps_sides(image) else image.size
    return ImageInfo(str(image.format), *size, image.mode)


def _read_frame(image: Image.Image, data: bytes, max_pixels: int) -> _Frame:
    """Decode the frame that is read of an open image, make it upright and of 8 bits, and choose its background."""
    animated, deep = is_animated(image), has_deep_levels(image, data)
    image.load()  # which turns a TIFF
    turned = is_rotated(image)
    frame = _prepare(image)
    number = 0
    if animated and image.width * image.height <= MAX_SEARCHED_PIXELS and is_flat(frame.render()):
        number, found = _find_frame(data, max_pixels)
        frame = found or frame
    changes = {
        "animation": animated,
        "orientation": turned,
        "depth": deep,
        "profile": frame.info.mode != "LAB" and frame.transform is not None,
        frame.info.mode.lower(): frame.info.mode in ("CMYK", "LAB"),
        "transparency": bool(frame.background),
    }
    normalized = tuple(name for name, applies in changes.items() if applies)
    return replace(frame, info=replace(frame.info, frame=number, normalized=normalized))


def _find_frame(data: bytes, max_pixels: int) -> tuple[int, _Frame | None]:
    """Return the frame that is read, and its number; a separate image is searched, since a damaged frame spoils it."""
    frames: list[_Frame] = []

    def read(image: Image.Image) -> Image.Image:
        frames[:] = [_prepare(image)]
        return frames[0].render()

    with open_image(data, max_pixels) as image:
        number = find_frame(image, read)
    return number, frames[0] if number else None


def _prepare(image: Image.Image) -> _Frame:
    """Decode the current frame of an open image; `info` lacks its number and changes."""
    mode = image.mode
    image.load()
    upright = eight_bits(make_upright(image))
    transform = find_transform(upright)
    background = choose_background(upright, transform)
    return _Frame(upright, transform, background, ImageInfo(str(image.format), *upright.size, mode, background))


def _grey_strips(frame: _Frame) -> Grey:
    """Convert a frame to grey in strips, so that it is never held in color as a whole."""
    levels = np.empty((frame.image.height, frame.image.width), np.uint8)
    top = 0
    for strip in strips(frame.image):
        is_grey = strip.mode == "L" and frame.transform is None and "transparency" not in strip.info
        grey = strip if is_grey else render(strip, frame.transform, frame.background).convert("L")
        levels[top : top + strip.height] = np.asarray(grey)
        top += strip.height
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
    if pixels.shape != (image.height, image.width, 3):
        return None
    if transform := find_transform(image):
        for top in range(0, len(pixels), _STRIP):
            strip = Image.fromarray(pixels[top : top + _STRIP])
            pixels[top : top + _STRIP] = np.asarray(to_srgb(strip, transform))
    return _turn(pixels, read_orientation(image))


def _turn(pixels: Pixels, orientation: int) -> Pixels:
    """Make pixels upright by their EXIF orientation, 1 to 8."""
    if orientation == 1:
        return pixels
    turned = np.swapaxes(pixels, 0, 1) if orientation in (5, 6, 7, 8) else pixels
    down = -1 if orientation in (3, 4, 7, 8) else 1
    across = -1 if orientation in (2, 3, 6, 7) else 1
    return np.ascontiguousarray(turned[::down, ::across])


def grey_levels(image: Image.Image | Grey) -> Grey:
    """Return the grey levels (H, W) of an image, as Pillow's convert("L") computes them; arrays are returned unchanged."""
    if isinstance(image, Image.Image):
        return np.asarray(image if image.mode == "L" else image.convert("L"))
    return image
