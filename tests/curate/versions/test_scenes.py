"""Tests for scenes: bursts and alike photographs share a split on request, in the rebuilt version too."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import ExifTags, Image

from fototeca.collect.catalog import Catalog
from fototeca.collect.files.folder_options import FolderOptions
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.ingest.folder import collect_folder
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace, create_workspace
from fototeca.curate.manifest import Manifest, read_metadata
from fototeca.curate.scenes.components import Tie, join_ties
from fototeca.curate.scenes.find import MIN_AGREEING
from fototeca.curate.scenes.layout import describe_layout
from fototeca.curate.scenes.local_matches import count_agreeing, find_keypoints
from fototeca.curate.versions.freeze import freeze_version
from fototeca.curate.versions.rebuild import rebuild_version

Pixels = NDArray[np.uint8]
FRAMES = 4


def draw_place(number: int, side: int = 260) -> Pixels:
    """Draw a place: boxes of random colors, sizes and angles on a colored ground."""
    rng = np.random.default_rng(number)
    image = np.full((side, side, 3), rng.integers(40, 216, 3), np.uint8)
    for _ in range(60):
        box = (tuple(rng.uniform(0, side, 2)), tuple(rng.uniform(8, 50, 2)), float(rng.uniform(0, 90)))
        points = cv2.boxPoints(box).astype(np.int32)  # type: ignore[arg-type]
        cv2.fillPoly(image, [points], rng.integers(0, 256, 3).tolist())
    return image


def draw_frame(place: Pixels, frame: int) -> Pixels:
    """Return another view of a place: the camera has moved, turned and come nearer, and the light has changed."""
    side = len(place)
    turn = cv2.getRotationMatrix2D((side / 2, side / 2), 6 * frame, 1 + 0.07 * frame)
    turn[:, 2] += (9 * frame, -6 * frame)
    moved = cv2.warpAffine(place, turn, (side, side), borderMode=cv2.BORDER_REFLECT)
    noise = np.random.default_rng(frame).normal(0, 4, moved.shape)
    return np.clip(moved * (1 + 0.05 * frame) + noise, 0, 255)[20:-20, 20:-20].astype(np.uint8)


def save_photograph(path: Path, pixels: Pixels, taken: str = "") -> None:
    """Save a JPEG, with the time of the exposure in EXIF."""
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    if taken:
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = taken
    Image.fromarray(pixels).save(path, quality=92, exif=exif)


def collect(root: Path, photographs: Path) -> Workspace:
    """Collect a folder of two classes."""
    workspace = create_workspace(root / "w", ["cat", "dog"], target=1)
    collect_folder(workspace, photographs, FolderOptions(label_from_folder=True), FetchOptions(min_side=32))
    return workspace


@pytest.fixture
def places(tmp_path: Path) -> Workspace:
    """24 places of two classes, each photographed four times, without times."""
    for place in range(24):
        for frame in range(FRAMES):
            path = tmp_path / "photographs" / ("cat", "dog")[place % 2] / f"{place}-{frame}.jpg"
            save_photograph(path, draw_frame(draw_place(place), frame))
    return collect(tmp_path, tmp_path / "photographs")


def splits_by_scene(workspace: Workspace, manifest: Manifest) -> dict[str, set[str]]:
    """Return the splits of each place, which file names begin with."""
    with Catalog.open(workspace) as catalog:
        names = catalog.provenance.file_names()
    splits = defaultdict(set)
    for row in manifest.rows:
        splits[Path(names[row.image_id]).stem.partition("-")[0]].add(row.split)
    return splits


def test_alike_photographs_of_a_place_share_a_split(places: Workspace, capfd: pytest.CaptureFixture[str]) -> None:
    """Every place is in one split with group_by="scene" and nothing is set aside; the version says so and can be rebuilt."""
    result = freeze_version(places, group_by="scene")
    assert len(result.manifest.rows) == 24 * FRAMES
    assert all(len(splits) == 1 for splits in splits_by_scene(places, result.manifest).values())
    assert len({row.group for row in result.manifest.rows}) == 24
    assert read_metadata(places, "v001")["group_by"] == "scene"
    stderr = capfd.readouterr().err
    assert "96 images in 24 scenes" in stderr
    assert "without scenes a validation is flattered" in stderr
    assert rebuild_version(places, "v001")
    assert not freeze_version(places).new  # scenes stay grouped unless asked otherwise


def test_scenes_that_cross_splits_are_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Bursts are known from EXIF and stored thumbnails; without --group-by scene one line counts those that cross splits."""
    for place in range(24):
        for frame in range(FRAMES):
            taken = f"2024:05:06 07:{place:02}:{10 + frame:02}"
            path = tmp_path / "photographs" / ("cat", "dog")[place % 2] / f"{place}-{frame}.jpg"
            save_photograph(path, draw_frame(draw_place(place), frame), taken)
    workspace = collect(tmp_path, tmp_path / "photographs")
    freeze_version(workspace)
    assert "scenes" not in capfd.readouterr().err  # no thumbnails yet
    grouped = freeze_version(workspace, group_by="scene")
    assert all(len(splits) == 1 for splits in splits_by_scene(workspace, grouped.manifest).values())
    capfd.readouterr()
    freeze_version(create_copy(workspace), group_by="none")
    assert "--group-by scene" in (stderr := capfd.readouterr().err)
    assert "scenes (bursts, alike photographs)" in stderr


def create_copy(workspace: Workspace) -> Workspace:
    """Return the workspace without its versions, so that every image is split anew."""
    for path in workspace.manifests.glob("v*"):
        path.unlink()
    return workspace


def test_equal_times_alone_are_no_burst(tmp_path: Path) -> None:
    """Cameras without a clock give one time to all their photographs; only alike images are tied."""
    for place in range(40):
        pixels = np.random.default_rng(place).integers(0, 256, (6, 6, 3), np.uint8).repeat(20, 0).repeat(20, 1)
        path = tmp_path / "photographs" / ("cat", "dog")[place % 2] / f"{place}.jpg"
        save_photograph(path, pixels, "2000:01:01 00:00:00")
    manifest = freeze_version(collect(tmp_path, tmp_path / "photographs"), group_by="scene").manifest
    assert len({row.group for row in manifest.rows}) > 25


def test_unknown_grouping_is_refused(places: Workspace) -> None:
    """Another value names the choices."""
    with pytest.raises(FototecaError, match="no grouping 'day'"):
        freeze_version(places, group_by="day")  # type: ignore[arg-type]


def test_matches_agree_for_views_of_one_place_alone() -> None:
    """Views of a place have many agreeing matches, two places and a blank image few or none."""
    first, other = draw_place(1), draw_place(2)
    keypoints = [find_keypoints(image) for image in (first, draw_frame(first, 3), other, np.full_like(first, 128))]
    assert count_agreeing(keypoints[0], keypoints[1]) >= 40
    assert max(count_agreeing(keypoints[0], one) for one in keypoints[2:]) < MIN_AGREEING
    assert count_agreeing(keypoints[1], keypoints[0]) >= 40
    assert np.array_equal(find_keypoints(first), keypoints[0])


def chain(length: int) -> list[Tie]:
    """Return ties that connect every image with the next."""
    return [Tie(number, number + 1, 1.0) for number in range(length - 1)]


@pytest.mark.parametrize("labels", [["ok"] * 40, ["ok", "scratch"] * 40, ["ok"] * 37 + ["rare"] * 3])
def test_images_of_a_fixed_camera_can_still_be_split(labels: Sequence[str]) -> None:
    """One chain through all images is divided into scenes of at most ten, and every category keeps three groups."""
    result = join_ties(chain(len(labels)), [(label,) for label in labels], [str(number) for number in range(len(labels))])
    assert result.oversized == len(labels)
    assert max(map(len, result.scenes)) <= 10
    scene_of = {index: number for number, scene in enumerate(result.scenes) for index in scene}
    for label in set(labels):
        indices = [index for index, name in enumerate(labels) if name == label]
        assert len({scene_of.get(index, -index - 1) for index in indices}) >= 3


def test_stronger_ties_are_joined_first() -> None:
    """Of two ties that exceed the limit together, the stronger one holds; groups of a source are whole from the start."""
    labels, groups = [("a",)] * 16, [f"g{number // 8}" for number in range(16)]
    ties = [Tie(0, 8, 5.0), *(Tie(0, number, 1.0) for number in range(1, 8))]
    assert join_ties(ties, labels, groups).scenes == [list(range(8)), list(range(8, 16))]
    singles = [str(number) for number in range(30)]
    ties = [*(Tie(number, number + 1, 9.0) for number in range(10, 19)), Tie(9, 10, 1.0)]
    assert join_ties(ties, [("a",)] * 30, singles).scenes == [list(range(10, 20))]


def test_descriptions_ignore_small_changes() -> None:
    """An image and its brighter copy are nearer than another place; descriptors have unit length."""
    pixels = np.stack([cv2.resize(image, (32, 32)) for image in (draw_place(1), draw_place(1) // 8 * 7, draw_place(2))])
    layout = describe_layout(pixels)
    assert np.allclose(np.linalg.norm(layout, axis=1), 1, atol=1e-5)
    assert layout[0] @ layout[1] > layout[0] @ layout[2]


def test_json_of_versions_without_scenes_has_no_key(places: Workspace) -> None:
    """Ordinary versions do not mention scenes."""
    freeze_version(places)
    assert "group_by" not in json.loads((places.manifests / "v001.json").read_text(encoding="utf-8"))
