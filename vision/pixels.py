"""Images decoded and resized once, as memory-mapped uint8 squares, so that no epoch decodes anything."""

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
from fototeca.vision.image import DecodeError, Pixels, decode_pixels
from fototeca.vision.memory import keep_freed_memory
from fototeca.vision.store import RowStore
from fototeca.vision.threads import single_thread

Square = npt.NDArray[np.uint8]

RESIZE = {"bilinear": torch.ops.aten._upsample_bilinear2d_aa.out, "bicubic": torch.ops.aten._upsample_bicubic2d_aa.out}
"""What `torch.nn.functional.interpolate` calls with `antialias`; it alone would give channels first, to be turned again."""

LONGEST = 16
"""How many times as long as wide an image may be before its ends, which are cut off anyway, are left out of resizing: of the
flat ones that are hundreds of times as long a few kilobytes become gigabytes."""

CHUNK = 64
"""Images decoded between two writes."""


def square(image: Pixels, side: int, interpolation: str = "bilinear") -> torch.Tensor:
    """The middle of an image (H, W, 3) as uint8 (3, side, side): the shorter edge becomes `side`, the longer is cut.

    Bit for bit what torchvision's Resize(side) and CenterCrop(side) do to a tensor; of what they do to a Pillow image bilinear
    within one level, bicubic half a level on the mean. torch's kernel takes a third of the time. In memory it is (side, side, 3).
    """
    height, width = image.shape[:2]
    kept = LONGEST * min(height, width)
    top, left = max(0, (height - kept) // 2), max(0, (width - kept) // 2)
    image = image[top : top + kept, left : left + kept]
    pixels = torch.from_numpy(image[None]).permute(0, 3, 1, 2)  # as a batch, so that torch sees channels_last
    height, width = image.shape[:2]
    short, long = min(width, height), max(width, height)
    resized = (side, int(side * long / short)) if height <= width else (int(side * long / short), side)
    if resized != (height, width):
        target = torch.empty((1, *resized, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
        pixels = RESIZE[interpolation](pixels, resized, False, out=target)
    top, left = round((resized[0] - side) / 2), round((resized[1] - side) / 2)
    return pixels[0, :, top : top + side, left : left + side]


Coming = tuple[str, "Future[Square]"]
"""An image's id, and its square once it is decoded."""


class PixelCache:
    """uint8 squares (side, side, 3) by image id, in a folder below `folder` for this side and interpolation.

    Threads decode as fast as processes here: Pillow's decoders release the interpreter's lock.
    """

    def __init__(self, folder: Path, side: int, interpolation: str = "bilinear") -> None:
        self.side = side
        self.interpolation = interpolation
        self.store = RowStore(folder / f"{side}-{interpolation}", (side, side, 3), np.uint8)

    def __getitem__(self, image_id: str) -> npt.NDArray[np.uint8]:
        """The image (side, side, 3), read-only; KeyError when `ensure` was not called for it."""
        return np.asarray(self.store[image_id], dtype=np.uint8)

    def take(self, image_ids: Sequence[str]) -> npt.NDArray[np.uint8]:
        """The images (N, side, side, 3), in order."""
        return np.asarray(self.store.take(image_ids), dtype=np.uint8)

    def ensure(
        self, items: Sequence[tuple[str, Path]], workers: int = 0, progress: bool = True, broken: dict[str, str] | None = None
    ) -> None:
        """Decode what is not there yet of (image id, path). `workers` threads; 0 is one per core.

        Images that are gone or cannot be decoded are told in `broken` by their ids. Without it FototecaError names the first;
        those before it are kept.
        """
        if all(image_id in self.store for image_id, _ in items):
            return
        keep_freed_memory()
        with self.store.writing(), single_thread(), ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
            missing = [(image_id, path) for image_id, path in dict(items).items() if image_id not in self.store]
            with tqdm(
                total=len(missing), desc=f"decoding to {self.side} px", unit="img", disable=None if progress else True
            ) as bar:
                for part in self._ahead(pool, missing):
                    good = part if broken is None else _without_broken(part, broken)
                    self.store.append([image_id for image_id, _ in good], (square.result() for _, square in good))
                    bar.update(len(part))

    def _ahead(self, pool: ThreadPoolExecutor, missing: Sequence[tuple[str, Path]]) -> Iterator[list[Coming]]:
        """Ids and squares, CHUNK by CHUNK; while one chunk is written and flushed, the next is being decoded."""
        waiting: deque[list[Coming]] = deque()
        for start in range(0, len(missing), CHUNK):
            waiting.append([(item[0], pool.submit(self._read, item)) for item in missing[start : start + CHUNK]])
            if len(waiting) > 1:
                yield waiting.popleft()
        yield from waiting

    def _read(self, item: tuple[str, Path]) -> Square:
        image_id, path = item
        try:
            image = decode_pixels(path)
        except FileNotFoundError:
            raise FototecaError(f"image {image_id[:12]} is gone: {path}", "restore the file, or collect it again") from None
        except (DecodeError, OSError) as error:
            raise FototecaError(f"image {image_id[:12]} cannot be decoded: {error}", f"look at {path}") from None
        return np.ascontiguousarray(square(image, self.side, self.interpolation).permute(1, 2, 0).numpy())


def _without_broken(part: Sequence[Coming], broken: dict[str, str]) -> list[Coming]:
    """Those that were decoded; of the others `broken` says why."""
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
