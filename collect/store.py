"""The image store: original bytes under the name of their SHA-256, never rewritten."""

from __future__ import annotations

import hashlib
from pathlib import Path

from workspace import Workspace, write_bytes

EXTENSIONS = {
    "JPEG": "jpg",
    "PNG": "png",
    "WEBP": "webp",
    "GIF": "gif",
    "BMP": "bmp",
    "TIFF": "tif",
    "AVIF": "avif",
    "MPO": "jpg",
}
"""File endings by Pillow's format name; a format that is not here is not accepted."""


def digest(data: bytes) -> str:
    """SHA-256 hex: the image's id."""
    return hashlib.sha256(data).hexdigest()


def stored_path(workspace: Workspace, image_id: str, image_format: str) -> Path:
    """Where an image of this id and format lies."""
    return workspace.images / image_id[:2] / f"{image_id}.{EXTENSIONS[image_format]}"


def put(workspace: Workspace, data: bytes, image_format: str) -> tuple[str, Path]:
    """Store the bytes if they are new; return their id and path. Safe from many threads and processes at once."""
    image_id = digest(data)
    path = stored_path(workspace, image_id, image_format)
    if not path.exists():
        write_bytes(path, data)
    return image_id, path
