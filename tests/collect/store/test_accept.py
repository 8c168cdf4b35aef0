"""Validation: camera raw is refused by name, phones are read, large photographs are taken on request by every later reader."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from fototeca.analysis.images import thumbnail
from fototeca.collect.catalog import Catalog
from fototeca.collect.files.folder_options import FolderOptions
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.ingest.folder import collect_folder
from fototeca.collect.store.accept import ImageRejectedError, accept_image
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace, create_workspace
from fototeca.curate.duplicates.signatures import read_signature
from fototeca.curate.quality.checks import measure_quality
from fototeca.curate.quality.thresholds import QualityThresholds
from fototeca.curate.review.thumbnails import make_thumbnail
from fototeca.vision.pixels import PixelCache


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """An empty workspace."""
    return create_workspace(tmp_path / "w", ["cat"], target=1)


def dng() -> bytes:
    """A negative whose preview is a valid TIFF."""
    buffer = io.BytesIO()
    Image.new("RGB", (160, 120), "red").save(buffer, "TIFF", tiffinfo={50706: b"\x01\x04\x00\x00"})
    return buffer.getvalue()


def test_camera_raw_is_refused_whatever_its_name(workspace: Workspace, tmp_path: Path) -> None:
    """By the folder, and by what URLs give."""
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.dng", "b.tif", "c.jpg"):
        (folder / name).write_bytes(dng() + name.encode())
    Image.new("RGB", (160, 120), "red").save(folder / "scan.tif", tiffinfo={271: "NIKON CORPORATION"})
    collect_folder(workspace, folder, FolderOptions(category="cat"), FetchOptions())
    with Catalog.open(workspace) as catalog:
        assert [image.format for image in catalog.images.all()] == ["TIFF"]
    with pytest.raises(ImageRejectedError) as caught:
        accept_image(workspace, dng(), 64)
    assert caught.value.reason == "camera-raw"


def test_phone_photograph_is_read(workspace: Workspace) -> None:
    """HEIC is stored as it came, under its own ending."""
    import pillow_heif

    pillow_heif.register_heif_opener()
    buffer = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").save(buffer, "HEIF")
    row, scores = accept_image(workspace, buffer.getvalue(), 64)
    assert (row.format, row.width, row.height, Path(row.path).suffix) == ("HEIF", 256, 256, ".heic")
    assert (workspace.root / row.path).read_bytes() == buffer.getvalue() and scores


def test_large_photograph_is_read_by_every_later_reader(workspace: Workspace, tmp_path: Path) -> None:
    """56 megapixels: refused by default, accepted with --max-pixels, then thumbnails, signatures, quality and training."""
    (tmp_path / "in").mkdir()
    image = Image.new("1", (8_000, 7_000))
    image.paste(1, (1_000, 1_000, 6_000, 3_000))
    image.save(tmp_path / "in" / "large.png")
    collect_folder(workspace, tmp_path / "in", FolderOptions(category="cat"), FetchOptions())
    with Catalog.open(workspace) as catalog:
        assert not catalog.images.all()
    collect_folder(workspace, tmp_path / "in", FolderOptions(category="cat"), FetchOptions(max_pixels=60_000_000))
    with Catalog.open(workspace) as catalog:
        (row,) = catalog.images.all()
    path = workspace.root / row.path
    assert make_thumbnail(workspace, row) is not None
    assert thumbnail(path) is not None
    assert len(read_signature(path)) > 0
    assert "corrupt" not in {issue.finding for issue in measure_quality(workspace, QualityThresholds())}
    cache = PixelCache(tmp_path / "pixels", 32)
    cache.ensure([(row.image_id, path)], progress=False)
    assert cache[row.image_id].max() == 255


@pytest.mark.parametrize("pixels", [0, 250_000_001])
def test_max_pixels_is_bounded(pixels: int) -> None:
    """Above 250 million pixels an image would take gigabytes."""
    with pytest.raises(FototecaError, match="--max-pixels"):
        FetchOptions(max_pixels=pixels)
