"""Detection sets: crops, presence, accounting, splits, EXIF and hostile annotations."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fototeca.collect.catalog import Catalog
from fototeca.collect.formats.annotations import AnnotatedImage, Box, DatasetFiles
from fototeca.collect.formats.crops import cut_boxes, turn_corners
from fototeca.collect.formats.detections import DetectionOptions, read_detections
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.ingest.detections import collect_detections
from fototeca.collect.ingest.summary import CollectSummary
from fototeca.core.errors import FototecaError
from fototeca.core.passed_over import PassedOver
from fototeca.core.settings import Category, Settings, Task
from fototeca.core.workspace import Workspace, create_workspace

FETCH = FetchOptions(min_side=8)
PETS = Settings("pets", "single", 1, "", (Category("cat", ()), Category("dog", ())))


def noise(path: Path, seed: int, size: tuple[int, int] = (120, 80)) -> Path:
    """Write colored noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), np.uint8)).save(path)
    return path


def coco(folder: Path, boxes: list[dict[str, Any]], images: list[dict[str, Any]], name: str = "train/_annotations.json") -> Path:
    """Write a COCO file."""
    categories = [{"id": 1, "name": "Cats"}, {"id": 2, "name": "dog"}, {"id": 3, "name": "chair"}]
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps({"images": images, "annotations": boxes, "categories": categories}))
    return folder


def box(image: object, category: int, *corners: float, **more: object) -> dict[str, Any]:
    """Return a COCO annotation."""
    return {"image_id": image, "category_id": category, "bbox": list(corners), **more}


def workspace(tmp_path: Path, task: Task = "single") -> Workspace:
    """Create a workspace of two categories."""
    return create_workspace(tmp_path / "w", ["cat", "dog"], task=task)


def reasons(summary: CollectSummary) -> dict[str, int]:
    """Return the number of items passed over by reason."""
    return {row.reason: row.count for row in summary.passed_over}


def test_every_coco_box_is_a_crop_or_counted(tmp_path: Path) -> None:
    """Candidates and boxes passed over add up; crops of one photograph share its group."""
    data = tmp_path / "set"
    noise(data / "train" / "a.png", 1)
    noise(tmp_path / "secret.png", 2)
    listed = [{"id": 1, "file_name": "a.png", "width": 120, "height": 80}, {"id": "2", "file_name": "../../secret.png"}]
    boxes = [
        box(1, 1, 10, 10, 30, 20),
        box(1, 2, 100, 60, 90, 90),
        box(1, 3, 0, 0, 20, 20),
        box(1, 2, 5, 5, 0, 10),
        box(1, 2, 500, 500, 10, 10),
        box(1, 2, 0, 0, 50, 50, iscrowd=1),
        box(1, 9, 0, 0, 50, 50),
        box(1, 1, 10, 10, 30, 20),
        box("2", 1, 0, 0, 50, 50),
    ]
    work = workspace(tmp_path)
    summary = collect_detections(work, coco(data, boxes, listed), DetectionOptions("coco", keep_splits=True), FETCH)
    assert summary.accepted == 2
    assert summary.candidates + sum(reasons(summary).values()) == len(boxes)
    assert reasons(summary) == {
        "other-class": 1, "degenerate-box": 1, "outside-image": 1, "crowd-box": 1, "unknown-class": 1, "repeated-box": 1,
        "missing-image": 1,
    }  # fmt: skip
    with Catalog.open(work) as catalog:
        images = list(catalog.images.all())
        sizes = sorted((image.width, image.height, image.label) for image in images)
        facts = catalog.provenance.of_images_until("9999")
        assert {(row.split, row.split_group) for row in facts} == {("train", "set/train/a.png")}
    assert sizes == [(20, 20, "dog"), (30, 20, "cat")]
    assert collect_detections(work, data, DetectionOptions("coco"), FETCH).already_known == 2


@pytest.mark.parametrize(("task", "taken"), [("single", ["cat"]), ("multi", ["cat", "cat|dog"])])
def test_presence_labels_images(tmp_path: Path, task: Task, taken: list[str]) -> None:
    """A single-label task takes images of one category; a multi-label task all with a box."""
    data = tmp_path / "yolo"
    for index, lines in enumerate(
        ["0 .5 .5 .2 .2\n0 .1 .1 .1 .1", "0 .5 .5 .2 .2\n1 .3 .3 .1 .1 0.9", "", "2 .1 .1 .1 .1 .2 .2", "7 .5"]
    ):
        noise(data / "images" / "train" / f"{index}.png", index)
        (data / "labels" / "train").mkdir(parents=True, exist_ok=True)
        (data / "labels" / "train" / f"{index}.txt").write_text(lines)
    (data / "data.yaml").write_text("names: {0: cat, 1: dog, 2: chair}\n")
    work = workspace(tmp_path, task)
    summary = collect_detections(work, data, DetectionOptions("yolo", "presence"), FETCH)
    with Catalog.open(work) as catalog:
        assert sorted(image.label for image in catalog.images.all()) == taken
    counts = reasons(summary)
    assert counts["without-boxes"] == 3 and counts["broken-line"] == 1 and counts["other-class"] == 1
    assert counts.get("several-categories", 0) == (task == "single")


def test_voc_refuses_entities_and_takes_difficult_boxes_on_request(tmp_path: Path) -> None:
    """XML with a document type is counted; --take adds flagged boxes; lists give the splits."""
    data = tmp_path / "voc"
    noise(data / "JPEGImages" / "a.jpg", 3)
    thing = "<object><name>cat</name>{}<bndbox><xmin>10</xmin><ymin>10</ymin><xmax>40</xmax><ymax>50</ymax></bndbox></object>"
    (data / "Annotations").mkdir()
    (data / "Annotations" / "a.xml").write_text(
        f"<annotation><filename>a.jpg</filename>{thing.format('<difficult>1</difficult>')}</annotation>"
    )
    (data / "Annotations" / "b.xml").write_text(
        '<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><annotation>&e;</annotation>'
    )
    (data / "ImageSets" / "Main").mkdir(parents=True)
    (data / "ImageSets" / "Main" / "test.txt").write_text("a\n")
    work = workspace(tmp_path)
    assert reasons(collect_detections(work, data, DetectionOptions("voc"), FETCH)) == {"difficult-box": 1, "broken-annotation": 1}
    summary = collect_detections(work, data, DetectionOptions("voc", keep_splits=True, take=("difficult",)), FETCH)
    assert summary.accepted == 1
    with Catalog.open(work) as catalog:
        assert [(image.width, image.height) for image in catalog.images.all()] == [(30, 40)]
        assert [row.split for row in catalog.provenance.of_images_until("9999")] == ["test"]


@pytest.mark.parametrize("door", ["folder", "zip"])
def test_excluded_files_and_empty_annotations_are_counted_alike(tmp_path: Path, door: str) -> None:
    """--exclude holds for images and annotations; an empty text file says that its image has no boxes, in archives too."""
    data = tmp_path / "set"
    for index, name in enumerate(("a", "b", "old/c")):
        noise(data / "images" / f"{name}.png", index)
        file = data / "labels" / f"{name}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("" if name == "b" else "0 .5 .5 .5 .5\n")
    (data / "classes.txt").write_text("cat\n")
    path = data if door == "folder" else Path(shutil.make_archive(str(data), "zip", data))
    options = DetectionOptions("yolo", exclude=("old/",))
    summary = collect_detections(workspace(tmp_path), path, options, FETCH)
    assert summary.accepted == 1
    assert reasons(summary) == {"excluded": 2, "without-boxes": 1}


NUMBER = st.floats(-50, 200, width=16) | st.sampled_from([0, 10, None, "x", float("nan"), 1e300])
ANNOTATION = (
    st.fixed_dictionaries(
        {"image_id": st.sampled_from([1, 2, "2", 9, None]), "category_id": st.sampled_from([1, 2, 3, 4, "1"])},
        optional={
            "bbox": st.lists(NUMBER, min_size=3, max_size=5),
            "iscrowd": st.sampled_from([0, 1, True]),
            "segmentation": st.just([[1, 1, 30, 1, 30, 30]]) | st.just({"counts": [1, 2], "size": [80, 120]}),
        },
    )
    | st.sampled_from([None, 5, "box", []])
    | st.just({"image_id": 1, "category_id": 1, "bbox": [5, 5, 20, 20]})
)


@settings(max_examples=60, deadline=None)
@given(annotations=st.lists(ANNOTATION, max_size=12), margin=st.sampled_from([0.0, 0.5]))
def test_boxes_taken_and_passed_over_are_all_boxes(annotations: list[Any], margin: float) -> None:
    """Whatever a COCO file holds, each annotation is a crop or is counted once."""
    with TemporaryDirectory() as folder:
        data = Path(folder) / "set"
        noise(data / "train" / "a.png", 1)
        noise(data / "train" / "b.png", 2)
        coco(data, annotations, [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}])
        options = DetectionOptions("coco", margin=margin)
        passed_over = PassedOver()
        files = DatasetFiles(data, passed_over)
        try:
            images = read_detections(files, options, PETS, passed_over)
        except FototecaError:  # no class is a category
            return
        crops = 0
        for image in images:
            for box in image.boxes:
                if box.flag:
                    passed_over.add("crowd-box", box.name)
            wanted = tuple(box for box in image.boxes if not box.flag)
            for _, crop in cut_boxes((data / image.file).read_bytes(), replace(image, boxes=wanted)):
                crops += isinstance(crop, bytes)
                if isinstance(crop, str):
                    passed_over.add(crop, image.file)
        assert crops + passed_over.total == len(annotations)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_follow_orientation(tmp_path: Path, orientation: int) -> None:
    """A box in stored pixels is cut out of the upright image where the annotation states the stored size."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = np.zeros((60, 100, 3), np.uint8)
    pixels[10:20, 30:70] = 255
    path = tmp_path / "a.png"
    Image.fromarray(pixels).save(path, exif=exif)
    corners = (30.0, 10.0, 70.0, 20.0)
    if orientation < 5:  # the sizes are equal: boxes fit the upright image
        corners = turn_corners(corners, (100, 60), orientation)
    image = AnnotatedImage("a.png", (Box("cat", *corners),), 100, 60)
    ((_, png),) = cut_boxes(path.read_bytes(), image)
    assert isinstance(png, bytes)
    (tmp_path / "crop.png").write_bytes(png)
    crop = np.asarray(Image.open(tmp_path / "crop.png"))
    assert crop.min() == 255 and crop.shape[:2] == ((10, 40) if orientation < 5 else (40, 10))


def test_other_size_and_unknown_classes_are_named(tmp_path: Path) -> None:
    """Boxes of another size are counted, and a set without any category of the workspace is refused with its classes."""
    data = noise(tmp_path / "a.png", 4)
    ((_, reason),) = cut_boxes(data.read_bytes(), AnnotatedImage("a.png", (Box("cat", 1, 1, 20, 20),), 640, 480))
    assert reason == "other-size"
    folder = tmp_path / "set"
    noise(folder / "train" / "a.png", 5)
    coco(folder, [box(1, 3, 0, 0, 20, 20)], [{"id": 1, "file_name": "a.png"}])
    with pytest.raises(FototecaError, match="chair"):
        collect_detections(workspace(tmp_path), folder, DetectionOptions("coco"), FETCH)
