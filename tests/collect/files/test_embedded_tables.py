"""Datasets that bring a table of their images are collected with its labels, splits and rights."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from pathlib import Path

import pytest

from fototeca.collect.catalog import Catalog
from fototeca.collect.files.folder_options import FolderOptions
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.ingest.folder import collect_folder
from fototeca.collect.ingest.summary import CollectSummary
from fototeca.core.workspace import create_workspace
from tests.conftest import draw_images


@pytest.mark.parametrize("layout", ["huggingface", "manifest"])
def test_labels_splits_and_rights_come_from_the_tables(tmp_path: Path, layout: str) -> None:
    """Each split folder has its own metadata, or one manifest describes all images."""
    data = draw_images(tmp_path / "data", {"train": 2, "test": 1})
    rows = [("train/000.jpg", "cat", "train"), ("train/001.jpg", "dog", "train"), ("test/000.jpg", "cat", "test")]
    if layout == "huggingface":
        for split in ("train", "test"):
            lines = [
                {"file_name": path[-7:], "label": label, "license": "CC-BY-4.0"} for path, label, name in rows if name == split
            ]
            (data / split / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))
    else:
        lines = [f"id,{path},{label},{split},CC-BY-4.0" for path, label, split in rows]
        (data / "manifest.csv").write_text("\n".join(["image_id,path,label,split,license", *lines]))
    work = create_workspace(tmp_path / "w", ["cat", "dog"])
    summary = collect_folder(work, data, FolderOptions(keep_splits=True), FetchOptions(min_side=8))
    assert summary.accepted == 3
    with Catalog.open(work) as catalog:
        assert sorted(image.label for image in catalog.images.all()) == ["cat", "cat", "dog"]
        rows_found = catalog.provenance.of_images_until("9999")
        assert sorted(row.split for row in rows_found) == ["test", "train", "train"]
        assert {row.license for row in rows_found} == {"CC-BY-4.0"}


def test_coco_files_of_whole_images_give_labels(tmp_path: Path) -> None:
    """The layout of `curate export --format coco` gives labels, splits and licenses."""
    data = tmp_path / "data"
    draw_images(data, {"images": 2}, side=96)
    (data / "annotations").mkdir()
    for index, split in enumerate(("train", "test")):
        document = {
            "images": [{"id": 1, "file_name": f"00{index}.jpg", "width": 96, "height": 96, "license": 1}],
            "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 96, 96]}],
            "categories": [{"id": 1, "name": "cat"}],
            "licenses": [{"id": 1, "name": "CC0-1.0", "url": ""}],
        }
        (data / "annotations" / f"{split}.json").write_text(json.dumps(document))
    work = create_workspace(tmp_path / "w", ["cat"])
    assert collect_folder(work, data, FolderOptions(keep_splits=True), FetchOptions(min_side=8)).accepted == 2
    with Catalog.open(work) as catalog:
        assert [image.label for image in catalog.images.all()] == ["cat", "cat"]
        found = {(row.split, row.license) for row in catalog.provenance.of_images_until("9999")}
    assert found == {("train", "CC0-1.0"), ("test", "CC0-1.0")}


def test_webdataset_shards_give_labels(tmp_path: Path) -> None:
    """The JSON or .cls file beside an image in a tar file names its class."""
    data = draw_images(tmp_path / "data", {"x": 2}) / "x"
    (data / "000.json").write_text(json.dumps({"label": "cat", "license": "CC0-1.0"}))
    (data / "001.cls").write_text("dog\n")
    with tarfile.open(tmp_path / "train-000000.tar", "w") as shard:
        for file in sorted(data.iterdir()):
            shard.add(file, file.name)
    work = create_workspace(tmp_path / "w", ["cat", "dog"])
    summary = collect_folder(work, tmp_path / "train-000000.tar", FolderOptions(keep_splits=True), FetchOptions(min_side=8))
    assert summary.accepted == 2
    with Catalog.open(work) as catalog:
        assert sorted(image.label for image in catalog.images.all()) == ["cat", "dog"]
        assert {row.split for row in catalog.provenance.of_images_until("9999")} == {"train"}


def test_a_folder_of_shards_is_one_dataset(tmp_path: Path) -> None:
    """Every shard of a folder is read; the names of the shards give the splits."""
    images = draw_images(tmp_path / "data", {"x": 2}) / "x"
    (tmp_path / "shards").mkdir()
    for index, split in enumerate(("train", "test")):
        (images / f"00{index}.json").write_text(json.dumps({"label": ["cat"]}))
        with tarfile.open(tmp_path / "shards" / f"{split}-000000.tar", "w") as shard:
            for ending in ("jpg", "json"):
                shard.add(images / f"00{index}.{ending}", f"00{index}.{ending}")
    work = create_workspace(tmp_path / "w", ["cat"])
    assert collect_folder(work, tmp_path / "shards", FolderOptions(keep_splits=True), FetchOptions(min_side=8)).accepted == 2
    with Catalog.open(work) as catalog:
        assert {row.split for row in catalog.provenance.of_images_until("9999")} == {"train", "test"}


def reasons(summary: CollectSummary) -> dict[str, tuple[str, ...]]:
    """Return the names of what was passed over, by reason."""
    return {count.reason: count.names for count in summary.passed_over}


@pytest.mark.parametrize("door", ["folder", "zip"])
def test_tables_that_were_used_are_not_passed_over(tmp_path: Path, door: str) -> None:
    """metadata.parquet in each split folder; rows that contradict each other conflict, with the lines of the table."""
    parquet = pytest.importorskip("pyarrow.parquet")
    pyarrow = pytest.importorskip("pyarrow")
    data = draw_images(tmp_path / "data", {"train": 3, "test": 1})
    rows = {"file_name": ["000.jpg", "001.jpg", "001.jpg", "gone.jpg"], "label": ["cat", "cat", "dog", "cat"]}
    parquet.write_table(pyarrow.table(rows), data / "train" / "metadata.parquet")
    parquet.write_table(pyarrow.table({"file_name": ["000.jpg"], "label": ["dog"]}), data / "test" / "metadata.parquet")
    (data / "notes.csv").write_text("a,b\n1,2\n")
    path = data if door == "folder" else Path(shutil.make_archive(str(data), "zip", data))
    summary = collect_folder(create_workspace(tmp_path / "w", ["cat", "dog"]), path, FolderOptions(), FetchOptions(min_side=8))
    assert summary.accepted == 2
    found = reasons(summary)
    assert found.keys() == {"row-conflict", "row-without-file", "file-without-row", "table"}
    assert found["table"] == ("notes.csv",) and found["file-without-row"] == ("train/002.jpg",)


def test_lines_of_a_single_table_are_its_own(tmp_path: Path) -> None:
    """A row is named by its line, also below empty lines; the table can be excluded."""
    data = draw_images(tmp_path / "data", {"x": 2})
    (data / "labels.csv").write_text("path,label,patient\n\nx/000.jpg,cat,p1\nx/000.jpg,dog,p1\nx/001.jpg,dog,p2\n")
    work = create_workspace(tmp_path / "w", ["cat", "dog"])
    summary = collect_folder(work, data, FolderOptions(group_by="patient"), FetchOptions(min_side=8))
    assert reasons(summary) == {"row-conflict": ("line 3: x/000.jpg (cat; line 4: dog)", "line 4: x/000.jpg (dog; line 3: cat)")}
    with Catalog.open(work) as catalog:
        assert {row.split_group for row in catalog.provenance.of_images_until("9999")} == {"data/p2"}
    other = create_workspace(tmp_path / "other", ["cat", "dog"])
    summary = collect_folder(other, data, FolderOptions(exclude=("labels.csv",)), FetchOptions(min_side=8))
    assert summary.accepted == 2 and reasons(summary) == {"excluded": ("labels.csv",)}


def test_classes_of_a_table_that_are_no_categories(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A line names them, and --map maps them."""
    data = draw_images(tmp_path / "data", {"x": 2})
    (data / "labels.csv").write_text("path,label\nx/000.jpg,Katze\nx/001.jpg,Hund\n")
    work = create_workspace(tmp_path / "w", ["cat", "dog"])
    collect_folder(work, data, FolderOptions(), FetchOptions(min_side=8))
    assert "(Katze, Hund), so its images get no label" in capfd.readouterr().err
    (tmp_path / "m.toml").write_text('[map]\nKatze = "cat"\nHund = "dog"\n')
    collect_folder(work, data, FolderOptions(mapping=tmp_path / "m.toml"), FetchOptions(min_side=8))
    with Catalog.open(work) as catalog:
        assert sorted(image.label for image in catalog.images.all()) == ["cat", "dog"]


@pytest.mark.parametrize("place", ["inside", "beside"])
def test_numbers_of_classes_in_webdataset_shards(tmp_path: Path, place: str) -> None:
    """`KEY.cls` with a number names a line of a list of classes; a key may have several images."""
    images = draw_images(tmp_path / "data", {"x": 3}) / "x"
    shards = tmp_path / "set" / "train"
    shards.mkdir(parents=True)
    names = "cat\ndog\n"
    with tarfile.open(shards / "train-000000.tar", "w") as shard:
        for file, member in (("000", "a.left.jpg"), ("001", "a.right.jpg"), ("002", "b.jpg")):
            shard.add(images / f"{file}.jpg", member)
        for member, text in (("a.cls", "1"), ("b.cls", "0"), *([("classes.txt", names)] if place == "inside" else [])):
            info = tarfile.TarInfo(member)
            info.size = len(text)
            shard.addfile(info, io.BytesIO(text.encode()))
    if place == "beside":
        (tmp_path / "set" / "classnames.txt").write_text(names)
    work = create_workspace(tmp_path / "w", ["cat", "dog"])
    summary = collect_folder(work, shards / "train-000000.tar", FolderOptions(), FetchOptions(min_side=8))
    assert not summary.passed_over
    with Catalog.open(work) as catalog:
        groups = {
            place.file_name: (image.label, place.split_group)
            for image in catalog.images.all()
            for place in catalog.provenance.of_image(image.image_id)
        }
    assert groups["b.jpg"] == ("cat", "")
    assert groups["a.left.jpg"] == groups["a.right.jpg"] == ("dog", "train-000000.tar/a"), "images of one key share a split"
