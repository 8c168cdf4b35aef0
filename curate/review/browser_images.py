"""Stored images as browsers can show them, and as models see them."""

from __future__ import annotations

import io
from pathlib import Path

from fototeca.vision.image import decode, find_changes

_BROWSER_FORMATS = {"JPEG": "jpeg", "MPO": "jpeg", "PNG": "png", "WEBP": "webp", "GIF": "gif", "BMP": "bmp", "AVIF": "avif"}
"""Media types of the image formats that browsers show; other formats are converted to JPEG."""

_CHANGES = frozenset(("animation", "depth", "cmyk", "lab", "transparency"))
"""Changes made on reading that browsers do not make; they are shown as models see them. Browsers rotate and apply profiles."""


def read_for_browser(path: Path, image_format: str) -> tuple[bytes, str]:
    """Return the bytes of an image file that a browser can show, and their media type.

    Args:
        path: the file.
        image_format: Pillow's name of its format.

    Raises:
        DecodeError: the file cannot be decoded.
        OSError: it cannot be read.
    """
    data = path.read_bytes()
    media_type = _BROWSER_FORMATS.get(image_format, "")
    if media_type and not _CHANGES & set(find_changes(data)):
        return data, f"image/{media_type}"
    file = io.BytesIO()
    decode(data).save(file, "JPEG", quality=92)
    return file.getvalue(), "image/jpeg"
