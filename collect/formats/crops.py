"""Cut the boxes of an annotated image out of it: upright 8-bit RGB, written as PNG."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator

from PIL import Image

from fototeca.collect.formats.annotations import AnnotatedImage, Box
from fototeca.vision.image import MAX_PIXELS, DecodeError, decode, find_orientation

Corners = tuple[float, float, float, float]
"""Left, top, right and bottom."""

_SIZE_TOLERANCE = 1
"""Pixels by which the size that an annotation states may differ from the image's."""


def cut_boxes(data: bytes, image: AnnotatedImage, max_pixels: int = MAX_PIXELS) -> Iterator[tuple[Box, bytes | str]]:
    """Yield each box with its PNG, or with the reason why it has none.

    Boxes count from the top left of the stored pixels if the annotation states their size, else from that of the upright image
    (YOLO always). They are clipped to the image. Reasons: `degenerate-box`, `outside-image`, `other-size` if the annotation
    states another size than the image has, and those of `DecodeError`.

    Args:
        data: bytes of the image.
        image: its annotation; the boxes may have been enlarged with `add_margin`.
        max_pixels: largest width × height of the image.
    """
    try:
        upright = decode(data, max_pixels=max_pixels)
        orientation = find_orientation(data)
    except DecodeError as error:
        for box in image.boxes:
            yield box, error.reason
        return
    stored = upright.size[::-1] if orientation >= 5 else upright.size
    turn = _choose_orientation(image, stored, upright.size, orientation)
    for box in image.boxes:
        if turn is None:
            yield box, "other-size"
            continue
        corners = _scale(box, image.is_relative, upright.size)
        region = _clip(turn_corners(corners, stored, turn), upright.size)
        if box.is_degenerate:
            yield box, "degenerate-box"
        elif region is None:
            yield box, "outside-image"
        else:
            yield box, encode_png(upright.crop(region))


def add_margin(box: Box, margin: float) -> Box:
    """Return the box enlarged on each side by a fraction of its width and height."""
    x, y = (box.right - box.left) * margin, (box.bottom - box.top) * margin
    return Box(box.name, box.left - x, box.top - y, box.right + x, box.bottom + y, box.flag)


def turn_corners(corners: Corners, size: tuple[int, int], orientation: int) -> Corners:
    """Return the corners in the upright image of a box in stored pixels.

    Args:
        corners: left, top, right and bottom in stored pixels.
        size: width and height of the stored pixels.
        orientation: EXIF orientation, 1 to 8.
    """
    width, height = size
    points = [_turn_point(x, y, width, height, orientation) for x, y in (corners[:2], corners[2:])]
    xs, ys = zip(*points, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def _turn_point(x: float, y: float, width: int, height: int, orientation: int) -> tuple[float, float]:
    turned = {
        2: (width - x, y),
        3: (width - x, height - y),
        4: (x, height - y),
        5: (y, x),
        6: (height - y, x),
        7: (height - y, width - x),
        8: (y, width - x),
    }
    return turned.get(orientation, (x, y))


def _choose_orientation(image: AnnotatedImage, stored: tuple[int, int], upright: tuple[int, int], orientation: int) -> int | None:
    """Return the orientation by which boxes are turned: 1 if they fit the upright image; None if no size matches.

    Where the stated size fits both, as in a square image or one turned by half, boxes fit the upright image: programs for
    annotation show it.
    """
    stated = (image.width, image.height)
    if image.is_relative or not all(stated) or _is_same(stated, upright):
        return 1
    return orientation if _is_same(stated, stored) else None


def _is_same(a: tuple[int, int], b: tuple[int, int]) -> bool:
    return all(abs(x - y) <= _SIZE_TOLERANCE for x, y in zip(a, b, strict=True))


def _scale(box: Box, is_relative: bool, size: tuple[int, int]) -> Corners:
    x, y = size if is_relative else (1, 1)
    return box.left * x, box.top * y, box.right * x, box.bottom * y


def _clip(corners: Corners, size: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """Return whole pixels within the image that the box touches at all; None if there are none."""
    if not all(map(math.isfinite, corners)):
        return None
    left, top = (max(0, math.floor(value + 1e-6)) for value in corners[:2])
    right, bottom = (min(limit, math.ceil(value - 1e-6)) for value, limit in zip(corners[2:], size, strict=True))
    return (left, top, right, bottom) if left < right and top < bottom else None


def encode_png(image: Image.Image) -> bytes:
    """Return the image as PNG without metadata."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()
