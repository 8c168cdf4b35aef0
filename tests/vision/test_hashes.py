"""Hashes: bit for bit equal to imagehash, for every shape and mode."""

from __future__ import annotations

from pathlib import Path

import imagehash
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fototeca.vision.hashes import SIDE, phash
from fototeca.vision.image import grey_levels
from fototeca.vision.kernels import shrink

SIZES = [(64, 64), (348, 348), (640, 480), (480, 640), (97, 1023), (1023, 97), (1000, 480), (65, 90), (33, 40), (1, 1), (20, 700)]


def noise_image(seed: int, size: tuple[int, int]) -> Image.Image:
    """Smooth coloured noise."""
    noise = np.random.default_rng(seed).normal(128, 60, (9, 11, 3))
    return Image.fromarray(np.clip(noise, 0, 255).astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)


@pytest.mark.parametrize("size", SIZES)
def test_phash_equals_imagehash_at_every_size(size: tuple[int, int]) -> None:
    """Wide, tall, tiny and large images."""
    for seed in range(6):
        image = noise_image(seed, size)
        assert phash(image) == str(imagehash.phash(image))
        assert phash(grey_levels(image)) == phash(image), "from grey levels at hand too"


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (12, 200, 7)])
def test_phash_of_uniform_images(colour: tuple[int, int, int]) -> None:
    """Every bit depends on rounding; imagehash decides."""
    for size in SIZES:
        image = Image.new("RGB", size, colour)
        assert phash(image) == str(imagehash.phash(image))


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), st.integers(64, 500), st.integers(64, 500), st.sampled_from(["RGB", "L", "CMYK", "P"]))
def test_phash_equals_imagehash_on_random_images(seed: int, width: int, height: int, mode: str) -> None:
    """Random sizes and modes."""
    image = noise_image(seed, (width, height)).convert(mode)
    assert phash(image) == str(imagehash.phash(image))


def test_phash_of_photographs(grocery: Path) -> None:
    """150 photographs, also enlarged, where 2% of the bits depend on rounding."""
    for index, path in enumerate(sorted(grocery.rglob("*.jpg"))[::20]):
        with Image.open(path) as photograph:
            image = photograph.convert("RGB") if index % 2 else photograph.convert("RGB").resize((640, 480))
        assert phash(image) == str(imagehash.phash(image)), path.name


def test_shrink_equals_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Level for level, on noise and hard edges; the hash is the same without imagehash."""
    for size in [(64, 64), (64, 96), (2000, 70), (348, 348), (641, 480), (1001, 1500)]:
        noise = np.random.default_rng(size[0]).integers(0, 2, (size[1], size[0]), dtype=np.uint8) * np.uint8(255)
        expected = np.asarray(Image.fromarray(noise).resize((SIDE, SIDE), Image.Resampling.LANCZOS))
        assert np.array_equal(shrink(noise, SIDE), expected), size
    images = [noise_image(seed, size) for seed in range(8) for size in SIZES[:4]]
    hashes = [str(imagehash.phash(image)) for image in images]
    monkeypatch.setattr(imagehash, "phash", None)
    assert [phash(image) for image in images] == hashes


def test_phash_golden_value() -> None:
    """A pinned value detects both libraries changing together."""
    y, x = np.mgrid[0:96, 0:128]
    image = Image.fromarray(((x * 3 + y * y // 40) % 256).astype(np.uint8))
    assert phash(image) == "89091ba35eb1cbf4"
