"""Names of the files in the image store."""

from __future__ import annotations

EXTENSIONS = {
    "JPEG": "jpg",
    "PNG": "png",
    "WEBP": "webp",
    "GIF": "gif",
    "BMP": "bmp",
    "TIFF": "tif",
    "AVIF": "avif",
    "MPO": "jpg",
    "HEIF": "heic",
    "JXL": "jxl",
    "PPM": "ppm",
}
"""File extension by Pillow's format name; formats not listed here are rejected."""

_SUFFIXES = frozenset(EXTENSIONS.values())


def is_store_path(image_id: str, path: str) -> bool:
    """Return True if `path`, relative to the workspace, is the store's own for a valid image id."""
    stem, _, suffix = path.rpartition(".")
    return stem == f"data/images/{image_id[:2]}/{image_id}" and suffix in _SUFFIXES
