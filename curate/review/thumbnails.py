"""Cached thumbnails of the stored images, so that thousands can be shown at a time."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from os import cpu_count
from pathlib import Path

from tqdm import tqdm

from fototeca.collect.catalog import ImageRow
from fototeca.core.files import atomic_write
from fototeca.core.paths import inside
from fototeca.core.workspace import Workspace
from fototeca.vision.image import DecodeError, decode

SIDE = 320
"""Pixels of the longer side."""


def thumbnail_folder(workspace: Workspace) -> Path:
    """Return the folder of thumbnails; a file is named by the image's id, in a folder of its first two digits."""
    return workspace.cache / "thumbnails"


def make_thumbnails(workspace: Workspace, images: Sequence[ImageRow]) -> dict[str, str]:
    """Return the path of each image's thumbnail by image id; images that cannot be read are left out."""
    with ThreadPoolExecutor(cpu_count()) as pool:
        paths = pool.map(lambda image: make_thumbnail(workspace, image), images)
        thumbnails = tqdm(paths, total=len(images), desc="thumbnails", disable=None if images else True)
        return {image.image_id: str(path) for image, path in zip(images, thumbnails, strict=True) if path}


def make_thumbnail(workspace: Workspace, image: ImageRow) -> Path | None:
    """Return the path of one image's thumbnail, creating it if missing; None if the image cannot be read."""
    path = inside(thumbnail_folder(workspace), f"{image.image_id[:2]}/{image.image_id}.jpg")
    if path.exists():
        return path
    try:
        picture = decode(workspace.root / image.path)
    except (DecodeError, OSError):
        return None
    picture.thumbnail((SIDE, SIDE))
    with atomic_write(path) as file:
        picture.save(file, "JPEG", quality=85)
    return path
