"""Metadata is cut out of image files without changing a pixel."""

from __future__ import annotations

import io
import random
import struct
import zlib
from importlib import import_module

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from fototeca.vision.image import DecodeError, decode, find_orientation
from fototeca.vision.metadata import strip_metadata
from tests.vision.icc import rgb_profile

SECRET = b"casa de Ana"
XMP = (
    b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>"
    b"<rdf:Description xmlns:tiff='http://ns.adobe.com/tiff/1.0/' tiff:Orientation='ORIENTATION'>"
    + SECRET
    + b"</rdf:Description>"
    b"</rdf:RDF></x:xmpmeta>"
)


def picture(seed: int = 1, mode: str = "RGB") -> Image.Image:
    """Noise, wider than high."""
    levels = np.random.default_rng(seed).integers(0, 256, (40, 56, 3), dtype=np.uint8)
    return Image.fromarray(levels).convert(mode)


def exif(orientation: int = 1) -> bytes:
    """EXIF with a secret description, a place, and an orientation."""
    tags = Image.Exif()
    tags[0x010E] = SECRET.decode()
    tags[0x0112] = orientation
    tags.get_ifd(0x8825)[2] = (41.0, 23.0, 0.5)
    tags.get_ifd(0x8769)[0x927C] = SECRET
    return tags.tobytes()


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    """Return the file of an image."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def segment(marker: int, payload: bytes) -> bytes:
    """Return a JPEG segment."""
    return bytes((0xFF, marker)) + struct.pack(">H", len(payload) + 2) + payload


def jpeg(orientation: int = 1, **options: object) -> bytes:
    """A JPEG with a secret in every place that JPEG has for one."""
    mode = str(options.pop("mode", "RGB"))
    plain = encode(picture(mode=mode), "JPEG", **options)
    extra = segment(0xE1, b"Exif\0\0" + exif(orientation).removeprefix(b"Exif\0\0"))
    extra += segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP) + segment(0xE0, b"JFXX\0\x13" + SECRET)
    extra += segment(0xED, b"Photoshop 3.0\0" + SECRET) + segment(0xFE, SECRET) + segment(0xEB, b"JP\0\0" + SECRET)
    extra += segment(0xE2, b"FPXR\0" + SECRET) + SECRET + b"\xff\xff" + segment(0xFE, SECRET)
    tail = encode(picture(2), "JPEG", comment=SECRET)
    scan = plain.index(b"\xff\xda")
    return plain[:2] + extra + plain[2:scan] + segment(0xFE, SECRET) + plain[scan:] + tail + SECRET


def png_chunk(kind: bytes, payload: bytes) -> bytes:
    """Return a PNG chunk."""
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))


def png(mode: str = "RGB", orientation: int = 1, *, late: bool = False, **options: object) -> bytes:
    """A PNG with texts, EXIF before or after its pixels, private chunks and a tail."""
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", SECRET.decode())
    text.add_itxt("XML:com.adobe.xmp", XMP.decode())
    text.add_text("Author", SECRET.decode(), zip=True)
    plain = encode(picture(mode=mode), "PNG", pnginfo=text, **options)
    chunks = png_chunk(b"eXIf", exif(orientation).removeprefix(b"Exif\0\0")) + png_chunk(b"prVt", SECRET)
    end = plain.index(b"IEND") - 4 if late else 33
    return plain[:end] + chunks + plain[end:] + SECRET


def turned_by_xmp() -> bytes:
    """A PNG whose orientation XMP states."""
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", XMP.replace(b"ORIENTATION", b"6").decode())
    return encode(picture(), "PNG", pnginfo=text)


def gif() -> bytes:
    """An animation with a comment, XMP and a tail."""
    frames = [picture(number).convert("P", palette=Image.Palette.ADAPTIVE) for number in range(3)]
    plain = encode(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=80, loop=0, comment=SECRET)
    xmp = b"\x21\xff\x0bXMP DataXMP" + XMP + bytes((1, *range(255, -1, -1), 0))
    start = 13 + (3 << (plain[10] & 7) + 1)
    return plain[:start] + xmp + plain[start:] + SECRET


def webp(orientation: int = 1, **options: object) -> bytes:
    """A WebP with EXIF, XMP, an unknown chunk and a tail."""
    plain = encode(picture(), "WEBP", exif=exif(orientation), xmp=XMP, icc_profile=rgb_profile(), **options)
    extra = b"HIDE" + struct.pack("<I", len(SECRET)) + SECRET + b"\0" * (len(SECRET) % 2)
    return plain[:4] + struct.pack("<I", len(plain) - 8 + len(extra)) + plain[8:] + extra + SECRET


FILES = {
    "jpeg": jpeg(),
    "jpeg on its side": jpeg(6),
    "mirrored jpeg": jpeg(5, progressive=True),
    "jpeg with a profile": jpeg(icc_profile=rgb_profile() + bytes(70000), restart_marker_rows=1),
    "grey jpeg": jpeg(mode="L", progressive=True),
    "cmyk jpeg": jpeg(mode="CMYK"),
    "two pictures": encode(picture(), "MPO", save_all=True, append_images=[picture(3)], exif=exif(8)),
    "png": png(),
    "png on its side": png(orientation=8),
    "png with late exif": png(orientation=3, late=True),
    "transparent png": png("RGBA"),
    "indexed png": png("P"),
    "deep png": png("I;16"),
    "png with a profile": png(icc_profile=rgb_profile()),
    "webp": webp(),
    "lossless webp on its side": webp(6, lossless=True),
    "moving webp": webp(save_all=True, append_images=[picture(3)], duration=90),
    "gif": gif(),
    "png that xmp alone turns": turned_by_xmp(),
}


@pytest.mark.parametrize("name", FILES)
def test_no_secret_stays_and_no_pixel_changes(name: str) -> None:
    """Pixels as the models see them, orientation and profile stay; of EXIF nothing but the orientation does."""
    data = FILES[name]
    public = strip_metadata(data)
    assert public is not None
    compressed = zlib.compress(SECRET)
    assert SECRET in data or compressed in data
    assert SECRET not in public and b"Author" not in public and b"xmpmeta" not in public and public != data
    assert np.array_equal(np.asarray(decode(public)), np.asarray(decode(data)))
    assert find_orientation(public) == find_orientation(data)
    with Image.open(io.BytesIO(data)) as old, Image.open(io.BytesIO(public)) as new:
        assert new.info.get("icc_profile") == old.info.get("icc_profile")
        assert new.size == old.size and getattr(new, "n_frames", 1) == (1 if old.format == "MPO" else getattr(old, "n_frames", 1))
        assert set(new.getexif()) <= {0x0112} and "xmp" not in new.info and not new.getexif().get_ifd(0x8825)
    assert strip_metadata(public) == public


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "PPM"])
def test_files_without_metadata_stay_byte_for_byte(kind: str) -> None:
    """Such a file can be linked."""
    data = encode(picture(), kind)
    assert strip_metadata(data) == data


@pytest.mark.parametrize("kind", ["TIFF", "AVIF", "HEIF"])
def test_formats_that_must_be_written_again(kind: str) -> None:
    """Their metadata is spread over the file."""
    import_module("pillow_heif").register_heif_opener()
    assert strip_metadata(encode(picture(), kind)) is None


def test_bytes_around_plain_pixels() -> None:
    """Comments of PPM, gaps and tails of BMP are no pixels."""
    ppm, bmp = encode(picture(), "PPM"), encode(picture(), "BMP")
    assert strip_metadata(ppm.replace(b"P6\n", b"P6\n#casa de Ana\n", 1)) is None
    assert strip_metadata(ppm + SECRET) is None and strip_metadata(bmp + SECRET) is None
    assert strip_metadata(bmp[:10] + struct.pack("<I", 54 + len(SECRET)) + bmp[14:54] + SECRET + bmp[54:]) is None


def test_thumbnail_of_jfif() -> None:
    """JFIF's own thumbnail goes, its resolution stays."""
    plain = encode(picture(), "JPEG", dpi=(300, 300))
    length = int.from_bytes(plain[4:6])
    small = segment(0xE0, plain[6:18] + bytes((2, 2)) + b"casa de Ana!")
    public = strip_metadata(plain[:2] + small + plain[4 + length :])
    assert public == plain


@pytest.mark.parametrize("name", FILES)
def test_broken_files_do_not_fail(name: str) -> None:
    """Truncated and damaged files give a file, None or DecodeError."""
    data, draw = FILES[name], random.Random(7)
    for number in range(60):
        broken = bytearray(data[: draw.randrange(12, len(data))] if number % 2 else data)
        for _ in range(4 * (1 - number % 2)):
            broken[draw.randrange(len(broken))] = draw.randrange(256)
        try:
            strip_metadata(bytes(broken))
        except DecodeError:
            continue
