"""Files of the gallery: images, thumbnails and ground truth (boxes and masks), drawn once into a folder."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from os import cpu_count
from pathlib import Path

from PIL import Image, ImageEnhance, ImageFilter, ImageOps
from tqdm import tqdm

from fototeca.core.files import write_bytes, write_text
from fototeca.demo.images import draw_image
from fototeca.demo.plan import SEED, Entry

THUMBNAIL = 120
"""Longest side of a thumbnail in pixels."""

ImageEdit = Callable[[Image.Image], Image.Image]

_EDITS: dict[str, ImageEdit] = {
    "smaller": lambda image: image.resize((image.width * 3 // 5, image.height * 3 // 5), Image.Resampling.LANCZOS),
    "recompressed": lambda image: image,
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.3),
    "flat": lambda image: ImageEnhance.Contrast(image).enhance(0.65),
    "cropped": lambda image: ImageOps.crop(image, min(image.size) // 25),
    "mirrored": ImageOps.mirror,
    "framed": lambda image: ImageOps.expand(image, 14, "white"),
    "webp": lambda image: image,
    "gray": lambda image: image.convert("L"),
    "soft": lambda image: image.filter(ImageFilter.GaussianBlur(1.5)),
}
_QUALITY = {"recompressed": 35}


def build_gallery(folder: Path, entries: Sequence[Entry]) -> None:
    """Draw every missing image below `folder`. `truth.json` is written last."""
    missing = [entry for entry in entries if not (folder / "images" / entry.file).is_file()]
    if missing:
        context = get_context("spawn")
        with ProcessPoolExecutor(cpu_count(), context) as pool:
            parts = [missing[start : start + 8] for start in range(0, len(missing), 8)]
            batches = pool.map(_draw_all, parts, [folder] * len(parts))
            for _ in tqdm(batches, total=len(parts), desc="drawing", disable=None):
                pass
    truth = folder / "truth.json"
    if missing or not truth.is_file():
        write_text(
            truth, json.dumps({entry.name: {**asdict(entry), **_box(folder, entry)} for entry in entries}, indent=1) + "\n"
        )


def draw_new_images(folder: Path, signs: Sequence[str], each: int, *, take: int = 1) -> list[Path]:
    """Draw `each` images of every sign that are not in the gallery, as `folder/SIGN/NNN.jpg`; existing files stay."""
    paths = [folder / sign / f"{number:03}.jpg" for sign in signs for number in range(each)]
    missing = [(path, path.parent.name, int(path.stem), take) for path in paths if not path.is_file()]
    if missing:
        with ProcessPoolExecutor(cpu_count(), get_context("spawn")) as pool:
            list(tqdm(pool.map(_draw_new, missing, chunksize=8), total=len(missing), desc="drawing", disable=None))
    return paths


def _draw_new(task: tuple[Path, str, int, int]) -> None:
    path, sign, number, take = task
    write_bytes(path, draw_image(sign, SEED, number, take).jpeg)


def _draw_all(entries: Sequence[Entry], folder: Path) -> None:
    for entry in entries:
        _draw(entry, folder)


def _draw(entry: Entry, folder: Path) -> None:
    """Write image and thumbnail, and the mask of an original. The full image is written last."""
    drawn = draw_image(entry.sign, SEED, entry.number)
    data = drawn.jpeg
    if entry.edit:
        with Image.open(io.BytesIO(data)) as original:
            data = _encode(_EDITS[entry.edit](original.convert("RGB")), entry)
    with Image.open(io.BytesIO(data)) as image:
        small = image.convert("RGB")
        small.thumbnail((THUMBNAIL, THUMBNAIL))
        buffer = io.BytesIO()
        small.save(buffer, "JPEG", quality=70)
    write_bytes(folder / "thumbs" / f"{entry.name}.jpg", buffer.getvalue())
    if not entry.origin:
        mask = io.BytesIO()
        drawn.mask.save(mask, "PNG")
        write_bytes(folder / "masks" / f"{entry.name}.png", mask.getvalue())
    if entry.kind == "truncated":
        data = data[: len(data) * 2 // 3]
    if entry.kind == "html":
        data = b"<!doctype html><title>Sorry</title><p>This image is for members."
    write_bytes(folder / "images" / entry.file, data)


def _encode(image: Image.Image, entry: Entry) -> bytes:
    buffer = io.BytesIO()
    image_format = {"webp": "WEBP", "png": "PNG"}.get(entry.file.rpartition(".")[2], "JPEG")
    image.save(buffer, image_format, quality=_QUALITY.get(entry.edit, 88))
    return buffer.getvalue()


def _box(folder: Path, entry: Entry) -> dict[str, list[int]]:
    """Return left, top, right and bottom of the sign in an original, right and bottom excluded; nothing for a copy."""
    if entry.origin:
        return {}
    with Image.open(folder / "masks" / f"{entry.name}.png") as mask:
        return {"box": list(mask.getbbox() or ())}
