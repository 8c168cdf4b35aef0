"""Pixels of the images that are compared at native detail: decoded when they are needed, a few of them kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from threading import Lock

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fototeca.vision.image import DecodeError, decode_layers

Pixels = NDArray[np.uint8]
"""RGB, (H, W, 3), or RGB and opacity, (H, W, 4)."""

_SIDE = 1024
"""Longest side that is kept: a crop of half of it still has `native_align.WORKING_SIDE` pixels."""

_DRAFT_SIDE = 256
_KEPT = 48
"""Images in memory, at most 3 MB each."""


class PixelCache:
    """Pixels of images by index, read from files or from images in memory. It may be used by several threads."""

    def __init__(self, sources: Sequence[Path | Image.Image]) -> None:
        self._sources = sources
        self._pixels: OrderedDict[int, Pixels | None] = OrderedDict()
        self._lock = Lock()

    def read(self, index: int) -> Pixels | None:
        """Return the pixels of an image, at most `_SIDE` wide and high; None if it cannot be read."""
        with self._lock:
            if index in self._pixels:
                self._pixels.move_to_end(index)
                return self._pixels[index]
        pixels = _read(self._sources[index])
        with self._lock:
            self._pixels[index] = pixels
            while len(self._pixels) > _KEPT:
                self._pixels.popitem(last=False)
        return pixels


def _read(source: Path | Image.Image) -> Pixels | None:
    if isinstance(source, Image.Image):
        return _reduce(np.asarray(source.convert("RGB")))
    try:
        image, opacity = decode_layers(source, _DRAFT_SIDE)
    except (DecodeError, OSError):
        return None
    color = np.asarray(image)
    return _reduce(color if opacity is None else np.dstack([color, opacity]))


def _reduce(pixels: Pixels) -> Pixels:
    scale = _SIDE / max(pixels.shape[:2])
    if scale >= 1:
        return pixels
    size = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
