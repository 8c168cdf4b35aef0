"""Tests of the budget of decoding: bombs are refused by what their headers announce, photographs are read."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fototeca.collect.store.accept import ImageRejectedError, accept_image
from fototeca.core.workspace import create_workspace
from fototeca.vision import image as vision
from fototeca.vision.costs import check_cost, estimate
from fototeca.vision.exif import read_time_taken
from fototeca.vision.image import DecodeError
from fototeca.vision.limits import MAX_PIXELS, Cost
from tests.vision.bombs import BOMBS, jpeg_scans, tiff_tile

READERS = (
    lambda data: vision.inspect(data, max_pixels=MAX_PIXELS),
    lambda data: vision.decode(data, max_pixels=MAX_PIXELS),
    lambda data: vision.decode_pixels(data, max_pixels=MAX_PIXELS),
    lambda data: vision.decode_grey(data, max_pixels=MAX_PIXELS),
)


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_before_they_are_decoded(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every reader refuses each bomb; no decoder is called, no plugin opens it."""
    data = BOMBS[name]()
    monkeypatch.setattr(Image.Image, "load", None)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", None)
    for read in READERS:
        with pytest.raises(DecodeError) as caught:
            read(data)
        assert caught.value.reason in ("too-costly", "too-many-pixels")


def test_stored_bombs_are_refused(tmp_path: Path) -> None:
    """Readers of stored images, whose limits are higher, refuse scans too: thumbnails, exports, caches."""
    data = jpeg_scans(7000, 2500)
    (tmp_path / "bomb.jpg").write_bytes(data)
    for read in (
        vision.find_changes,
        vision.read_stored_size,
        vision.find_orientation,
        lambda data: vision.decode_reduced(data, 64),
    ):
        with pytest.raises(DecodeError, match=r"too-costly: decoding takes about .* s .2501 scans"):
            read(data)
    with pytest.raises(DecodeError):
        vision.decode_pixels(tmp_path / "bomb.jpg")
    assert read_time_taken(data) == ""


def test_a_rejected_bomb_is_a_reason_of_collect(tmp_path: Path) -> None:
    """Collecting rejects a bomb with the reason `too-costly`."""
    workspace = create_workspace(tmp_path / "w", ["a", "b"], contact="")
    with pytest.raises(ImageRejectedError) as caught:
        accept_image(workspace, tiff_tile(), 64)
    assert caught.value.reason == "too-costly"


def _photograph(side: tuple[int, int]) -> Image.Image:
    small = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(side)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {"progressive": True}),
        ("JPEG", {"progressive": True, "subsampling": 0, "restart_marker_rows": 1}),
        ("PNG", {}),
        ("WEBP", {}),
        ("GIF", {}),
        ("BMP", {}),
        ("PPM", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "jpeg"}),
        ("AVIF", {"speed": 10}),
    ],
)
def test_photographs_stay_readable(kind: str, options: dict[str, object]) -> None:
    """Photographs in every format are within the budget, and within half of it at 12 megapixels, by the estimate."""
    buffer = io.BytesIO()
    _photograph((1600, 1200)).save(buffer, kind, **options)
    data = buffer.getvalue()
    assert vision.decode_pixels(data, max_pixels=MAX_PIXELS).shape == (1200, 1600, 3)
    cost, size = estimate(data, kind)
    assert cost.seconds * 12 / 1.92 < 1
    assert size in ((1600, 1200), None)


def test_the_budget_grows_with_max_pixels() -> None:
    """A person who raises `--max-pixels` allows more; the refusal names the value that is enough."""
    progressive = Cost(1.5, 450_000_000)
    with pytest.raises(DecodeError, match="450 MB; --max-pixels 56250000 allows it"):
        check_cost(progressive, 45_000_000, MAX_PIXELS)
    check_cost(progressive, 45_000_000, 56_250_000)
    with pytest.raises(DecodeError, match=r"450 MB$"):
        check_cost(progressive, 1_000_000, 250_000_000)
    check_cost(Cost(4, 108_000_000 * 8), 108_000_000, 110_000_000)


def test_turned_and_deep_images_are_converted_in_strips() -> None:
    """Turned JPEGs with a profile, and 16-bit levels, give the same pixels by each reader."""
    exif = Image.Exif()
    for orientation in range(1, 9):
        exif[0x0112] = orientation
        buffer = io.BytesIO()
        _photograph((600, 400)).save(buffer, "JPEG", exif=exif.tobytes(), quality=95)
        data = buffer.getvalue()
        pixels = vision.decode_pixels(data)
        np.testing.assert_array_equal(pixels, np.asarray(vision.decode(data)))
        np.testing.assert_array_equal(vision.decode_grey(data)[0], vision.grey_levels(vision.decode(data)))
        assert vision.decode_grey(data)[1] == vision.decode_with_info(data)[1]
    levels = (np.arange(700 * 300, dtype=np.uint32) % 4096).astype(np.uint16).reshape(700, 300)
    buffer = io.BytesIO()
    Image.fromarray(levels).save(buffer, "PNG")
    expected = np.clip(levels / 4095 * 255, 0, 255).astype(np.uint8)
    np.testing.assert_array_equal(vision.decode_grey(buffer.getvalue())[0], expected)
    np.testing.assert_array_equal(vision.decode_pixels(buffer.getvalue()), np.repeat(expected[..., None], 3, axis=2))


def test_the_time_of_a_huge_image_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading EXIF opens no image beyond the largest limit: some plugins decode, or allocate, when they open."""
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0132] = "2024:05:06 07:08:09"
    Image.new("L", (20_000, 20_000)).save(buffer, "PNG", exif=exif.tobytes(), compress_level=1)
    assert estimate(buffer.getvalue(), "PNG")[1] == (20_000, 20_000)
    opened: list[int] = []
    monkeypatch.setattr("fototeca.vision.opening._open", lambda *arguments: opened.append(1))
    assert read_time_taken(buffer.getvalue()) == ""
    assert not opened
