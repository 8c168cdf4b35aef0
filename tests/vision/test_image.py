"""Decoding: every kind of image becomes upright RGB, every other file gets a fixed reason."""

from __future__ import annotations

import io
import random
from contextlib import suppress

import numpy as np
import pytest
from PIL import Image, ImageOps

from fototeca.vision.image import DecodeError, decode, decode_grey, decode_pixels, decode_with_info, inspect


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """The bytes of an image in a format."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def gradient(width: int = 64, height: int = 48) -> Image.Image:
    """Red grows to the right, green downwards."""
    y, x = np.mgrid[0:height, 0:width]
    return Image.fromarray(np.stack([x * 255 // (width - 1), y * 255 // (height - 1), x * 0 + 90], -1).astype(np.uint8))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_every_format_decodes(kind: str) -> None:
    """Decoded pixels are close to the drawn ones; the header has format and size."""
    data = encoded(gradient(), kind)
    assert np.abs(np.asarray(decode(data), float) - np.asarray(gradient(), float)).mean() < 12
    info = inspect(data)
    assert (info.format, info.width, info.height) == (kind, 64, 48)


@pytest.mark.parametrize(
    ("kind", "mode"),
    [("PNG", mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")] + [("TIFF", mode) for mode in ("CMYK", "I", "F")],
)
@pytest.mark.parametrize("turn", [1, 6])
def test_decode_grey_equals_decode(kind: str, mode: str, turn: int) -> None:
    """For every mode, with transparency and orientation, in strips or at once."""
    image = gradient(90, 700).convert("I" if mode == "I;16" else mode)
    if mode == "P":
        image.info["transparency"] = 3
    exif = Image.Exif()
    exif[0x0112] = turn
    image = image.convert("I;16") if mode == "I;16" else image
    data = encoded(image, kind, exif=exif, **({"transparency": 9} if mode in ("P", "L") else {}))
    levels, info = decode_grey(data)
    picture, told = decode_with_info(data)
    assert np.array_equal(levels, np.asarray(picture.convert("L")))
    assert info == told


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "CMYK", "1", "I;16", "I", "F"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    """Grey, palette, CMYK, 16-bit and float images keep the order of their brightness."""
    ramp = np.tile(np.linspace(0, 255, 64), (16, 1))
    if mode == "I;16":
        image = Image.fromarray((ramp * 257).astype(np.uint16))
    elif mode in ("I", "F"):
        image = Image.fromarray(ramp.astype(np.int32 if mode == "I" else np.float32))
    else:
        image = Image.fromarray(ramp.astype(np.uint8)).convert("RGB" if mode == "CMYK" else "L").convert(mode)
    picture = decode(encoded(image, "TIFF"))
    columns = np.asarray(picture.convert("L"), float).mean(axis=0)
    assert picture.mode == "RGB"
    assert columns[-8:].mean() - columns[:8].mean() > 150


@pytest.mark.parametrize("top", [255, 1023, 4095, 16383, 65535])
def test_sixteen_bit_images_are_scaled_by_the_bits_in_use(top: int) -> None:
    """A 10-bit camera writes at most 1,023."""
    ramp = np.tile(np.linspace(0, top, 64), (16, 1)).astype(np.uint16)
    levels = np.asarray(decode(encoded(Image.fromarray(ramp), "PNG")).convert("L"), float).mean(axis=0)
    np.testing.assert_allclose(levels, np.linspace(0, 255, 64), atol=1.5)


def test_exif_orientation_is_applied() -> None:
    """The size is correct before decoding, too."""
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(gradient(64, 48), "JPEG", exif=exif)
    assert (inspect(data).width, inspect(data).height) == (48, 64)
    assert decode(data).size == (48, 64)


def test_inspect_does_not_decode(monkeypatch: pytest.MonkeyPatch) -> None:
    """EXIF after the pixels of a PNG is not searched for; decoding finds the final size."""
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(gradient(64, 48), "PNG", exif=exif)
    plain = encoded(gradient(64, 48), "PNG")
    cut = data.index(b"eXIf") - 4
    length = int.from_bytes(data[cut : cut + 4], "big") + 12
    behind = data[:cut] + data[cut + length : -12] + data[cut : cut + length] + data[-12:]  # eXIf after the pixels
    picture, info = decode_with_info(behind)
    assert picture.size == (info.width, info.height) == (48, 64)

    def load(image: Image.Image) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", load)
    assert inspect(plain).width == 64


def test_transparency_is_composited_on_white() -> None:
    """A transparent corner is white, not the color stored under it."""
    image = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    assert decode(encoded(image, "PNG")).getpixel((0, 0)) == (255, 255, 255)


def test_first_frame_of_an_animation() -> None:
    """An animation is decoded to its first frame."""
    red, blue = Image.new("RGB", (9, 9), "red"), Image.new("RGB", (9, 9), "blue")
    data = encoded(red, "GIF", save_all=True, append_images=[blue])
    assert decode(data).getpixel((4, 4)) == (255, 0, 0)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not-an-image"),
        (b"<html><body>no</body></html>", "not-an-image"),
        (b"\x00" * 4096, "not-an-image"),
        (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "unsupported-format"),
        (b"%PDF-1.7", "unsupported-format"),
        (b"\x00\x00\x00\x18ftypheic" + b"\0" * 64, "not-an-image"),
        (b"\xff\x0a" + b"\0" * 64, "truncated"),
        (b"\xff\xd8\xff" + b"junk" * 64, "not-an-image"),
        (encoded(gradient(640, 480), "JPEG")[:4000], "truncated"),
        (encoded(gradient(640, 480), "PNG")[:900], "truncated"),
        (b"\x89PNG\r\n\x1a\n" + b"\xff" * 64, "not-an-image"),
    ],
)
def test_other_files_have_a_reason(data: bytes, reason: str) -> None:
    """Every file that is not an image gets one of the fixed reasons."""
    with pytest.raises(DecodeError) as caught:
        decode(data)
    assert caught.value.reason == reason


def test_pixel_bomb_is_rejected_before_decoding() -> None:
    """30,000 × 30,000 pixels in a few kilobytes."""
    data = encoded(Image.new("1", (30_000, 30_000)), "PNG")
    with pytest.raises(DecodeError) as caught:
        decode(data)
    assert caught.value.reason == "too-many-pixels"


@pytest.mark.parametrize("kind", ["JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_corrupted_files_decode_or_raise_decode_error(kind: str) -> None:
    """Bytes changed at random positions."""
    whole = encoded(gradient(), kind)
    chance = random.Random(7)
    for _ in range(120):
        data = bytearray(whole)
        for _ in range(chance.choice((1, 4, 16))):
            data[chance.randrange(len(data))] = chance.randrange(256)
        with suppress(DecodeError):
            decode(bytes(data), max_pixels=1_000_000)


def test_any_decoder_exception_becomes_decode_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoders raise RuntimeError among others."""

    def load(image: Image.Image) -> None:
        raise RuntimeError("Failed to decode frame")

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", load)
    with pytest.raises(DecodeError) as caught:
        decode(encoded(gradient(), "PNG"))
    assert caught.value.reason == "truncated"


def by_pillow(data: bytes) -> np.ndarray | None:
    """What Pillow alone makes of a JPEG, upright; None where it refuses it."""
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
            image.load()
            with suppress(Exception):
                return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
            return np.asarray(image.convert("RGB"))
    except Exception:
        return None


def ours(data: bytes) -> np.ndarray | None:
    """The same by `decode_pixels`, which `decode` must equal."""
    try:
        pixels = decode_pixels(data)
    except DecodeError:
        with pytest.raises(DecodeError):
            decode(data)
        return None
    assert np.array_equal(pixels, np.asarray(decode(data)))
    grey, info = decode_grey(data)
    assert np.array_equal(grey, np.asarray(decode(data).convert("L")))
    assert info == decode_with_info(data)[1]
    assert pixels.flags.writeable
    return pixels


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0", "4:1:1"])
@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"keep_rgb": True, "subsampling": "4:4:4"}, {"restart_marker_blocks": 2}]
)
def test_jpeg_equals_pillow(mode: str, subsampling: str, options: dict[str, object]) -> None:
    """Odd sizes, every orientation, subsampling and coding."""
    random_ = np.random.default_rng(0)
    for turn in range(10):
        noise = random_.integers(0, 256, (9, 7, 3), dtype=np.uint8)
        image = Image.fromarray(noise).resize((53 + turn, 41), Image.Resampling.BICUBIC).convert(mode)
        exif = Image.Exif()
        exif[0x0112] = turn
        data = encoded(image, "JPEG", **{"subsampling": subsampling, "quality": 60 + 4 * turn, "exif": exif, **options})
        expected, own = by_pillow(data), ours(data)
        assert expected is not None and own is not None and np.array_equal(own, expected)


def test_damaged_jpeg_equals_pillow() -> None:
    """Truncated or corrupted files are rejected or tolerated exactly as by Pillow."""
    noise = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    whole = encoded(Image.fromarray(noise).resize((120, 90), Image.Resampling.BICUBIC), "JPEG", quality=90)
    chance = random.Random(0)
    mended = 0
    for turn in range(200):
        data = bytearray(whole if turn % 2 else whole[: chance.randrange(200, len(whole))])
        for _ in range(chance.randrange(1, 4)):
            data[chance.randrange(200, len(data))] = chance.randrange(256)
        expected, own = by_pillow(bytes(data)), ours(bytes(data))
        assert (expected is None) == (own is None)
        if expected is not None and own is not None:
            mended += 1
            assert np.array_equal(own, expected)
    assert mended > 50
