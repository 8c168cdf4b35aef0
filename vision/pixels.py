"""Pictures decoded and resized once, as memory-mapped uint8 squares, so that no epoch decodes anything."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from tqdm import tqdm

from vision.image import DecodeError, decode
from vision.store import RowStore
from workspace import FototecaError

CHUNK = 64
"""Pictures decoded between two writes."""


def square(image: Image.Image, side: int, interpolation: str = "bilinear") -> Image.Image:
    """The RGB picture's middle as a `side` × `side` square: the shorter edge becomes `side`, the longer is cut.

    Pixel for pixel what torchvision's Resize(side) and CenterCrop(side) do to a Pillow image.
    """
    width, height = image.size
    short, long = min(width, height), max(width, height)
    resized = (side, int(side * long / short)) if width <= height else (int(side * long / short), side)
    if resized != image.size:
        image = image.resize(resized, Image.Resampling[interpolation.upper()])
    left, top = round((resized[0] - side) / 2), round((resized[1] - side) / 2)
    return image.crop((left, top, left + side, top + side))


class PixelCache:
    """uint8 squares (side, side, 3) by image id, in a folder below `folder` for this side and interpolation.

    Threads decode as fast as processes here: Pillow's decoders release the interpreter's lock.
    """

    def __init__(self, folder: Path, side: int, interpolation: str = "bilinear") -> None:
        self.side = side
        self.interpolation = interpolation
        self.store = RowStore(folder / f"{side}-{interpolation}", (side, side, 3), np.uint8)

    def __getitem__(self, image_id: str) -> npt.NDArray[np.uint8]:
        """The picture (side, side, 3), read-only; KeyError when `ensure` was not called for it."""
        return np.asarray(self.store[image_id], dtype=np.uint8)

    def take(self, image_ids: Sequence[str]) -> npt.NDArray[np.uint8]:
        """The pictures (N, side, side, 3), in order."""
        return np.asarray(self.store.take(image_ids), dtype=np.uint8)

    def ensure(self, items: Sequence[tuple[str, Path]], workers: int = 0, progress: bool = True) -> None:
        """Decode what is not there yet of (image id, path). `workers` threads; 0 is one per core.

        FototecaError names the first picture that is gone or cannot be decoded; those before it are kept.
        """
        if all(image_id in self.store for image_id, _ in items):
            return
        with self.store.writing(), ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
            missing = [(image_id, path) for image_id, path in dict(items).items() if image_id not in self.store]
            bar = tqdm(total=len(missing), desc=f"decoding to {self.side} px", unit="img", disable=None if progress else True)
            with bar:
                for start in range(0, len(missing), CHUNK):
                    part = missing[start : start + CHUNK]
                    self.store.append([image_id for image_id, _ in part], list(pool.map(self._read, part)))
                    bar.update(len(part))

    def _read(self, item: tuple[str, Path]) -> npt.NDArray[np.uint8]:
        image_id, path = item
        try:
            image = decode(path)
        except FileNotFoundError:
            raise FototecaError(f"image {image_id[:12]} is gone: {path}", "restore the file, or collect it again") from None
        except (DecodeError, OSError) as error:
            raise FototecaError(f"image {image_id[:12]} cannot be decoded: {error}", f"look at {path}") from None
        return np.asarray(square(image, self.side, self.interpolation), dtype=np.uint8)
