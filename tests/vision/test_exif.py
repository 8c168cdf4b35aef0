"""Tests for the time of a photograph in EXIF."""

from __future__ import annotations

import io

import pytest
from PIL import ExifTags, Image

from fototeca.vision.exif import parse_time_taken, read_time_taken


def photograph(format: str, fields: dict[int, str]) -> bytes:
    """Return a small image with fields in its Exif IFD."""
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "maker"  # Pillow writes no EXIF to a PNG where the first directory is empty
    exif.get_ifd(ExifTags.IFD.Exif).update(fields)
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, format, exif=exif)
    return file.getvalue()


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_time_is_read_from_every_format_with_exif(format: str) -> None:
    """The time of the exposure is preferred; its fraction and offset belong to it."""
    fields = {36867: "2024:05:06 07:08:09", 37521: "25", 36881: "-03:30", 36868: "2025:01:01 00:00:00"}
    assert read_time_taken(photograph(format, fields)) == "2024-05-06T07:08:09.250000-03:30"


def test_other_times_replace_a_missing_exposure() -> None:
    """Scans have only the time of the digitization, simple cameras only that of the file."""
    file = io.BytesIO()
    exif = Image.Exif()
    exif[ExifTags.Base.DateTime] = "2024:05:06 07:08:09"
    Image.new("RGB", (8, 8)).save(file, "JPEG", exif=exif)
    assert read_time_taken(file.getvalue()) == "2024-05-06T07:08:09"
    assert read_time_taken(photograph("JPEG", {36868: "2024:05:06 07:08:09"})) == "2024-05-06T07:08:09"
    assert read_time_taken(photograph("JPEG", {})) == ""
    assert read_time_taken(b"\xff\xd8\xff broken") == ""


@pytest.mark.parametrize(
    ("parts", "taken"),
    [
        (("0000:00:00 00:00:00",), ""),
        (("    :  :     :  :  ",), ""),
        (("2024:13:06 07:08:09",), ""),
        (("2024-05-06 07:08:09 ", "x", "Z"), "2024-05-06T07:08:09"),
        (("2024:05:06 07:08:09", "1234567", "+99:00"), "2024-05-06T07:08:09.123456"),
    ],
)
def test_invalid_parts_are_left_out(parts: tuple[str, ...], taken: str) -> None:
    """An unset clock has no time; an invalid fraction or offset is ignored."""
    assert parse_time_taken(*parts) == taken
