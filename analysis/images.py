"""Draw images for pages: thumbnails, heat maps, captions, contact sheets, data URIs."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import ManifestRow, image_path
from fototeca.vision.image import DecodeError, decode, decode_reduced

if TYPE_CHECKING:
    import torch

    from fototeca.vision.preprocessing import Preprocessing

CAPTION, LINES = 17, 4
"""Height of a caption line in pixels, and number of lines below an image."""

_STOPS = np.array([[12, 7, 40], [84, 20, 105], [172, 44, 92], [233, 102, 46], [251, 178, 60], [252, 246, 190]], dtype=np.float64)
"""Color scale from dark to bright with evenly increasing lightness, so that it is readable in gray."""


def thumbnail(source: Path | Image.Image, side: int = 112, square: bool = True) -> Image.Image | None:
    """Return a small copy, cropped to a square or fitted into one; None if the file is missing or cannot be decoded."""
    try:
        image = decode_reduced(source, side) if isinstance(source, Path) else source
    except (DecodeError, OSError):
        return None
    if square:
        edge = min(image.size)
        left, top = (image.width - edge) // 2, (image.height - edge) // 2
        return image.resize((side, side), Image.Resampling.BICUBIC, box=(left, top, left + edge, top + edge), reducing_gap=2.0)
    small = image.copy()
    small.thumbnail((side, side), Image.Resampling.BICUBIC)
    return small


def read_stored_image(workspace: Workspace, row: ManifestRow) -> Image.Image:
    """Decode an image of the dataset. FototecaError if its file is missing or cannot be decoded."""
    try:
        return decode(image_path(workspace, row))
    except (DecodeError, OSError) as error:
        raise FototecaError(f"image {row.image_id[:12]} cannot be read: {error}", f"restore the file: {row.path}") from None


def compute_masks_digest(workspace: Workspace) -> str:
    """Return a digest of the names, sizes and times of all masks; see `read_true_mask`."""
    files = ((path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(_masks(workspace).glob("*.png")))
    return hashlib.sha256(repr(list(files)).encode()).hexdigest()[:16]


def _masks(workspace: Workspace) -> Path:
    return workspace.data / "masks"


def read_true_mask(workspace: Workspace, row: ManifestRow, preprocessing: Preprocessing) -> npt.NDArray[np.bool_] | None:
    """Return the object's mask after preprocessing; None if `data/masks` has no `IMAGE_ID.png` (white marks the object)."""
    path = _masks(workspace) / f"{row.image_id}.png"
    if not path.is_file():
        return None
    try:
        seen = preprocessing(decode(path))[0].numpy()
    except (DecodeError, OSError) as error:
        raise FototecaError(f"the mask {path} cannot be read: {error}", "replace the file, or remove it") from None
    return np.asarray(seen * preprocessing.std[0] + preprocessing.mean[0] > 0.5)


def data_uri(image: Image.Image, quality: int = 72) -> str:
    """Return the image as a WebP data URI."""
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "WEBP", quality=quality, method=3)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def tensor_to_image(tensor: torch.Tensor, preprocessing: Preprocessing) -> Image.Image:
    """Return a preprocessed tensor (3, H, W) as an image."""
    mean, std = (np.asarray(values).reshape(3, 1, 1) for values in (preprocessing.mean, preprocessing.std))
    values = np.clip(tensor.numpy() * std + mean, 0, 1)
    return Image.fromarray((values.transpose(1, 2, 0) * 255).round().astype(np.uint8))


def heatmap(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return a map (H, W) in colors (H, W, 3) from 0 to 255, dark at zero, brightest at the 99.5% quantile."""
    top = float(np.quantile(values, 0.995))
    scaled = np.clip(values / top, 0, 1) if top > 0 else np.zeros(values.shape)
    place = scaled * (len(_STOPS) - 1)
    below = np.minimum(place.astype(int), len(_STOPS) - 2)
    part = (place - below)[..., None]
    return np.asarray(_STOPS[below] * (1 - part) + _STOPS[below + 1] * part)


def overlay(image: Image.Image, values: npt.NDArray[np.float32], strength: float = 0.62) -> Image.Image:
    """Blend a map with the image in gray."""
    gray = np.asarray(image.convert("L"), dtype=np.float64)[..., None]
    mixed = gray * (1 - strength) + heatmap(values) * strength
    return Image.fromarray(np.clip(mixed, 0, 255).astype(np.uint8))


def add_caption(tile: Image.Image, words: Sequence[str], side: int = 224) -> Image.Image:
    """Return the tile, at least `side` wide, above LINES lines shared evenly by `words`; longer text is truncated."""
    share = LINES // max(len(words), 1)
    if tile.width < side:
        tile = tile.resize((side, round(side * tile.height / tile.width)), Image.Resampling.BICUBIC)
    lines = [line for text in words for line in _wrapped(text, tile.width - 4, share)]
    page = Image.new("RGB", (tile.width, tile.height + CAPTION * LINES), "white")
    page.paste(tile)
    for number, line in enumerate(lines):
        place = (2, tile.height + CAPTION * number + 1)
        ImageDraw.Draw(page).text(place, line, fill="black", font=_font())
    return page


def _wrapped(text: str, width: int, most: int) -> list[str]:
    """Wrap text into at most `most` lines of `width` pixels; truncate the rest."""
    font, lines = _font(), [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width:
            lines[-1] = longer
            continue
        lines += [""] if lines[-1] else []
        for letter in word:
            if font.getlength(lines[-1] + letter) > width:
                lines.append("")
            lines[-1] += letter
    if len(lines) > most:
        last = lines[most - 1]
        while last and font.getlength(last + "…") > width:
            last = last[:-1]
        lines[most - 1 :] = [last + "…"]
    return lines


def font_folder() -> Path:
    """Return the folder of the DejaVu fonts, which are installed with matplotlib."""
    from matplotlib import get_data_path

    return Path(get_data_path()) / "fonts" / "ttf"


@cache
def _font() -> ImageFont.FreeTypeFont:
    """Return DejaVu Sans: Pillow's default font has no letters beyond ASCII."""
    return ImageFont.truetype(font_folder() / "DejaVuSans.ttf", 12)


def contact_sheet(tiles: Sequence[Image.Image], columns: int, gap: int = 6) -> Image.Image:
    """Return tiles of one size in rows on white."""
    width, height = tiles[0].size
    rows = -(-len(tiles) // columns)
    page = Image.new("RGB", (columns * (width + gap) + gap, rows * (height + gap) + gap), "white")
    for index, tile in enumerate(tiles):
        page.paste(tile, (gap + index % columns * (width + gap), gap + index // columns * (height + gap)))
    return page
