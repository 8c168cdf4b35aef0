"""From bytes to an accepted file: one full decode, the size rule, the hash, the scores, and the place in the store."""

from __future__ import annotations

from fototeca.collect.catalog import ImageRow
from fototeca.collect.store import EXTENSIONS, put
from fototeca.core.memory_budget import MemoryBudget
from fototeca.core.workspace import Workspace
from fototeca.vision.hashes import phash
from fototeca.vision.image import MAX_PIXELS, DecodeError, ImageInfo, decode_grey, inspect
from fototeca.vision.quality import quality
from fototeca.vision.threads import reserve_pixels

_PIXELS = MemoryBudget(MAX_PIXELS)
"""All threads of this process together decode no more at once than the largest image has."""


class RefusedError(Exception):
    """Why the bytes are not accepted: `reason` is one of the fixed words."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def _seen(data: bytes) -> tuple[str, dict[str, float], ImageInfo]:
    """The hash of the decoded image, its scores, and its facts."""
    grey, info = decode_grey(data)
    return phash(grey), quality(grey), info


def accept(workspace: Workspace, data: bytes, min_side: int) -> tuple[ImageRow, dict[str, float]]:
    """Verify the bytes and store them; the facts of the image, and the scores of its quality. RefusedError says why not."""
    try:
        header = inspect(data)
        if header.format not in EXTENSIONS:
            raise RefusedError("unsupported-format")
        with reserve_pixels(_PIXELS, header.width * header.height):
            looks, scores, info = _seen(data)
    except DecodeError as error:
        raise RefusedError(error.reason) from None
    if min(info.width, info.height) < min_side:
        raise RefusedError("too-small")
    image_id, path = put(workspace, data, info.format)
    row = ImageRow(image_id, workspace.relative(path), info.format, info.width, info.height, info.mode, len(data), looks)
    return row, scores
