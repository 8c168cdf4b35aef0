"""Validate the bytes of an image and store them: full decode, size limit, pHash and quality scores."""

from __future__ import annotations

from dataclasses import replace

from fototeca.collect.catalog import ERASED, ImageRow
from fototeca.collect.store.files import EXTENSIONS, ErasedImageError, store_image
from fototeca.core.memory_budget import MemoryBudget
from fototeca.core.workspace import Workspace
from fototeca.vision.exif import read_time_taken
from fototeca.vision.hashes import phash
from fototeca.vision.image import MAX_PIXELS, DecodeError, ImageInfo, decode_grey, inspect
from fototeca.vision.quality import quality
from fototeca.vision.threads import reserve_pixels

_PIXELS = MemoryBudget(MAX_PIXELS)
"""All threads of this process together decode at most as many pixels at once as one largest image has."""


class ImageRejectedError(Exception):
    """The bytes are not an acceptable image; `reason` is one of the words listed in docs/reasons.md."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def _measure(data: bytes, max_pixels: int) -> tuple[str, dict[str, float], ImageInfo, str]:
    """Return pHash, quality scores, format and EXIF time of an image; decoded pixels are freed on return, within the budget."""
    gray, info = decode_grey(data, max_pixels=max_pixels)
    return phash(gray), quality(gray), info, read_time_taken(data)


def accept_image(
    workspace: Workspace, data: bytes, min_side: int, max_pixels: int = MAX_PIXELS
) -> tuple[ImageRow, dict[str, float]]:
    """Decode and store an image; return its catalog row and its quality scores by measure.

    Raises:
        ImageRejectedError: not an image, unsupported format, camera raw, truncated, more than `max_pixels`, a side below
            `min_side` pixels, or erased on request.
    """
    try:
        header = inspect(data, max_pixels=max_pixels)
        if header.format not in EXTENSIONS:
            raise ImageRejectedError("unsupported-format")
        with reserve_pixels(_PIXELS, header.width * header.height):
            image_hash, scores, info, taken = _measure(data, max_pixels)
    except DecodeError as error:
        raise ImageRejectedError(error.reason) from None
    if min(info.width, info.height) < min_side:
        raise ImageRejectedError("too-small")
    try:
        image_id, path = store_image(workspace, data, info.format)
    except ErasedImageError:
        raise ImageRejectedError(ERASED) from None
    properties = (info.format, info.width, info.height, info.mode, len(data), image_hash)
    row = ImageRow(image_id, workspace.relative(path), *properties)
    normalized = ",".join(info.normalized)
    return replace(row, background=info.background, frame=info.frame, normalized=normalized, taken=taken), scores
