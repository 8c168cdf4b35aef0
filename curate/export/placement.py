"""Place the images of a version in an export: linked, copied, without their metadata, or as the models saw them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from fototeca.core.errors import FototecaError
from fototeca.core.paths import inside
from fototeca.core.workspace import Workspace
from fototeca.curate.manifest import Manifest, ManifestRow, image_path
from fototeca.vision.image import DecodeError, decode, find_changes, read_stored_size
from fototeca.vision.metadata import strip_metadata

PORTABLE = frozenset({".jpg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm"})
"""Suffixes of stored images that any Pillow reads."""

_COMPRESSION = 3
"""Level of PNG compression; higher ones take several times as long for a few percent."""


@dataclass(frozen=True)
class PlacedFile:
    """A file of an export: path in its folder, and its own size in pixels, without regard to EXIF orientation.

    `sha256`: hexadecimal digest of the file, the image id unless the file was written by the export. `change`: how the file
    differs from the collected one: written as PNG with the pixels that the models saw, or copied without its metadata.
    """

    path: str
    width: int
    height: int
    sha256: str
    change: Literal["", "png", "stripped"] = ""

    @property
    def name(self) -> str:
        """Return the file name."""
        return self.path.rpartition("/")[2]


class Export:
    """An export in progress: its folder and its options, which `export_version` describes.

    `num_png`: images written as PNG so far; `num_stripped`: images copied without their metadata so far.
    """

    def __init__(
        self,
        workspace: Workspace,
        manifest: Manifest,
        folder: Path,
        *,
        copy: bool,
        normalise: bool,
        keep_metadata: bool,
        spreadsheet_safe: bool,
    ) -> None:
        self.workspace, self.manifest, self.folder = workspace, manifest, folder
        self.copy, self.normalise, self.keep_metadata = copy, normalise, keep_metadata
        self.spreadsheet_safe = spreadsheet_safe
        self.num_png = self.num_stripped = 0

    def describe_files(self) -> str:
        """Return the section of the datasheet about the files."""
        total, lines = len(self.manifest.rows), ["`image_id` is the SHA-256 of the file as it was collected."]
        if self.num_png:
            written = f"{self.num_png} of {total} files were written as the models saw them: upright 8-bit sRGB"
            lines.append(f"{written}, as PNG without metadata.")
        if self.num_stripped:
            lines.append(
                f"Metadata (EXIF, XMP, IPTC, comments, thumbnails) was removed from {self.num_stripped} of {total} files."
            )
        if self.spreadsheet_safe:
            lines.append("In CSV files, an apostrophe precedes texts that spreadsheets would take for formulas.")
        return "## Files\n\n" + " ".join(lines) + "\n"

    def place_all(
        self, folder_of: Callable[[ManifestRow], str], suffixes: Collection[str] = ()
    ) -> Iterator[tuple[ManifestRow, PlacedFile]]:
        """Yield the rows in order with their files, which several threads place in a folder of the export.

        Args:
            folder_of: folder of a row.
            suffixes: suffixes of stored images that readers of the format support; others are written as PNG. Empty for all, or
                for PORTABLE in a normalized export.

        Raises:
            FototecaError: an image is missing, damaged, or its bytes do not match its id.
        """
        rows = self.manifest.rows
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            try:
                files = pool.map(partial(self._place, folder_of, suffixes), rows)
                with tqdm(total=len(rows), desc="export", unit="image", disable=None) as bar:
                    for row, file in zip(rows, files, strict=True):
                        bar.update()
                        self.num_png += file.change == "png"
                        self.num_stripped += file.change == "stripped"
                        yield row, file
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _place(self, folder_of: Callable[[ManifestRow], str], suffixes: Collection[str], row: ManifestRow) -> PlacedFile:
        source = image_path(self.workspace, row)
        data = source.read_bytes()
        if hashlib.sha256(data).hexdigest() != row.image_id:
            raise FototecaError(
                f"image {row.image_id[:12]} has bytes that do not match its id: {row.path}",
                "restore the file",
            )
        folder = folder_of(row)
        target = inside(self.folder, f"{folder}/{source.name}")
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            readable = suffixes or (PORTABLE if self.normalise else (target.suffix,))
            if target.suffix not in readable or (self.normalise and find_changes(data)):
                return self._write_png(data, target.with_suffix(".png"), folder)
            public = data if self.keep_metadata else strip_metadata(data)
            if public is None:
                return self._write_png(data, target.with_suffix(".png"), folder)
            width, height = read_stored_size(public)
        except DecodeError as error:
            raise FototecaError(f"image {row.image_id[:12]} cannot be decoded: {error}", f"check the file {row.path}") from None
        is_stripped = public != data
        if self.copy or is_stripped:
            target.write_bytes(public)
        else:
            target.symlink_to(source)
        digest = hashlib.sha256(public).hexdigest()
        return PlacedFile(f"{folder}/{target.name}", width, height, digest, "stripped" if is_stripped else "")

    def _write_png(self, data: bytes, target: Path, folder: str) -> PlacedFile:
        """Write an image as the models saw it: upright 8-bit sRGB, without metadata and without loss."""
        image = decode(data)
        image.save(target, "PNG", compress_level=_COMPRESSION)
        with target.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return PlacedFile(f"{folder}/{target.name}", image.width, image.height, digest, "png")
