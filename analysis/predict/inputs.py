"""New images for `predict`: files, folders and URLs, each decoded once, for all that is made of it."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

from PIL import Image

from fototeca.analysis.images import data_uri, thumbnail
from fototeca.collect.store import FetchFailedError, open_fetcher
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace
from fototeca.curate.duplicates import sign_image
from fototeca.vision.image import MAX_PIXELS, SUFFIXES, DecodeError, decode_with_info
from fototeca.vision.threads import image_threads

MAX_BATCH_SIZE = 32
"""Images of a batch at most."""

MAX_BATCH_PIXELS = 100_000_000
"""Pixels after which a batch is full, and about as many as are decoded ahead of it: 0.3 GB each."""

MAX_DOWNLOADS = 16
"""Downloads at once; a thread that waits for a site costs nothing."""


@dataclass(frozen=True)
class InputImage:
    """One new image, by the name that the person gave it; without `image` where it cannot be had, for `reason`."""

    name: str
    image: Image.Image | None = None
    digest: str = ""
    """SHA-256 of its bytes, which is the `image_id` of an image that is in the dataset as it is."""
    signature: bytes | None = None
    thumbnail: str = ""
    reason: str = ""

    @property
    def pixels(self) -> int:
        """How many it has decoded."""
        return self.image.width * self.image.height if self.image else 0


def name_images(paths: Sequence[str]) -> list[str]:
    """URLs and files as they are, and the images in each folder (searched wholly). FototecaError when a path is not there."""
    found: list[str] = []
    for name in paths:
        path = Path(name)
        if is_url(name) or path.is_file():
            found.append(name)
            continue
        if not path.exists():
            raise FototecaError(f"{name} is not there", "name an image, a folder or a URL")
        inside = sorted(str(file) for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
        if not inside:
            raise FototecaError(f"{name} has no images in it", f"known endings: {', '.join(sorted(SUFFIXES))}")
        found += inside
    return found


def read_ahead(workspace: Workspace, names: Sequence[str], shown: int, *, allow_loopback: bool) -> Iterator[list[InputImage]]:
    """The images in order, a batch at a time; while one batch is looked at the next is being fetched and decoded.

    The first `shown` get a thumbnail. What cannot be fetched or read has a reason; nothing is fetched from private addresses
    (loopback with `allow_loopback`).
    """
    read = partial(_read, open_fetcher(workspace, allow_loopback=allow_loopback), shown)
    first = MAX_DOWNLOADS if any(map(is_url, names)) else 4  # of which nobody knows the size yet
    workers = max(first, os.cpu_count() or 1)
    left, most = iter(enumerate(names)), 1
    with image_threads(workers) as pool:
        ahead = deque(pool.submit(read, item) for item in islice(left, first))
        batch: list[InputImage] = []
        while ahead:
            batch.append(ahead.popleft().result())
            most = max(most, batch[-1].pixels)
            room = max(2, min(MAX_BATCH_SIZE, MAX_BATCH_PIXELS // most))  # of the largest so far
            ahead.extend(pool.submit(read, item) for item in islice(left, max(0, room - len(ahead))))
            if len(batch) == MAX_BATCH_SIZE or sum(one.pixels for one in batch) >= MAX_BATCH_PIXELS or not ahead:
                yield batch
                batch = []


def is_url(name: str) -> bool:
    """Whether it is to be fetched."""
    return name.lower().startswith(("http://", "https://"))


def _read(fetch: Callable[[str], bytes], shown: int, item: tuple[int, str]) -> InputImage:
    """One image; whatever is wrong with it is its reason."""
    number, name = item
    try:
        data = fetch(name) if is_url(name) else Path(name).read_bytes()
        image, info = decode_with_info(data, max_pixels=MAX_PIXELS)
    except (FetchFailedError, DecodeError) as error:
        return InputImage(name, reason=error.reason)
    except OSError:
        return InputImage(name, reason="unreadable")
    small = thumbnail(image) if number < shown else None
    digest = hashlib.sha256(data).hexdigest()
    return InputImage(name, image, digest, sign_image(image, info.mode), data_uri(small) if small else "")
