"""Folders, archives and tables of one's own: labels of folders, splits, groups, originals and rights, as people name them."""

from __future__ import annotations

import csv
import json
import tarfile
import tomllib
import zipfile
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image

from fototeca.collect.catalog import Catalog, Provenance
from fototeca.collect.files.class_mapping import find_class_folders, map_folders
from fototeca.collect.files.dataset_splits import find_splits, parse_split
from fototeca.collect.files.folder_options import FolderOptions
from fototeca.collect.files.group_by import GroupBy, find_sessions
from fototeca.collect.files.originals import find_originals, original_name
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.ingest.folder import collect_folder
from fototeca.collect.ingest.summary import CollectSummary
from fototeca.collect.ingest.url_list import collect_urls
from fototeca.collect.status import write_attribution
from fototeca.core.errors import FototecaError
from fototeca.core.passed_over import PassedOver
from fototeca.core.settings import Category, Settings
from fototeca.core.workspace import Workspace, create_workspace
from fototeca.curate.versions.freeze import freeze_version
from fototeca.curate.versions.rebuild import rebuild_version
from tests.servers import ReceivedRequest, StubResponse, jpeg, serve

SMALL = FetchOptions(min_side=8)
PETS = Settings("pets", "single", 10, "", (Category("cat", ("cat",)), Category("dog", ("perro",))))


@pytest.fixture
def pets(tmp_path: Path) -> Workspace:
    """A workspace of two categories."""
    return create_workspace(tmp_path / "w", ["cat", "dog"], target=1)


def draw(folder: Path, names: Iterable[str], taken: str = "") -> Path:
    """Write images of different colors; the color depends on the number of files there are already."""
    start = sum(1 for path in folder.rglob("*") if path.is_file()) if folder.exists() else 0
    for number, name in enumerate(names, start):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        exif = Image.Exif()
        if taken:
            exif[ExifTags.IFD.Exif] = {ExifTags.Base.DateTimeOriginal: taken}
        Image.new("RGB", (16, 16), (number * 7 % 256, number // 36, 9)).save(path, "PNG", exif=exif)
    return folder


def collect(workspace: Workspace, path: Path, **options: object) -> CollectSummary:
    """Collect a folder with these options."""
    return collect_folder(workspace, path, FolderOptions(**options), SMALL)  # type: ignore[arg-type]


def places(workspace: Workspace) -> dict[str, Provenance]:
    """Return the last place of every image by its file name."""
    with Catalog.open(workspace) as catalog:
        found = [place for image in catalog.images.all() for place in catalog.provenance.of_image(image.image_id)]
    return {place.file_name: place for place in found}


def passed_over(summary: CollectSummary) -> dict[str, int]:
    """Return the number of files that were passed over, by reason."""
    return {count.reason: count.count for count in summary.passed_over}


def as_archive(folder: Path, kind: str) -> Path:
    """Return the folder itself, or a zip or tar file of it."""
    if kind == "folder":
        return folder
    target = folder.with_suffix(f".{kind}")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if kind == "zip":
        with zipfile.ZipFile(target, "w") as archive:
            for file in files:
                archive.write(file, file.relative_to(folder))
    else:
        with tarfile.open(target, "w") as tar:
            for file in files:
                tar.add(file, str(file.relative_to(folder)))
    return target


DOORS = pytest.mark.parametrize("door", ["folder", "zip", "tar"])


@DOORS
def test_folders_are_taken_for_categories_but_for_spelling(
    pets: Workspace, tmp_path: Path, door: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Case, plural, accent, WordNet id, splits and folders below; a line names what was taken."""
    names = ["Dogs/a.png", "n02084071-dog/b.png", "train/CAT/c.png", "valid/cáts/2021/d.png", "cat/e.png"]
    summary = collect(pets, as_archive(draw(tmp_path / "in", names), door), label_from_folder=True)
    labels = {name: place.category for name, place in places(pets).items()}
    assert [labels[name] for name in names] == ["dog", "dog", "cat", "cat", "cat"]
    assert not summary.passed_over
    assert "folders taken for categories: CAT = cat, Dogs = dog, cáts/2021 = cat, n02084071-dog = dog" in capfd.readouterr().err


@DOORS
def test_odd_folder_does_not_block_a_tree(pets: Workspace, tmp_path: Path, door: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Its images are counted and named, and a mapping is proposed; with it they are taken."""
    folder = draw(tmp_path / "in", ["cat/a.png", "dog/b.png", "misc/c.png", "misc/d.png", "junk drawer/e.png"])
    path = as_archive(folder, door)
    summary = collect(pets, path, label_from_folder=True)
    assert summary.accepted == 2
    assert passed_over(summary) == {"unknown-folder": 3}
    message = capfd.readouterr().err
    assert "these folders name no category, their images are passed over: junk drawer (1), misc (2)" in message
    file = Path(message.rpartition("--map ")[2].splitlines()[0])
    assert tomllib.loads(file.read_text())["map"] == {"cat": "cat", "dog": "dog", "junk drawer": "", "misc": ""}
    file.write_text(file.read_text().replace('"misc" = ""', '"misc" = "dog"'))
    summary = collect(pets, path, mapping=file)
    assert (summary.accepted, passed_over(summary)) == (2, {"folder-excluded": 1})
    assert places(pets)["misc/d.png"].category == "dog"


def test_tree_without_any_category_proposes_a_mapping(pets: Workspace, tmp_path: Path) -> None:
    """An error with the file to correct; a person's edits survive a second try."""
    folder = draw(tmp_path / "in", ["felines/a.png", "canines/b.png"])
    with pytest.raises(FototecaError, match=r"no folder of .* names a category: 'canines', 'felines'") as refused:
        collect(pets, folder, label_from_folder=True)
    file = Path(refused.value.hint.partition("--map ")[2].partition(";")[0])
    file.write_text('[map]\nfelines = "cat"\ncanines = "dog"\n')
    with pytest.raises(FototecaError):
        collect(pets, folder, label_from_folder=True)
    collect(pets, folder, mapping=file)
    assert {name: place.category for name, place in places(pets).items()} == {"felines/a.png": "cat", "canines/b.png": "dog"}


def test_map_of_nested_folders(pets: Workspace, tmp_path: Path) -> None:
    """A name holds for the folders below unless these are named; other case and accents too; the rest is counted."""
    names = ["pets/Tabby/a.png", "pets/Tabby/old/b.png", "pets/Tabby/not cats/c.png", "wild/wolf/d.png", "wild/fox/e.png"]
    folder = draw(tmp_path / "in", names)
    file = tmp_path / "map.toml"
    file.write_text('[map]\n"pets/tábby" = "cat"\n"pets/Tabby/not cats" = ""\nwolf = "dog"\n')
    summary = collect(pets, folder, mapping=file)
    labels = {name: place.category for name, place in places(pets).items()}
    assert labels == {"pets/Tabby/a.png": "cat", "pets/Tabby/old/b.png": "cat", "wild/wolf/d.png": "dog"}
    assert passed_over(summary) == {"folder-excluded": 1, "folder-not-mapped": 1}


def test_folder_itself_may_name_the_category(pets: Workspace, tmp_path: Path) -> None:
    """`collect folder ~/photos/Dogs --label-from-folder`, and an archive of that name."""
    folder = draw(tmp_path / "Dogs", ["a.png", "b.png"])
    assert collect(pets, folder, label_from_folder=True).accepted == 2
    assert {place.category for place in places(pets).values()} == {"dog"}
    archive = as_archive(draw(tmp_path / "cat", ["c.png", "d.png", "e.png"]), "zip")
    assert collect(pets, archive, label_from_folder=True).accepted == 1  # two are copies of the dogs
    assert {place.category for place in places(pets).values()} == {"dog", "cat"}


def test_options_that_exclude_each_other() -> None:
    """A category for all images leaves nothing to map."""
    with pytest.raises(FototecaError, match="--map"):
        FolderOptions(category="cat", mapping=Path("m.toml"))


@pytest.mark.parametrize(
    ("name", "split"),
    [
        *[(name, "train") for name in ("train", "Training", "train2017", "trainset", "train_images", "TRAIN")],
        *[(name, "val") for name in ("val", "valid", "Validation", "validation set", "dev", "val2014")],
        *[(name, "test") for name in ("test", "Testing", "test-images", "evaluation")],
        *[(name, "") for name in ("trains", "train station", "test tube", "developer", "value", "images", "")],
    ],
)
def test_names_of_splits(name: str, split: str) -> None:
    """The usual names in any case, with a year or the word for a set; no other words."""
    assert parse_split(name) == split


def test_splits_are_found_at_any_level() -> None:
    """Above or below the class, in shards, in prefixed folders with siblings; not in the name of a class."""
    wanted = {
        "train/cat/1.png": "train",
        "cat/test/2.png": "test",
        "data/Valid/images/3.png": "val",
        "training/validation/cat/4.png": "val",
        "train-00000-of-00005/cat/5.png": "train",
        "pets-validation-000123/6.png": "val",
        "seg_train/a/7.png": "train",
        "seg_test/a/8.png": "test",
        "steam_train/red/9.png": "",
        "10.png": "",
    }
    assert find_splits(wanted) == {name: split for name, split in wanted.items() if split}
    assert find_splits(["train/train/1.png", "test/train/2.png", "train/3.png"], {"train"}) == {
        "train/train/1.png": "train",
        "test/train/2.png": "test",
    }
    assert find_splits(["cat/1.png"], root="valid") == {"cat/1.png": "val"}


@DOORS
def test_splits_are_offered_and_kept(pets: Workspace, tmp_path: Path, door: str, capfd: pytest.CaptureFixture[str]) -> None:
    """A line says what is given up; with --keep-splits, also on images that are known already, versions have the splits."""
    names = [
        f"{split}/{label}/{number}.png"
        for split, count in (("train", 7), ("valid", 2), ("test", 3))
        for label in ("cat", "dog")
        for number in range(count)
    ]
    path = as_archive(draw(tmp_path / "in", names), door)
    collect(pets, path, label_from_folder=True)
    line = "the dataset brings its own splits: 14 train, 4 val, 6 test; "
    assert line + "they are not used; --keep-splits keeps them" in capfd.readouterr().err
    assert not any(place.split for place in places(pets).values())
    collect(pets, path, label_from_folder=True, keep_splits=True)
    assert line + "they apply at the next freeze" in capfd.readouterr().err
    manifest = freeze_version(pets).manifest
    assert manifest.split_counts() == {"train": 14, "val": 4, "test": 6}
    with Catalog.open(pets) as catalog:
        names_by_id = catalog.provenance.file_names()
    assert all(names_by_id[row.image_id].startswith(row.split) for row in manifest.rows if row.split != "val")
    collect(pets, path, label_from_folder=True)
    assert {place.split for place in places(pets).values()} == {"train", "val", "test"}, "leaving the option out forgets nothing"


def test_splits_kept_after_a_version_do_not_change_it(pets: Workspace, tmp_path: Path) -> None:
    """The version is rebuilt byte for byte, its images keep their split, and a later statement about rights counts later."""
    names = [f"{split}/{label}/{number}.png" for split in ("train", "test") for label in ("cat", "dog") for number in range(9)]
    folder = draw(tmp_path / "in", names)
    collect(pets, folder, label_from_folder=True)
    first = freeze_version(pets).manifest
    collect(pets, folder, label_from_folder=True, keep_splits=True, group_by=r"(\d)\.png", license="CC0", author="A. Person")
    assert rebuild_version(pets, "v001")
    second = freeze_version(pets).manifest
    assert {row.author for row in second.rows} == {"A. Person"}
    assert {row.license for row in second.rows} == {"CC0-1.0"}
    assert {row.author for row in first.rows} == {""}
    assert rebuild_version(pets, "v001")
    assert rebuild_version(pets, "v002")


def test_keep_splits_without_splits_is_an_error(pets: Workspace, tmp_path: Path) -> None:
    """The person believes that there are some."""
    with pytest.raises(FototecaError, match="brings no splits to keep"):
        collect(pets, draw(tmp_path / "in", ["cat/a.png"]), label_from_folder=True, keep_splits=True)


def test_split_and_group_columns_of_a_table(pets: Workspace, tmp_path: Path) -> None:
    """The table of labels gives splits and patients."""
    folder = draw(tmp_path / "in", [f"{number}.png" for number in range(12)])
    table = tmp_path / "labels.csv"
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "label", "Split", "Patient (ID)"))
        for number in range(12):
            split = ("train", "Validation", "test")[number // 4]
            writer.writerow((f"{number}.png", ("cat", "dog")[number % 2], split, f"P{number // 2}"))
    collect(pets, folder, labels=table, keep_splits=True, group_by="patient (id)")
    found = places(pets)
    assert [found[f"{number}.png"].split for number in (0, 4, 8)] == ["train", "val", "test"]
    assert found["0.png"].split_group == found["1.png"].split_group != found["2.png"].split_group
    assert found["0.png"].split_group == "in/P0"
    with pytest.raises(FototecaError, match="no column 'session'"):
        collect(pets, folder, labels=table, group_by="session")


@pytest.mark.parametrize(
    ("group_by", "groups"),
    [
        ("folder", {"cat/p1/a.png": "p1", "cat/p1/deep/b.png": "p1", "p2/dog/c.png": "p2", "train/dog/d.png": ""}),
        (r"p(\d)", {"cat/p1/a.png": "1", "cat/p1/deep/b.png": "1", "p2/dog/c.png": "2", "train/dog/d.png": ""}),
        (r"/(?P<name>[a-c])\.png", {"cat/p1/a.png": "a", "cat/p1/deep/b.png": "b", "p2/dog/c.png": "c", "train/dog/d.png": ""}),
    ],
)
def test_group_by_folder_or_expression(
    pets: Workspace, tmp_path: Path, group_by: str, groups: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    """Folders below or above the class, or part of the path; images in none are counted."""
    folder = draw(tmp_path / "in", groups)
    collect(pets, folder, label_from_folder=True, group_by=group_by)
    assert {name: place.split_group.removeprefix("in/") for name, place in places(pets).items()} == groups
    assert "3 images in" in capfd.readouterr().err


def test_group_by_time_of_the_photograph(pets: Workspace, tmp_path: Path) -> None:
    """A pause of more than the given minutes starts a session; images without a time are in none."""
    folder = tmp_path / "in"
    for name, taken in (("a", "2024:05:01 10:00:00"), ("b", "2024:05:01 10:20:00"), ("c", "2024:05:01 11:00:00"), ("d", "")):
        draw(folder, [f"cat/{name}.png"], taken)
    collect(pets, folder, label_from_folder=True, group_by="exif-time")
    groups = [place.split_group for _, place in sorted(places(pets).items())]
    assert groups == ["in/session 2024-05-01T10:00:00"] * 2 + ["in/session 2024-05-01T11:00:00", ""]
    collect(pets, folder, label_from_folder=True, group_by="exif-time:60")
    groups = [place.split_group for _, place in sorted(places(pets).items())]
    assert groups == ["in/session 2024-05-01T10:00:00"] * 3 + [""]


def test_copy_in_train_and_test_is_a_leak(pets: Workspace, tmp_path: Path) -> None:
    """The same bytes in two splits are one image, which is in test."""
    names = [f"{split}/{label}/{number}.png" for split in ("train", "test") for label in ("cat", "dog") for number in range(5)]
    folder = draw(tmp_path / "in", names)
    (folder / "train/cat/copy.png").write_bytes((folder / "test/cat/0.png").read_bytes())
    collect(pets, folder, label_from_folder=True, keep_splits=True)
    manifest = freeze_version(pets).manifest
    (leak,) = manifest.leaks
    assert (leak["splits"], leak["split"], len(leak["image_ids"])) == (["train", "test"], "test", 1)
    assert next(row.split for row in manifest.rows if row.image_id in leak["image_ids"]) == "test"


@given(st.lists(st.datetimes(min_value=None).map(lambda time: time.replace(microsecond=0)), max_size=20), st.integers(0, 600))
def test_sessions_are_separated_by_pauses(times: list[object], minutes: int) -> None:
    """Neighbours in time share a session exactly if at most `minutes` minutes lie between them."""
    taken = {str(number): time.isoformat() for number, time in enumerate(times)}  # type: ignore[attr-defined]
    sessions = find_sessions(taken, minutes)
    assert sessions.keys() == taken.keys()
    ordered = sorted(range(len(times)), key=lambda number: times[number])  # type: ignore[type-var,return-value]
    for before, after in pairwise(ordered):
        gap = (times[after] - times[before]).total_seconds()  # type: ignore[operator]
        assert (sessions[str(before)] == sessions[str(after)]) == (gap <= minutes * 60)


@pytest.mark.parametrize(
    ("text", "message"), [("(", "not a regular expression"), ("(a)(b)", "has 2 groups"), ("patient", "no table of labels")]
)
def test_invalid_group_by(text: str, message: str) -> None:
    """The error names the forms that are valid."""
    with pytest.raises(FototecaError, match=message) as refused:
        GroupBy.parse(text)
    assert "exif-time" in refused.value.hint


def test_group_by_that_fits_no_image_is_an_error(pets: Workspace, tmp_path: Path) -> None:
    """Otherwise a slip in the expression would let patients cross splits."""
    with pytest.raises(FototecaError, match="puts no image into a group"):
        collect(pets, draw(tmp_path / "in", ["cat/a.png"]), label_from_folder=True, group_by=r"patient(\d+)")


def test_groups_of_two_datasets_do_not_mix_unless_they_have_one_source_name(pets: Workspace, tmp_path: Path) -> None:
    """Patient 1 of two folders is two patients; of one clinic, one."""
    first, second = (draw(tmp_path / name, ["cat/p1/a.png"]) for name in ("monday", "tuesday"))
    draw(second, ["dog/p1/b.png"])
    for folder in (first, second):
        collect(pets, folder, label_from_folder=True, group_by="folder")
    with Catalog.open(pets) as catalog:
        groups = {row.split_group for row in catalog.provenance.of_images_until("9999")}
    assert groups == {"monday/p1", "tuesday/p1"}
    for folder in (first, second):
        collect(pets, folder, label_from_folder=True, group_by="folder", source_name="clinic")
    with Catalog.open(pets) as catalog:
        rows = catalog.provenance.of_images_until("9999")
    assert {row.split_group for row in rows if row.source == "clinic"} == {"clinic/p1"}


@pytest.mark.parametrize(
    ("name", "original"),
    [
        ("img1_jpg.rf.0123456789abcdef0123456789abcdef.jpg", "img1"),
        ("a.b_png.rf.Zx81.jpg", "a.b"),
        ("cat_original_cat 7.jpg_a62ed1c0-1b2c-4d5e-8f90-112233445566.jpg", "cat 7"),
        ("img1.jpg", ""),
        ("img_original.jpg", ""),
        ("a.rf.jpg", ""),
    ],
)
def test_names_of_augmented_copies(name: str, original: str) -> None:
    """Roboflow's and Augmentor's; no other name."""
    assert original_name(name) == original


def test_augmented_copies_of_a_list_of_urls(pets: Workspace, tmp_path: Path) -> None:
    """Copies in the folders of two splits have one original; equal names of other folders have another."""
    paths = ["train/cat/a_jpg.rf.01.jpg", "test/cat/a_jpg.rf.02.jpg", "train/dog/a_jpg.rf.03.jpg", "train/cat/a.jpg"]

    def respond(request: ReceivedRequest) -> StubResponse:
        path = request.path.removeprefix("/set/")
        return StubResponse(jpeg(paths.index(path)), "image/jpeg") if path in paths else StubResponse(status=404)

    with serve(respond) as site:
        file = tmp_path / "list.csv"
        file.write_text("url,category\n" + "".join(f"{site.base}/set/{path},cat\n" for path in paths))
        options = FetchOptions(allow_loopback=True, min_side=8)
        assert collect_urls(pets, file, "", options).accepted == 4
        host = site.base.partition("//")[2]
    with Catalog.open(pets) as catalog:
        originals = [row.original for row in catalog.provenance.of_images_until("9999")]
    assert sorted(originals) == ["", f"{host}/set/cat/a", f"{host}/set/cat/a", f"{host}/set/dog/a"]


def test_rights_and_splits_of_a_list_of_urls(pets: Workspace, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Rows that state rights keep them; the column of splits is offered and kept."""
    file = tmp_path / "list.csv"
    options = FetchOptions(allow_loopback=True, min_side=8)
    images = {"/1": jpeg(1), "/2": jpeg(2)}

    def respond(request: ReceivedRequest) -> StubResponse:
        return StubResponse(images[request.path], "image/jpeg") if request.path in images else StubResponse(status=404)

    with serve(respond) as site:
        rows = [f"{site.base}/1,cat,Eva,MIT,train", f"{site.base}/2,dog,,,Validation"]
        file.write_text("\n".join(["url,category,author,license,split", *rows]))
        collect_urls(pets, file, "", options)
        assert "its own splits: 1 train, 1 val; they are not used" in capfd.readouterr().err
        collect_urls(pets, file, "", options, keep_splits=True, source_name="web", license="CC0", author="Ana")
    with Catalog.open(pets) as catalog:
        rows_of = [row for row in catalog.provenance.of_images_until("9999") if row.source == "web"]
    assert {(row.author, row.license, row.split) for row in rows_of} == {("Eva", "MIT", "train"), ("Ana", "CC0-1.0", "val")}


def test_original_beside_its_copies_is_one_of_them() -> None:
    """Splits do not separate them, classes do."""
    names = ["train/cat/a_jpg.rf.01.jpg", "test/cat/a.jpg", "train/dog/a.jpg", "train/cat/b.jpg"]
    folders = dict(zip(names, ["cat", "cat", "dog", "cat"], strict=True))
    assert find_originals(folders, "set") == {names[0]: "set/cat/a", names[1]: "set/cat/a"}


@DOORS
def test_augmented_copies_share_a_split_by_every_door(pets: Workspace, tmp_path: Path, door: str) -> None:
    """Copies of one original in train and test are in test, with and without kept splits."""
    names = [
        f"{split}/{label}/img{number}_jpg.rf.{copy}{number}{label}.jpg"
        for label in ("cat", "dog")
        for split, numbers in (("train", range(12)), ("test", range(10, 14)))
        for number in numbers
        for copy in "ab"
    ]
    path = as_archive(draw(tmp_path / "in", names), door)
    for options in ({}, {"keep_splits": True}):
        collect(pets, path, label_from_folder=True, **options)
    splits: dict[str, set[str]] = {}
    with Catalog.open(pets) as catalog:
        file_names = catalog.provenance.file_names()
    manifest = freeze_version(pets).manifest
    for row in manifest.rows:
        name = file_names[row.image_id]
        splits.setdefault(f"{row.label} {original_name(Path(name).name)}", set()).add(row.split)
    assert all(len(found) == 1 for found in splits.values())
    assert {name for name, found in splits.items() if found == {"test"}} == {
        f"{label} img{number}" for label in ("cat", "dog") for number in range(10, 14)
    }
    assert len(manifest.leaks) == 4


def test_rights_of_own_material(pets: Workspace, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """In manifests and in the attribution file; a license without SPDX id is kept as written."""
    folder = draw(tmp_path / "in", [f"{label}/{number}.png" for label in ("cat", "dog") for number in range(5)])
    rights = {"source_name": "field-trip", "license": "CC BY 4.0", "author": "Ana Gómez"}
    collect(pets, folder, label_from_folder=True)
    collect(pets, folder, label_from_folder=True, **rights)
    rows = freeze_version(pets).manifest.rows
    assert {(row.source, row.license, row.author) for row in rows} == {("field-trip", "CC-BY-4.0", "Ana Gómez")}
    collect(pets, draw(tmp_path / "more", [f"cat/{number}.png" for number in range(40)]), category="cat", license="ask me")
    assert "license 'ask me' is recorded as unknown" in capfd.readouterr().err
    write_attribution(pets, tmp_path / "ATTRIBUTION.csv")
    with (tmp_path / "ATTRIBUTION.csv").open(encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert {row["license_found"] for row in table} == {"", "CC BY 4.0", "ask me"}
    assert {row["author"] for row in table if row["source"] == "field-trip"} == {"Ana Gómez"}
    assert json.loads((pets.manifests / "v001.json").read_text())["rows"] == 10


@pytest.mark.parametrize("name", ["two words", "a/b", "-x", "a,b"])
def test_source_name_is_one_word(pets: Workspace, tmp_path: Path, name: str) -> None:
    """It is a column of manifests and part of the names of groups."""
    with pytest.raises(FototecaError, match="not a valid name of a source"):
        collect(pets, draw(tmp_path / "in", ["cat/a.png"]), category="cat", source_name=name)


def test_own_license_reference(pets: Workspace, tmp_path: Path) -> None:
    """SPDX's form for licenses that are not on its list."""
    collect(pets, draw(tmp_path / "in", ["cat/a.png"]), category="cat", license="LicenseRef-Clinic-2024")
    assert [place.license for place in places(pets).values()] == ["LicenseRef-Clinic-2024"]


NAMES = st.sampled_from(["cat", "Cats", "dog", "train", "test", "misc", "a", "b", "perros"])


@given(
    st.lists(st.lists(NAMES, max_size=4).map(lambda parts: "/".join([*parts, "x.png"])), max_size=12),
    st.dictionaries(st.lists(NAMES, min_size=1, max_size=2).map("/".join), st.sampled_from(["", "cat", "dog"])),
)
def test_every_image_is_mapped_or_counted(paths: list[str], mapping: dict[str, str]) -> None:
    """Whatever the tree and the mapping: images with a category and images passed over add up."""
    folders = find_class_folders([f"{number}{path}" for number, path in enumerate(paths)], PETS)
    counter = PassedOver()
    try:
        included = map_folders(folders, mapping, Path("map.toml"), counter)
    except FototecaError:
        included = {}
    assert len(included) + counter.total == len(folders)
    assert set(included.values()) <= set(mapping.values()) - {""}
