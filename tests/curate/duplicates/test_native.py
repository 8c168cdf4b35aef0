"""Tests for the comparison at native detail: what is a copy, what only looks like one, and what each kind of tie does."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageEnhance, ImageFont

from fototeca.collect.catalog import Catalog
from fototeca.collect.files.folder_options import FolderOptions
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.ingest.folder import collect_folder
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace, create_workspace
from fototeca.curate.duplicates import DedupResult, dedup
from fototeca.curate.duplicates.native_pixels import PixelCache
from fototeca.curate.duplicates.native_verify import Judge
from fototeca.curate.duplicates.verdict import ALTERED, COPY, NONE, OVERLAY, UNVERIFIED, Verdict
from fototeca.curate.manifest import read_manifest
from fototeca.curate.review.queues import POSSIBLE_COPY, list_review_items
from fototeca.curate.versions.freeze import freeze_version
from tests.curate.duplicates.test_dedup import photograph

Drawn = Iterable[tuple[str, str, Image.Image]]
"""Label, file name and image."""


def search(root: Path, images: Drawn, *, mirror: bool = True, similarity: float = 0.8) -> tuple[Workspace, DedupResult]:
    """Collect images into a new workspace with the categories a and b, and search for duplicates."""
    workspace = create_workspace(root / "w", ["a", "b"], target=1)
    if not mirror:
        file = workspace.root / "fototeca.toml"
        file.write_text(file.read_text().replace("[dataset]\n", "[dataset]\nmirror = false\n", 1))
        workspace = Workspace(workspace.root)
    for label, name, image in images:
        (root / "in" / label).mkdir(parents=True, exist_ok=True)
        image.save(root / "in" / label / f"{name}.png")
    collect_folder(workspace, root / "in", FolderOptions(label_from_folder=True), FetchOptions())
    return workspace, dedup(workspace, similarity=similarity)


def expose(scene: Image.Image, rng: np.random.Generator, scratch: int = 0) -> Image.Image:
    """Return an exposure of a fixed camera: light and noise vary, a scratch of some pixels in length may be drawn."""
    image = scene.copy()
    if scratch:
        x, y = int(rng.integers(40, 240)), int(rng.integers(40, 180))
        ImageDraw.Draw(image).line([x, y, x + scratch, y + scratch // 2], fill=(240, 240, 240), width=3)
    levels = np.asarray(ImageEnhance.Brightness(image).enhance(float(rng.uniform(0.95, 1.05)))).astype(np.float64)
    return Image.fromarray(np.clip(levels + rng.normal(0, 3, levels.shape), 0, 255).astype(np.uint8))


def page(rng: np.random.Generator) -> Image.Image:
    """Return a page with the head of all pages and lines of its own."""
    image = Image.new("RGB", (320, 420), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(14)
    draw.rectangle([16, 16, 304, 50], fill=(20, 90, 60))
    for line in range(14):
        words = rng.choice(["sum", "river", "note", "paid", "stone", "date", "glass", "total"], 6)
        draw.text((20, 70 + 24 * line), " ".join(map(str, words)), font=font, fill="black")
    return image


def test_fixed_camera_loses_no_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exposures with and without a small defect all stay, are told in one line, and can be frozen."""
    rng, scene = np.random.default_rng(4), photograph(11)
    images = [("b" if n % 2 else "a", str(n), expose(scene, rng, scratch=14 * (n % 2))) for n in range(8)]
    workspace, result = search(tmp_path, images)
    assert (result.set_aside, result.groups, result.fixed_cameras) == (0, 0, (8,))
    assert "fixed camera or one template: 8 images" in capsys.readouterr().err
    freeze_version(workspace)
    rows = read_manifest(workspace, "v001").rows
    assert len(rows) == 8 and len({row.split for row in rows}) == 3


def test_pages_of_one_letterhead_are_no_copies(tmp_path: Path) -> None:
    """Different text under the same head ties nothing."""
    rng = np.random.default_rng(8)
    _, result = search(tmp_path, [("a", str(number), page(rng)) for number in range(5)])
    assert (result.set_aside, result.groups) == (0, 0)


def test_changed_image_shares_a_split_and_stays(tmp_path: Path) -> None:
    """A covered place is no copy; the component of both keeps them in one split."""
    whole = photograph(21)
    changed = whole.copy()
    ImageDraw.Draw(changed).ellipse([100, 90, 130, 120], fill=(250, 20, 20))
    workspace, result = search(tmp_path, [("a", "whole", whole), ("a", "changed", changed), ("a", "other", photograph(22))])
    assert (result.set_aside, result.ties.altered) == (0, 1)
    with Catalog.open(workspace) as catalog:
        components = {image.phash: image.component for image in catalog.images.all()}
    assert len(set(components.values())) == 2


def test_watermark_waits_for_a_person(tmp_path: Path) -> None:
    """A translucent layer sets nothing aside; both images are in the queue of possible copies."""
    plain = photograph(31)
    layer = Image.new("RGBA", plain.size)
    ImageDraw.Draw(layer).text((20, 90), "SAMPLE", font=ImageFont.load_default(60), fill=(255, 255, 255, 110))
    marked = Image.alpha_composite(plain.convert("RGBA"), layer).convert("RGB")
    workspace, result = search(tmp_path, [("a", "plain", plain), ("a", "marked", marked)])
    assert (result.set_aside, result.ties.overlay) == (0, 1)
    with Catalog.open(workspace) as catalog:
        queued = [item for item in list_review_items(catalog, ["a", "b"], {}) if POSSIBLE_COPY in item.queues]
    assert queued


@pytest.mark.parametrize(("mirror", "set_aside"), [(True, 1), (False, 0)])
def test_mirror_image_is_a_copy_unless_the_workspace_says_otherwise(tmp_path: Path, mirror: bool, set_aside: int) -> None:
    """With `mirror = false`, left and right differ."""
    image = photograph(41)
    mirrored = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    _, result = search(tmp_path, [("a", "left", image), ("a", "right", mirrored)], mirror=mirror)
    assert result.set_aside == set_aside


def test_similarity_states_how_alike_a_copy_must_be(tmp_path: Path) -> None:
    """A blurred, strongly compressed copy is one at 0.8 and none at 0.999; values outside 0.5 to 1 are errors."""
    image = photograph(51)
    image.resize((120, 90)).resize(image.size).save(tmp_path / "q.jpg", quality=12)
    pair = [("a", "whole", image), ("a", "poor", Image.open(tmp_path / "q.jpg").convert("RGB"))]
    (tmp_path / "strict").mkdir()
    (tmp_path / "usual").mkdir()
    assert search(tmp_path / "usual", pair, similarity=0.5)[1].set_aside == 1
    workspace, result = search(tmp_path / "strict", pair, similarity=0.999)
    assert result.set_aside == 0
    with pytest.raises(FototecaError, match="similarity"):
        dedup(workspace, similarity=1.5)


def judge(first: Image.Image, second: Image.Image) -> str:
    """Return the kind of tie between two images of the same view."""
    return Judge(PixelCache([]), PixelCache([]))._judge_pixels(np.asarray(first), np.asarray(second), Verdict(UNVERIFIED)).kind


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 99), st.sampled_from([0.6, 0.8, 1.2, 1.4]), st.booleans())
def test_tones_make_a_copy_in_both_directions(seed: int, factor: float, is_first: bool) -> None:
    """Brightness that saturates a part of the image is explained, whichever of the two comes first."""
    image = photograph(seed)
    pair = (ImageEnhance.Brightness(image).enhance(factor), image)
    assert judge(*(pair if is_first else pair[::-1])) == COPY


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 99), st.integers(5, 30), st.integers(60, 240), st.integers(60, 160))
def test_mark_of_some_pixels_is_seen(seed: int, size: int, x: int, y: int) -> None:
    """A square in the color opposite to its place is never part of a copy."""
    image = photograph(seed)
    marked = image.copy()
    color = tuple(255 if level < 128 else 0 for level in image.getpixel((x, y)))  # type: ignore[union-attr]
    ImageDraw.Draw(marked).rectangle([x, y, x + size, y + size], fill=color)
    assert judge(image, marked) in (ALTERED, OVERLAY, NONE)
