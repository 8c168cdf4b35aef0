"""Input images of `predict`: files, folders, URLs and images in memory, each decoded once."""

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
from fototeca.core.passed_over import PassedOver
from fototeca.core.workspace import Workspace
from fototeca.curate.duplicates import sign_image
from fototeca.vision.image import MAX_PIXELS, MAX_STORED_PIXELS, DecodeError, decode_with_info
from fototeca.vision.image_files import find_images
from fototeca.vision.threads import image_threads

MAX_BATCH_SIZE = 32
"""Images in a batch, at most."""

MAX_BATCH_PIXELS = 100_000_000
"""Pixels that fill a batch, and about as many are decoded ahead of it: 0.3 GB each."""

MAX_DOWNLOADS = 16
"""Concurrent downloads; a waiting thread costs nothing."""


@dataclass(frozen=True)
class InputImage:
    """One input image by the name it was given; without `image` if it could not be fetched or read, with the `reason`."""

    name: str
    image: Image.Image | None = None
    digest: str = ""
    """SHA-256 of the bytes, which is the `image_id` of an identical file in the dataset; empty for an image in memory."""
    signature: bytes | None = None
    thumbnail: str = ""
    """Data URI."""
    reason: str = ""

    @property
    def pixels(self) -> int:
        """Number of decoded pixels."""
        return self.image.width * self.image.height if self.image else 0


def list_images(paths: Sequence[str], passed_over: PassedOver) -> list[str]:
    """Return URLs and files as given, and all images below each folder; count the other files.

    FototecaError for a missing path or a folder without images.
    """
    names: list[str] = []
    for name in paths:
        path = Path(name)
        if is_url(name) or path.is_file():
            names.append(name)
            continue
        if not path.exists():
            raise FototecaError(f"{name} does not exist", "name an image, a folder or a URL")
        inside = find_images(path, counted := PassedOver())
        if not inside:
            message = f"{name} contains no images; it has {counted.describe_contents()}"
            raise FototecaError(message, "name a folder with images")
        names += [str(path / file) for file in inside]
        passed_over.merge(counted)
    return names


def read_ahead(
    workspace: Workspace, names: Sequence[str], num_thumbnails: int, *, allow_loopback: bool
) -> Iterator[list[InputImage]]:
    """Yield the images in order, in batches; the next batch is fetched and decoded while one is processed.

    The first `num_thumbnails` images get a thumbnail. Private addresses are not fetched (loopback with `allow_loopback`).
    """
    read = partial(_read, open_fetcher(workspace, allow_loopback=allow_loopback), num_thumbnails)
    first = MAX_DOWNLOADS if any(map(is_url, names)) else 4  # their sizes are not known yet
    workers = max(first, os.cpu_count() or 1)
    remaining, largest = iter(enumerate(names)), 1
    with image_threads(workers) as pool:
        pending = deque(pool.submit(read, item) for item in islice(remaining, first))
        batch: list[InputImage] = []
        while pending:
            batch.append(pending.popleft().result())
            largest = max(largest, batch[-1].pixels)
            limit = max(2, min(MAX_BATCH_SIZE, MAX_BATCH_PIXELS // largest))
            pending.extend(pool.submit(read, item) for item in islice(remaining, max(0, limit - len(pending))))
            if is_full(batch) or not pending:
                yield batch
                batch = []


def open_images(images: Sequence[Image.Image | Path | str]) -> Iterator[list[InputImage]]:
    """Yield images in memory and files in order, in batches, without thumbnails; images in memory are named `image N`."""
    batch: list[InputImage] = []
    for number, image in enumerate(images):
        if isinstance(image, Image.Image):
            pixels = image.convert("RGB")
            batch.append(InputImage(f"image {number + 1}", pixels, signature=sign_image(pixels, image.mode)))
        else:
            batch.append(_decode(str(image), Path(image).read_bytes, with_thumbnail=False, max_pixels=MAX_STORED_PIXELS))
        if is_full(batch):
            yield batch
            batch = []
    if batch:
        yield batch


def is_url(name: str) -> bool:
    """Return True for an http or https URL."""
    return name.lower().startswith(("http://", "https://"))


def decode_input(name: str, data: bytes) -> InputImage:
    """Decode the bytes of an image; a failure becomes its reason."""
    return _decode(name, lambda: data, with_thumbnail=False, max_pixels=MAX_PIXELS)


def is_full(batch: Sequence[InputImage]) -> bool:
    """Return True if no image should be added to the batch."""
    return len(batch) == MAX_BATCH_SIZE or sum(item.pixels for item in batch) >= MAX_BATCH_PIXELS


def _read(fetch: Callable[[str], bytes], num_thumbnails: int, item: tuple[int, str]) -> InputImage:
    """Fetch or read one numbered image."""
    number, name = item
    load = partial(fetch, name) if is_url(name) else Path(name).read_bytes
    max_pixels = MAX_PIXELS if is_url(name) else MAX_STORED_PIXELS
    return _decode(name, load, with_thumbnail=number < num_thumbnails, max_pixels=max_pixels)


def _decode(name: str, load: Callable[[], bytes], *, with_thumbnail: bool, max_pixels: int) -> InputImage:
    """Decode one image; a failure becomes its reason."""
    try:
        data = load()
        image, info = decode_with_info(data, max_pixels=max_pixels)
    except (FetchFailedError, DecodeError) as error:
        return InputImage(name, reason=error.reason)
    except OSError:
        return InputImage(name, reason="unreadable")
    small = thumbnail(image) if with_thumbnail else None
    digest = hashlib.sha256(data).hexdigest()
    return InputImage(name, image, digest, sign_image(image, info.mode), data_uri(small) if small else "")
