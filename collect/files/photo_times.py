"""Time of a photograph as its camera recorded it in EXIF."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

from PIL import ExifTags, Image

from fototeca.vision.formats import DecodeError
from fototeca.vision.opening import open_image

_TIMES = ((ExifTags.Base.DateTimeOriginal, True), (ExifTags.Base.DateTimeDigitized, True), (ExifTags.Base.DateTime, False))
"""Tags of the time, best first; True for those of the Exif directory."""


_MAX_BYTES = 1 << 28
"""Largest file that is read for its time."""


def taken_time(exif: Image.Exif) -> str:
    """Return the time of the photograph as ISO 8601 without time zone, such as `2024-05-01T10:30:00`; "" if unknown.

    Source: Exif 2.32, tags 0x9003, 0x9004 and 0x0132, whose text is `YYYY:MM:DD HH:MM:SS`.
    """
    details = exif.get_ifd(ExifTags.IFD.Exif)
    for tag, is_detail in _TIMES:
        text = (details if is_detail else exif).get(tag)
        try:
            time = datetime.strptime(str(text).strip("\0 ")[:19], "%Y:%m:%d %H:%M:%S")
        except ValueError:
            continue
        return time.isoformat()
    return ""


def read_taken(path: Path) -> str:
    """Return the time of the photograph in a file, see `taken_time`; "" if it has none or cannot be read."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            return ""
        with open_image(path.read_bytes(), sys.maxsize) as image:  # the header only, whatever its number of pixels
            return taken_time(image.getexif())
    except (DecodeError, OSError):
        return ""
