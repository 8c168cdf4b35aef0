"""Cache of images decoded and resized once, as memory-mapped uint8 squares."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from fototeca.core.errors import FototecaError
from fototeca.vision.fit import Fit
from fototeca.vision.image import DECODE_VERSION, DecodeError, Pixels, decode_pixels
from fototeca.vision.memory import keep_freed_memory
from fototeca.vision.store import RowStore
from fototeca.vision.threads import single_thread

Square = npt.NDArray[np.uint8]

RESIZE = {"bilinear": torch.ops.aten._upsample_bilinear2d_aa.out, "bicubic": torch.ops.aten._upsample_bicubic2d_aa.out}
"""The kernels behind `torch.nn.functional.interpolate(antialias=True)`, which can write channels last directly."""

LONGEST = 16
"""Largest ratio of the long to the short side that is resized; longer images are cropped first.

Otherwise a file of a few kilobytes, hundreds of times as long as wide, would need gigabytes."""

CHUNK = 64
"""Images decoded between two writes to disk."""


BAR = (124, 116, 104)
"""Color of the bars: ImageNet's mean, which is about 0 after normalization."""


def square(image: Pixels, side: int, interpolation: str = "bilinear", fit: Fit = "crop") -> torch.Tensor:
    """Fit an image (H, W, 3) into a square; return uint8 (3, side, side), channels last.

    crop: equal to torchvision's Resize(side) and CenterCrop(side) on a tensor, in a third of the time; on a Pillow image bilinear
    differs by at most one grey level, bicubic by half a level on average.
    """
    if fit == "squash":
        return _resize(image, (side, side), interpolation)[0]
    if fit == "letterbox":
        return _letterbox(image, side, interpolation)
    height, width = image.shape[:2]
    limit = LONGEST * min(height, width)
    top, left = max(0, (height - limit) // 2), max(0, (width - limit) // 2)
    image = image[top : top + limit, left : left + limit]
    height, width = image.shape[:2]
    short, long = min(width, height), max(width, height)
    resized = (side, int(side * long / short)) if height <= width else (int(side * long / short), side)
    pixels = _resize(image, resized, interpolation)
    top, left = round((resized[0] - side) / 2), round((resized[1] - side) / 2)
    return pixels[0, :, top : top + side, left : left + side]


def _letterbox(image: Pixels, side: int, interpolation: str) -> torch.Tensor:
    """Resize the longer edge to `side` and add bars on both sides of the shorter one."""
    height, width = image.shape[:2]
    longest = max(height, width)
    size = max(1, round(side * height / longest)), max(1, round(side * width / longest))
    page = torch.tensor(BAR, dtype=torch.uint8).expand(side, side, 3).contiguous().permute(2, 0, 1)
    top, left = (side - size[0]) // 2, (side - size[1]) // 2
    page[:, top : top + size[0], left : left + size[1]] = _resize(image, size, interpolation)[0]
    return page


def _resize(image: Pixels, size: tuple[int, int], interpolation: str) -> torch.Tensor:
    """Resize (H, W, 3) to (1, 3, *size), channels last."""
    pixels = torch.from_numpy(image[None]).permute(0, 3, 1, 2)  # a batch of one is recognized as channels_last
    if size == image.shape[:2]:
        return pixels
    target = torch.empty((1, *size, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
    RESIZE[interpolation](pixels, size, False, out=target)
    return target


PendingSquare = tuple[str, "Future[Square]"]
"""Image id and the square being decoded."""


class PixelCache:
    """uint8 squares (side, side, 3) by image id, in one subfolder of `folder` per side, interpolation, fit and version of the
    decoding rules.

    Decoding runs in threads: Pillow's decoders release the interpreter lock.
    """

    def __init__(self, folder: Path, side: int, interpolation: str = "bilinear", fit: Fit = "crop") -> None:
        self.side = side
        self.interpolation = interpolation
        self.fit = fit
        name = f"{side}-{interpolation}-d{DECODE_VERSION}" + ("" if fit == "crop" else f"-{fit}")
        self.store = RowStore(folder / name, (side, side, 3), np.uint8)

    def __getitem__(self, image_id: str) -> npt.NDArray[np.uint8]:
        """Return one image (side, side, 3), read-only. KeyError if `ensure` was not called for it."""
        return np.asarray(self.store[image_id], dtype=np.uint8)

    def take(self, image_ids: Sequence[str]) -> npt.NDArray[np.uint8]:
        """Return images (N, side, side, 3), in order."""
        return np.asarray(self.store.take(image_ids), dtype=np.uint8)

    def ensure(
        self, items: Sequence[tuple[str, Path]], workers: int = 0, progress: bool = True, broken: dict[str, str] | None = None
    ) -> None:
        """Decode the images that are not cached yet.

        Args:
            items: image id and file of each image.
            workers: threads; 0 means one per core.
            progress: show a progress bar.
            broken: receives the error of each image that is missing or cannot be decoded, by id. Without it the first such
                image raises FototecaError; images before it stay cached.
        """
        if all(image_id in self.store for image_id, _ in items):
            return
        keep_freed_memory()
        with self.store.writing(), single_thread(), ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
            missing = [(image_id, path) for image_id, path in dict(items).items() if image_id not in self.store]
            with tqdm(
                total=len(missing), desc=f"decoding to {self.side} px", unit="img", disable=None if progress else True
            ) as bar:
                for part in self._decode_ahead(pool, missing):
                    good = part if broken is None else _without_broken(part, broken)
                    self.store.append([image_id for image_id, _ in good], (square.result() for _, square in good))
                    bar.update(len(part))

    def _decode_ahead(self, pool: ThreadPoolExecutor, missing: Sequence[tuple[str, Path]]) -> Iterator[list[PendingSquare]]:
        """Yield chunks of CHUNK images; the next chunk is decoded while the caller writes one."""
        waiting: deque[list[PendingSquare]] = deque()
        for start in range(0, len(missing), CHUNK):
            waiting.append([(item[0], pool.submit(self._decode, item)) for item in missing[start : start + CHUNK]])
            if len(waiting) > 1:
                yield waiting.popleft()
        yield from waiting

    def _decode(self, item: tuple[str, Path]) -> Square:
        image_id, path = item
        try:
            image = decode_pixels(path)
        except FileNotFoundError:
            raise FototecaError(f"image {image_id[:12]} is missing: {path}", "restore the file, or collect it again") from None
        except (DecodeError, OSError) as error:
            raise FototecaError(f"image {image_id[:12]} cannot be decoded: {error}", f"check the file {path}") from None
        return np.ascontiguousarray(square(image, self.side, self.interpolation, self.fit).permute(1, 2, 0).numpy())


def _without_broken(part: Sequence[PendingSquare], broken: dict[str, str]) -> list[PendingSquare]:
    """Return the decoded images; add the errors of the others to `broken`."""
    good = []
    for image_id, square in part:
        error = square.exception()
        if error is None:
            good.append((image_id, square))
        elif isinstance(error, FototecaError):
            broken[image_id] = error.message
        else:
            raise error
    return good
