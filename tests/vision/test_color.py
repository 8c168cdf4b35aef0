"""Color: profiles are applied, broken and absurd ones ignored; every reader of a file sees the same."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from fototeca.vision.image import (
    DecodeError,
    decode,
    decode_grey,
    decode_pixels,
    decode_reduced,
    decode_with_info,
    find_changes,
    read_stored_size,
)
from tests.vision.icc import cmyk_profile, grey_profile, rgb_profile

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """The bytes of an image in a format."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def colors(width: int = 96, height: int = 64) -> Image.Image:
    """Smooth colors of medium saturation."""
    y, x = np.mgrid[0:height, 0:width]
    red, green, blue = 60 + x * 120 // width, 70 + y * 110 // height, 90 + (x + y) * 60 // (width + height)
    return Image.fromarray(np.stack([red, green, blue], -1).astype(np.uint8))


def distance(first: Image.Image, second: Image.Image) -> float:
    """Largest difference in levels."""
    return float(np.abs(np.asarray(first, float) - np.asarray(second, float)).max())


def all_readers_agree(data: bytes) -> None:
    """Every way of decoding gives the same pixels and properties."""
    picture, info = decode_with_info(data)
    assert np.array_equal(decode_pixels(data), np.asarray(picture))
    grey, grey_info = decode_grey(data)
    assert np.array_equal(grey, np.asarray(picture.convert("L")))
    assert grey_info == info


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "AVIF"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_wide_gamut_becomes_srgb(kind: str, mode: str) -> None:
    """A picture saved in a wide gamut decodes to the colors that it has in sRGB."""
    if (kind, mode) == ("JPEG", "RGBA"):
        return
    profile = rgb_profile()
    opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    wide = ImageCms.profileToProfile(colors(), ImageCms.createProfile("sRGB"), opened)
    assert wide is not None and distance(wide, colors()) > 12
    options: dict[str, object] = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100, "subsampling": 0}}.get(kind, {})
    if kind == "AVIF":
        options = {"quality": 100, "subsampling": "4:4:4"}
    data = encoded(wide.convert(mode), kind, icc_profile=profile, **options)
    picture, info = decode_with_info(data)
    assert distance(picture, colors()) <= (3 if kind in ("PNG", "TIFF", "WEBP") else 9)
    assert info.normalized == ("profile",)
    all_readers_agree(data)


def test_transparent_pixels_are_converted_before_they_are_composited() -> None:
    """White paper stays white whatever the profile."""
    image = colors().convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    data = encoded(image, "PNG", icc_profile=rgb_profile())
    picture, info = decode_with_info(data)
    assert info.normalized == ("profile", "transparency")
    assert np.asarray(picture)[0].min() >= 252
    all_readers_agree(data)


@pytest.mark.parametrize("read", [decode, lambda data: decode_reduced(data, 4)])
def test_decoded_images_carry_no_metadata(read: Callable[[bytes], Image.Image]) -> None:
    """A thumbnail or PNG made of one has neither profile nor place."""
    exif = Image.Exif()
    exif.get_ifd(0x8825)[1] = "N"
    for profile in (rgb_profile(), SRGB, b"junk"):
        picture = read(encoded(colors(), "JPEG", icc_profile=profile, exif=exif.tobytes()))
        with Image.open(io.BytesIO(encoded(picture, "WEBP"))) as saved:
            assert "icc_profile" not in saved.info and not saved.getexif()


@pytest.mark.parametrize("mode", ["L", "LA", "I;16"])
def test_grey_profile_is_applied(mode: str) -> None:
    """Linear grey levels become brighter."""
    grey = Image.fromarray(np.tile(np.arange(0, 256, 2, dtype=np.uint8), (64, 1)))
    if mode == "LA":
        grey = grey.convert("LA")
    elif mode == "I;16":
        grey = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    data = encoded(grey, "PNG", icc_profile=grey_profile(1.0))
    picture, info = decode_with_info(data)
    assert abs(int(np.asarray(picture)[10, 27, 0]) - 127) <= 2, "linear 0.21 is sRGB 0.5"
    assert "profile" in info.normalized
    all_readers_agree(data)


def paper(inks: tuple[int, ...]) -> tuple[float, float, float]:
    """Black ink prints dark, the three others take a third of the light each and their colors."""
    cyan, magenta, yellow, black = inks
    lightness = 5 if black else 95 - 25 * (cyan + magenta + yellow)
    return lightness, 0 if black else -40 * cyan + 60 * magenta, 0 if black else -40 * cyan + 70 * yellow


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_is_read_with_its_profile(kind: str) -> None:
    """The profile's paper and inks, not plain inversion; the same as Little CMS computes."""
    profile = cmyk_profile(paper)
    image = Image.new("CMYK", (64, 48), (0, 0, 0, 0))
    image.paste((0, 255, 0, 0), (0, 0, 32, 48))
    data = encoded(image, kind, icc_profile=profile, **({"quality": 100} if kind == "JPEG" else {}))
    picture, info = decode_with_info(data)
    expected = ImageCms.profileToProfile(
        image, ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB"), outputMode="RGB"
    )
    assert expected is not None and distance(picture, expected) <= 3
    assert distance(picture, image.convert("RGB")) > 10
    assert info.normalized == ("profile", "cmyk")
    all_readers_agree(data)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize(
    "profile",
    [
        SRGB,
        b"no profile at all",
        rgb_profile()[:200],
        rgb_profile(primaries=((0.0, 0.0, 0.0),) * 3),
        grey_profile(1.0),
        cmyk_profile(paper),
        rgb_profile() + bytes(5_000_000),
    ],
    ids=["sRGB", "junk", "cut", "all black", "grey", "cmyk", "huge"],
)
def test_srgb_broken_and_absurd_profiles_change_nothing(kind: str, profile: bytes) -> None:
    """An image keeps its pixels; none is refused for its profile."""
    data = encoded(colors(), kind, icc_profile=profile)
    picture, info = decode_with_info(data)
    assert distance(picture, decode(encoded(colors(), kind))) == 0
    assert info.normalized == ()
    all_readers_agree(data)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 500), st.binary(min_size=1, max_size=8))
def test_any_damage_of_a_profile_leaves_an_image(place: int, junk: bytes) -> None:
    """Bytes of a profile overwritten."""
    profile = bytearray(rgb_profile())
    profile[place : place + len(junk)] = junk
    assert decode(encoded(colors(24, 16), "JPEG", icc_profile=bytes(profile))).size == (24, 16)


def lab(image: Image.Image) -> Image.Image:
    """The image in Lab."""
    converted = ImageCms.profileToProfile(image, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB")
    assert converted is not None
    return converted


def test_lab_tiff_is_read() -> None:
    """Lab needs no profile."""
    data = encoded(lab(colors()), "TIFF")
    picture, info = decode_with_info(data)
    assert distance(picture, colors()) <= 12 and info.normalized == ("lab",)
    all_readers_agree(data)


def glyph(shift: int, color: tuple[int, int, int] = (255, 255, 255)) -> Image.Image:
    """A square of one color on transparency."""
    image = Image.new("RGBA", (64, 64), (*color, 0))
    image.paste((*color, 255), (shift, 20, shift + 20, 40))
    return image


@pytest.mark.parametrize("mode", ["LA", "P", "PA"])
def test_white_glyphs_of_grey_and_palette_images(mode: str) -> None:
    """Whatever holds the transparency."""
    data = encoded(glyph(9).convert(mode), "TIFF" if mode == "PA" else "PNG")
    picture, info = decode_with_info(data)
    assert info.background == "black" and picture.getpixel((15, 30)) == (255, 255, 255)
    all_readers_agree(data)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF", "TIFF"])
def test_white_glyphs_are_composited_on_black(kind: str) -> None:
    """Glyphs at different places differ; the choice is recorded."""
    first, second = (encoded(glyph(shift), kind, **({"lossless": True} if kind == "WEBP" else {})) for shift in (4, 30))
    picture, info = decode_with_info(first)
    assert info.background == "black" and "transparency" in info.normalized
    assert (picture.getpixel((0, 0)), picture.getpixel((10, 30))) == ((0, 0, 0), (255, 255, 255))
    assert distance(picture, decode(second)) == 255
    all_readers_agree(first)


@pytest.mark.parametrize(
    ("image", "background", "corner"),
    [
        (glyph(9, (200, 0, 0)), "white", (255, 255, 255)),
        (glyph(9, (0, 0, 0)), "white", (255, 255, 255)),
        (glyph(9, (250, 250, 250)), "black", (0, 0, 0)),
        (Image.new("RGBA", (64, 64), (0, 0, 0, 0)), "white", (255, 255, 255)),
        (Image.new("RGBA", (64, 64), (9, 9, 9, 255)), "", (9, 9, 9)),
    ],
    ids=["red", "black", "nearly white", "nothing", "opaque"],
)
def test_background_is_white_where_anything_shows(image: Image.Image, background: str, corner: tuple[int, int, int]) -> None:
    """Black is the exception; opaque images have no background."""
    data = encoded(image, "PNG")
    picture, info = decode_with_info(data)
    assert (info.background, picture.getpixel((0, 0))) == (background, corner)
    all_readers_agree(data)


def test_tall_white_glyphs_are_compared_as_a_whole() -> None:
    """Strips of rows that are blank each do not decide: one strip shows something."""
    image = Image.new("RGBA", (64, 900), (255, 255, 255, 0))
    image.paste((255, 255, 255, 255), (10, 700, 40, 800))
    image.paste((200, 0, 0, 255), (10, 850, 40, 880))
    assert decode_with_info(encoded(image, "PNG"))[1].background == "white"
    all_readers_agree(encoded(image, "PNG"))


def frames(count: int, first: int, color: str = "black") -> list[Image.Image]:
    """An animation of one color whose frame `first` shows something."""
    plain = [Image.new("RGB", (48, 36), (0, 0, number % 7) if color == "black" else color) for number in range(count)]
    return [*plain[:first], colors(48, 36), *plain[first + 1 :]]


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "AVIF", "TIFF"])
def test_first_frame_that_shows_something_is_read(kind: str) -> None:
    """Animations that fade in from black, and pages after an empty one."""
    first, *others = frames(4, 2)
    data = encoded(first, kind, save_all=True, append_images=others, **({} if kind == "TIFF" else {"duration": 100}))
    picture, info = decode_with_info(data)
    assert info.frame in (1, 2), "encoders join equal frames"
    assert info.normalized == ("animation",)
    assert distance(picture, colors(48, 36)) < 60 and np.asarray(picture).std() > 10
    all_readers_agree(data)


@pytest.mark.parametrize("position", [0, 3, 49, 55])
def test_number_of_frames_looked_at_is_bounded(position: int) -> None:
    """An animation of sixty pages is read at the first of fifty that is not empty, else at its first."""
    first, *others = frames(60, position)
    data = encoded(first, "TIFF", save_all=True, append_images=others)
    assert decode_with_info(data)[1].frame == (position if position < 50 else 0)


def test_damaged_frame_leaves_the_first() -> None:
    """An animation that ends early is read at its first frame."""
    first, *others = frames(3, 2)
    data = encoded(first, "GIF", save_all=True, append_images=others, duration=100)
    picture, info = decode_with_info(data[: len(data) // 2])
    assert (picture.size, info.frame) == ((48, 36), 0)


def test_thumbnail_page_of_a_tiff_is_not_read() -> None:
    """Pages of another size are previews."""
    pages = [Image.new("RGB", (48, 36), "white"), colors(24, 18), colors(48, 36)]
    data = encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    picture, info = decode_with_info(data)
    assert (picture.size, info.frame) == ((48, 36), 2)


@pytest.mark.parametrize("turn", [1, 3, 6, 8])
@pytest.mark.parametrize("kind", ["HEIF", "AVIF", "PNG", "WEBP", "TIFF"])
def test_photographs_of_phones_are_upright(kind: str, turn: int) -> None:
    """HEIC files are turned by their container, others by EXIF."""
    import pillow_heif

    pillow_heif.register_heif_opener()
    exif = Image.Exif()
    exif[0x0112] = turn
    picture, info = decode_with_info(encoded(colors(96, 64), kind, exif=exif.tobytes()))
    assert picture.size == (info.width, info.height) == ((96, 64) if turn in (1, 3) else (64, 96))
    backwards = {1: 0, 3: 180, 6: 90, 8: 270}[turn]
    assert distance(picture.rotate(backwards, expand=True), colors(96, 64)) < 24


def test_jpeg_xl_is_read_where_its_plugin_is() -> None:
    """Its size is checked before its plugin decodes."""
    pytest.importorskip("pillow_jxl")
    for size in ((96, 64), (300, 4_099), (77, 77), (16, 9)):
        for options in ({}, {"use_container": True, "exif": b"Exif\0\0" + b"\xff\x0a" * 3_000}):
            data = encoded(colors(*size), "JXL", lossless=True, **options)
            assert distance(decode(data), colors(*size)) == 0
            with pytest.raises(DecodeError, match=f"too-many-pixels: {size[0]}×{size[1]}"):
                decode(data, max_pixels=140)


@pytest.mark.parametrize("mode", ["1", "L", "RGB"])
def test_portable_anymaps_are_read(mode: str) -> None:
    """PBM, PGM and PPM."""
    data = encoded(colors().convert(mode), "PPM")
    assert distance(decode(data), colors().convert(mode).convert("RGB")) == 0
    assert decode_with_info(data)[1].format == "PPM"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "TIFF", "WEBP", "HEIF"])
def test_changes_are_found_without_decoding_where_the_header_tells(kind: str) -> None:
    """`find_changes` says what decoding says; `read_stored_size` gives the size before orientation."""
    import pillow_heif

    pillow_heif.register_heif_opener()
    exif = Image.Exif()
    exif[0x0112] = 8
    for options in ({}, {"exif": exif.tobytes()}, {"icc_profile": rgb_profile()}):
        data = encoded(colors(96, 64), kind, **options)
        info = decode_with_info(data)[1]
        assert find_changes(data) == info.normalized
        sides = (info.height, info.width) if "orientation" in info.normalized else (info.width, info.height)
        assert read_stored_size(data) == sides
