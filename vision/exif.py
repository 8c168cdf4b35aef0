"""Read the time at which a photograph was taken from its EXIF."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from pathlib import Path

from PIL import ExifTags

from fototeca.vision.limits import MAX_STORED_PIXELS
from fototeca.vision.opening import open_image

_TIME = re.compile(r"(\d{4})[:/.-](\d\d)[:/.-](\d\d)[ T](\d\d):(\d\d):(\d\d)")
_OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)")
_TAGS = (
    (ExifTags.Base.DateTimeOriginal, ExifTags.Base.SubsecTimeOriginal, ExifTags.Base.OffsetTimeOriginal),
    (ExifTags.Base.DateTimeDigitized, ExifTags.Base.SubsecTimeDigitized, ExifTags.Base.OffsetTimeDigitized),
)
"""Time, fraction of a second and offset from UTC: of the exposure, or, where that is missing, of the digitization."""

_MAX_BYTES = 1 << 28
"""Largest file that is read for its time."""


def read_time_taken(data: bytes) -> str:
    """Return the time of the photograph in ISO 8601, with its fraction of a second and its offset from UTC where EXIF has them.

    Empty where EXIF has no valid time. The pixels are not decoded, except those of JPEG XL.
    """
    try:
        with open_image(data, MAX_STORED_PIXELS) as image:
            if image.format == "PNG" and "exif" not in image.info:
                return ""  # `getexif` would decode the pixels to find EXIF after them
            exif = image.getexif()
            fields = exif.get_ifd(ExifTags.IFD.Exif)
    except Exception:  # broken metadata raises anything
        return ""
    for time, fraction, offset in _TAGS:
        if taken := parse_time_taken(*(_text(fields.get(tag)) for tag in (time, fraction, offset))):
            return taken
    return parse_time_taken(_text(exif.get(ExifTags.Base.DateTime)))  # simple cameras write no other time


def read_file_time_taken(path: Path) -> str:
    """Return the time of the photograph in a file as `read_time_taken` does; empty where the file cannot be read."""
    try:
        return read_time_taken(path.read_bytes()) if path.stat().st_size <= _MAX_BYTES else ""
    except OSError:
        return ""


def parse_time_taken(time: str, fraction: str = "", offset: str = "") -> str:
    """Return the ISO 8601 form of EXIF's time (`2024:05:06 07:08:09`), fraction (`25` is 0.25 s) and offset (`+02:00`).

    Empty for an invalid time, such as the zeros of a camera whose clock was not set; an invalid fraction or offset is left out.
    """
    match = _TIME.match(time.strip())
    if match is None:
        return ""
    try:
        taken = datetime(*map(int, match.groups()))  # type: ignore[arg-type]
    except ValueError:
        return ""
    digits = fraction.strip()
    if digits.isascii() and digits.isdecimal():
        taken = taken.replace(microsecond=int(digits[:6].ljust(6, "0")))
    if zone := _OFFSET.fullmatch(offset.strip()):
        away = timedelta(hours=int(zone[2]), minutes=int(zone[3])) * (-1 if zone[1] == "-" else 1)
        if abs(away) < timedelta(days=1):
            taken = taken.replace(tzinfo=timezone(away))
    return taken.isoformat()


def _text(value: object) -> str:
    """Return the value of an EXIF field as text, without the zero bytes that end it."""
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value or "")
    return text.strip("\0 ")
