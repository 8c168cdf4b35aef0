"""From bytes to an accepted file: one full decode, the size rule, the hash, and the place in the store."""

from __future__ import annotations

from collect.catalog import ImageRow
from collect.store import EXTENSIONS, put
from vision.hashes import phash
from vision.image import DecodeError, decode_with_info
from workspace import Workspace


class RefusedError(Exception):
    """Why the bytes are not accepted: `reason` is one of the fixed words."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def accept(workspace: Workspace, data: bytes, min_side: int) -> ImageRow:
    """Verify the bytes and store them; the facts of the image. RefusedError says why not."""
    try:
        picture, info = decode_with_info(data)
    except DecodeError as error:
        raise RefusedError(error.reason) from None
    if info.format not in EXTENSIONS:
        raise RefusedError("unsupported-format")
    if min(info.width, info.height) < min_side:
        raise RefusedError("too-small")
    image_id, path = put(workspace, data, info.format)
    return ImageRow(
        image_id, workspace.relative(path), info.format, info.width, info.height, info.mode, len(data), phash(picture)
    )
