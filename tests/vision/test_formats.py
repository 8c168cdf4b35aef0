"""Formats by bytes: names do not matter, camera raw files are named, ordinary TIFF files of cameras are read."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fototeca.vision.formats import DecodeError, sniff, sniff_file

Entry = tuple[int, int, int, int | bytes]
"""Tag, type, count and value of an entry of a TIFF directory; bytes are stored outside the directory."""


def tiff(directories: list[list[Entry]], order: str = "<", start: int = 8) -> bytes:
    """A TIFF with directories of these entries, the first one at a position."""
    data = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", start) + bytes(start - 8)
    for number, entries in enumerate(directories):
        block, extra = struct.pack(order + "H", len(entries)), b""
        outside = len(data) + 2 + 12 * len(entries) + 4
        for tag, kind, count, value in entries:
            if isinstance(value, bytes):
                block += struct.pack(order + "HHII", tag, kind, count, outside + len(extra))
                extra += value
            elif kind == 3:
                block += struct.pack(order + "HHIHH", tag, kind, count, value, 0)
            else:
                block += struct.pack(order + "HHII", tag, kind, count, value)
        following = outside + len(extra) if number + 1 < len(directories) else 0
        data += block + struct.pack(order + "I", following) + extra
    return data


def make(text: bytes) -> Entry:
    """The camera's make."""
    return (271, 2, len(text) + 1, text + b"\0")


PREVIEW: list[Entry] = [(254, 4, 1, 1), (256, 4, 1, 160), (257, 4, 1, 120), (259, 3, 1, 1), (262, 3, 1, 2)]
SENSOR: list[Entry] = [(254, 4, 1, 0), (256, 4, 1, 6000), (257, 4, 1, 4000), (262, 3, 1, 32803)]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("start", [8, 70_000])
@pytest.mark.parametrize(
    ("directories", "kind"),
    [
        ([[*PREVIEW, (50706, 1, 4, 0x401)]], "DNG"),
        ([[*PREVIEW, make(b"NIKON CORPORATION")], [*SENSOR, (259, 3, 1, 34713)]], "NEF"),
        ([[*PREVIEW, make(b"SONY")], [*SENSOR, (259, 3, 1, 32767)]], "ARW"),
        ([[*SENSOR, make(b"PENTAX Corporation"), (259, 3, 1, 65535)]], "PEF"),
        ([[*PREVIEW, make(b"Hasselblad")], SENSOR], "3FR"),
        ([[*PREVIEW, make(b"Unheard of")], SENSOR], "raw"),
    ],
)
def test_raw_files_are_named_by_their_directories(directories: list[list[Entry]], kind: str, order: str, start: int) -> None:
    """Of either byte order, with directories behind the preview's pixels."""
    with pytest.raises(DecodeError) as caught:
        sniff(tiff(directories, order, start))
    assert (caught.value.reason, caught.value.detail) == ("camera-raw", kind)


def test_raw_sub_directory_is_found() -> None:
    """Nikon and Adobe keep the sensor's data in sub-directories."""
    sub = tiff([SENSOR])[8:]
    first: list[Entry] = [*PREVIEW, make(b"NIKON"), (330, 4, 1, 0)]
    whole = tiff([first])
    place = len(whole)
    first[-1] = (330, 4, 1, place)
    with pytest.raises(DecodeError, match="NEF"):
        sniff(tiff([first]) + sub)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"II*\0\x10\0\0\0CR\x02\0" + bytes(99), "CR2"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + bytes(99), "CR3"),
        (b"FUJIFILMCCD-RAW 0201FF383501", "RAF"),
        (b"IIRO\x08\0\0\0" + bytes(99), "ORF"),
        (b"IIU\0\x18\0\0\0" + bytes(99), "RW2"),
        (b"II\x1a\0\0\0HEAPCCDR" + bytes(99), "CRW"),
        (b"FOVb" + bytes(99), "X3F"),
    ],
)
def test_raw_files_are_named_by_their_first_bytes(tmp_path: Path, data: bytes, kind: str) -> None:
    """Also a file that is called .jpg."""
    (tmp_path / "photo.jpg").write_bytes(data)
    with pytest.raises(DecodeError) as caught:
        sniff_file(tmp_path / "photo.jpg")
    assert (caught.value.reason, caught.value.detail) == ("camera-raw", kind)


@pytest.mark.parametrize("maker", ["NIKON CORPORATION", "Canon", "SONY", "EPSON", "Phase One"])
@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "jpeg"])
def test_tiff_of_a_camera_or_scanner_is_no_raw(maker: str, compression: str) -> None:
    """A make alone says nothing."""
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(buffer, "TIFF", tiffinfo={271: maker, 272: "Model 5"}, compression=compression)
    assert sniff(buffer.getvalue()) == "TIFF"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "PPM"])
@pytest.mark.parametrize("name", ["photo", "photo.jpg_large", "photo.jpg?x=1", "photo.JPG~orig", "photo.txt"])
def test_names_do_not_matter(tmp_path: Path, kind: str, name: str) -> None:
    """The bytes give the format."""
    Image.new("RGB", (9, 9), "red").save(tmp_path / name, kind)
    assert sniff_file(tmp_path / name) == kind


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\0\0\0\x18ftypisom\0\0\2\0isomiso2mp41", "not-an-image: video"),
        (b"\0\0\0\x14ftypqt  \0\0\2\0qt  ", "not-an-image: video"),
        (b"BMW is a make of cars", "not-an-image"),
        (b"P3 is the name of a sample", "not-an-image"),
        (b"%PDF-1.7", "unsupported-format: PDF"),
        (b"path,label\n0.jpg,cat\n", "not-an-image"),
        (b"", "not-an-image"),
    ],
)
def test_other_files_are_named(data: bytes, text: str) -> None:
    """Words that begin like an image do not make one."""
    with pytest.raises(DecodeError) as caught:
        sniff(data)
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("brands", "kind"),
    [
        (b"heic\0\0\0\0mif1heic", "HEIF"),
        (b"mif1\0\0\0\0mif1heic", "HEIF"),
        (b"mif1\0\0\0\0mif1avif", "AVIF"),
        (b"avis\0\0\0\0avifmsf1", "AVIF"),
        (b"msf1\0\0\0\0mif1hevc", "HEIF"),
    ],
)
def test_heif_and_avif_by_their_brands(brands: bytes, kind: str) -> None:
    """The major brand may be the general one of both."""
    assert sniff(struct.pack(">I", 8 + len(brands)) + b"ftyp" + brands + bytes(40)) == kind


@given(st.sampled_from([b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"]), st.binary(max_size=300))
def test_any_tiff_is_sniffed_without_another_error(magic: bytes, rest: bytes) -> None:
    """Directories of random bytes."""
    try:
        assert sniff(magic + rest) == "TIFF"
    except DecodeError as error:
        assert error.reason == "camera-raw"
