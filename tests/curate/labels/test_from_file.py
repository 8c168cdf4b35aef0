"""Labels of files applied as decisions: names of images, other programs' formats, repetition."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from fototeca.collect.catalog import Catalog
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace
from fototeca.curate.labels.decisions import list_decisions, reject_images
from fototeca.curate.labels.from_file import label_from_file

AddImages = Callable[..., list[str]]


def labels(workspace: Workspace) -> dict[str, str]:
    """Return the label of each image."""
    with Catalog.open(workspace) as catalog:
        return {image.image_id: image.label for image in catalog.images.all()}


def studio(names: Sequence[str]) -> str:
    """Tasks of Label Studio that call both images a dog, with the names of uploads."""
    value = {"type": "choices", "value": {"choices": ["Dog"]}}
    return json.dumps(
        [{"id": 1, "data": {"image": f"/data/upload/1/0a1b2c3d-{name}"}, "annotations": [{"result": [value]}]} for name in names]
    )


def minimal(names: Sequence[str]) -> str:
    """The same as JSON-MIN."""
    return json.dumps([{"image": f"/data/upload/1/0a1b2c3d-{name}", "id": 7, "choice": "dog", "lead_time": 2} for name in names])


def cvat(names: Sequence[str]) -> str:
    """The same as CVAT for images."""
    images = "".join(f'<image id="0" name="{name}"><tag label="dog" source="manual"/></image>' for name in names)
    return f'<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version>{images}</annotations>'


def coco(names: Sequence[str]) -> str:
    """The same as COCO."""
    images = [{"id": number, "file_name": name} for number, name in enumerate(names)]
    annotations = [{"id": number, "image_id": number, "category_id": 3} for number in range(len(names))]
    return json.dumps({"images": images, "annotations": annotations, "categories": [{"id": 3, "name": "dog"}]})


def fiftyone_labels(names: Sequence[str]) -> str:
    """The same as FiftyOneImageClassificationDataset."""
    return json.dumps({"classes": ["cat", "dog"], "labels": {Path(name).stem: 1 for name in names}})


def fiftyone_samples(names: Sequence[str]) -> str:
    """The same as FiftyOneDataset."""
    field = {"_cls": "Classification", "label": "dog"}
    return json.dumps({"samples": [{"filepath": f"data/{name}", "tags": [], "ground_truth": field} for name in names]})


def metadata(names: Sequence[str]) -> str:
    """The same as metadata.jsonl of a Hugging Face folder of images."""
    return "".join(json.dumps({"file_name": name, "label": "dog"}) + "\n" for name in names)


def table(names: Sequence[str]) -> str:
    """The same as a table of a spreadsheet."""
    return "Archivo;Etiqueta\n" + "".join(f"{name};Dogs\n" for name in names)


@pytest.mark.parametrize("write", [studio, minimal, cvat, coco, fiftyone_labels, fiftyone_samples, metadata, table])
def test_each_format_corrects_labels_once(
    workspace: Workspace, add_images: AddImages, tmp_path: Path, write: Callable[[Sequence[str]], str]
) -> None:
    """Images are found by their file names; a second run changes nothing; the decision names person and file."""
    ids = add_images(workspace, ["cat", "dog", "cat"])
    file = tmp_path / "corrected"
    file.write_text(write(["0.png", "1.png"]), encoding="utf-8")
    before = len(list_decisions(workspace))
    assert len(label_from_file(workspace, file, dry_run=True).decisions) == 0
    assert len(list_decisions(workspace)) == before
    result = label_from_file(workspace, file)
    assert (result.changed, result.confirmed, result.already) == (1, 1, 0)
    assert labels(workspace) == {ids[0]: "dog", ids[1]: "dog", ids[2]: "cat"}
    last = list_decisions(workspace)[-1]
    assert (last.actor_kind, last.actor, last.reason) == ("person", "tester", "from corrected")
    again = label_from_file(workspace, file)
    assert (again.changed, again.confirmed, again.already, again.decisions) == (0, 0, 2, ())
    assert "2 images already have this label" in again.text()


@pytest.mark.parametrize("door", ["zip", "folder"])
def test_label_file_in_a_zip_file_or_folder(workspace: Workspace, add_images: AddImages, tmp_path: Path, door: str) -> None:
    """Programs for annotation give a zip file, with images or notes beside the labels; of several tables none is guessed."""
    ids = add_images(workspace, ["cat", "dog"])
    folder = tmp_path / "export"
    (folder / "images").mkdir(parents=True)
    (folder / "images" / "0.png").write_bytes(b"x")
    (folder / "README.txt").write_text("notes")
    (folder / "annotations.xml").write_text(cvat(["0.png"]))

    def packed() -> Path:
        if door == "folder":
            return folder
        return Path(shutil.make_archive(str(tmp_path / "export"), "zip", folder))

    assert label_from_file(workspace, packed()).changed == 1
    assert labels(workspace)[ids[0]] == "dog"
    (folder / "annotations.xml").unlink()
    (folder / "a.csv").write_text("path,label\n0.png,cat\n")
    (folder / "b.csv").write_text("path,label\n0.png,cat\n")
    with pytest.raises(FototecaError, match=r"2 label files: a.csv, b.csv"):
        label_from_file(workspace, packed())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("path,label\n0.png,Eliminar\n1.png,dog\n", "deleted"),
        ("path,label\n0.png,REJECTED: off-topic\n1.png,dog\n", "off-topic"),
        ("path,label\n0.png,descartada\n1.png,dog\n", "label-file"),
        (json.dumps({"samples": [{"filepath": "d/0.png", "tags": ["x", " Delete"]}]}), "deleted"),
    ],
)
def test_review_words_reject_in_label_files_too(
    workspace: Workspace, add_images: AddImages, tmp_path: Path, content: str, reason: str
) -> None:
    """The words of the App mean the same in a file, in any case and both languages."""
    ids = add_images(workspace, ["cat", "dog"])
    (tmp_path / "labels").write_text(content)
    label_from_file(workspace, tmp_path / "labels")
    with Catalog.open(workspace) as catalog:
        image = catalog.images.get(ids[0])
    assert image and image.rejected == reason


def test_spreadsheet_is_told_to_export_csv(workspace: Workspace, add_images: AddImages, tmp_path: Path) -> None:
    """A spreadsheet is a zip file too, and is named."""
    add_images(workspace, ["cat"])
    file = tmp_path / "labels.xlsx"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("xl/sheet1.xml", "<x/>")
    with pytest.raises(FototecaError, match="spreadsheet") as error:
        label_from_file(workspace, file)
    assert "CSV" in error.value.hint


def test_images_are_named_by_id_prefix_store_path_and_url(workspace: Workspace, add_images: AddImages, tmp_path: Path) -> None:
    """Unknown names and contradictions are listed with their lines; a rejected image stays rejected; reject: rejects."""
    ids = add_images(workspace, ["cat"] * 6)
    reject_images(workspace, [ids[4]], "blurred")
    with Catalog.open(workspace) as catalog:
        path = next(image.path for image in catalog.images.all() if not image.rejected)
    rest = [image_id for image_id in ids if image_id not in path and image_id != ids[4]]
    lines = ["image,label", f"{rest[0]},dog", f"{rest[1][:8]},dog", f"{path},dog", "https://example.org/4.png,dog", "9.png,dog"]
    lines += [f"{rest[2]},dog", f"{rest[2]},cat", f"{rest[3]},reject:off-topic"]
    file = tmp_path / "c.csv"
    file.write_text("\n".join(lines))
    result = label_from_file(workspace, file)
    assert result.changed == 4
    assert result.still_rejected == (ids[4],)
    assert [row.line for row in result.rows if row.outcome == "conflicting"] == [7, 8]
    assert "line 6: 9.png" in result.text()
    with Catalog.open(workspace) as catalog:
        image = catalog.images.get(rest[3])
    assert image
    assert image.rejected == "off-topic"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"a": {"b": 1}, "c": {}}', "JSON of an unknown format"),
        ("<html><p>x</p></html>", "not CVAT"),
        ("<!DOCTYPE x><annotations/>", "entities"),
        ('<!DOCTYPE x [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]><annotations>&b;</annotations>', "entities"),
        ('<annotations><image name="0.png"><box label="dog"/></image></annotations>', "shapes and no tags"),
        ("file,label\nx.png,dog\n", "names a known file"),
    ],
)
def test_other_files_are_named(workspace: Workspace, add_images: AddImages, tmp_path: Path, content: str, message: str) -> None:
    """A file of another format ends with what it is, and no decision is written."""
    add_images(workspace, ["cat"])
    file = tmp_path / "x"
    file.write_text(content)
    with pytest.raises(FototecaError, match=message):
        label_from_file(workspace, file)
    assert len(list_decisions(workspace)) == 1


def test_parquet_images_are_found_by_their_bytes(workspace: Workspace, add_images: AddImages, tmp_path: Path) -> None:
    """A Hugging Face parquet file holds bytes without names, and indices of class names."""
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    ids = add_images(workspace, ["cat", "cat"])
    with Catalog.open(workspace) as catalog:
        paths = [image.path for image_id in ids if (image := catalog.images.get(image_id))]
    images = [{"bytes": (workspace.root / path).read_bytes(), "path": None} for path in paths]
    features = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": ["cat", "dog"]}}
    table = pyarrow.table({"image": images, "label": [1, 0]})
    table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    parquet.write_table(table, tmp_path / "x.parquet")
    assert label_from_file(workspace, tmp_path / "x.parquet").changed == 1
    assert labels(workspace) == {ids[0]: "dog", ids[1]: "cat"}
