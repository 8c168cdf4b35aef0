"""Datasets of all six hubs against stand-ins, with the four real clients: mapping, licenses, versions, malformed responses."""

from __future__ import annotations

import errno
import json
import shutil
import socket
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest

from fototeca.collect.catalog import Catalog
from fototeca.collect.files import extraction
from fototeca.collect.files.folder_options import FolderOptions
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.hubs import DatasetInfo, get_hub
from fototeca.collect.hubs.discover import discover
from fototeca.collect.hubs.import_dataset import dataset_scope, import_dataset
from fototeca.collect.sources import SourceContext
from fototeca.core.errors import EXIT_OUTSIDE, EXIT_SHORT, FototecaError
from fototeca.core.workspace import Workspace
from fototeca.curate.snapshot.catalog_state import read_snapshot
from fototeca.curate.snapshot.split_groups import find_split_groups
from tests.collect.hub_server import HUBS, IMAGES, REFS, SECRET, SHA, Hubs, zipped
from tests.servers import Site, StubResponse, jpeg, json_response
from tests.trusting import trust

LOCAL = FetchOptions(allow_loopback=True, send_key_to=("127.0.0.1",), min_side=32, timeout=5.0)


def propose(workspace: Workspace, hub: str, ref: str = "") -> Path:
    """Run the command without --map; the proposal that it writes."""
    with pytest.raises(FototecaError, match="confirm it with --map") as stop:
        import_dataset(workspace, hub, ref or REFS[hub], FolderOptions(), LOCAL)
    assert stop.value.exit_code == EXIT_SHORT
    return Path(stop.value.hint.rpartition("--map ")[2])


def confirm(workspace: Workspace, hub: str) -> None:
    """Run the command with the proposal as it is."""
    import_dataset(workspace, hub, REFS[hub], FolderOptions(mapping=propose(workspace, hub)), LOCAL)


def test_client_that_calls_exit_is_an_error(workspace: Workspace, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kaggle's client exits on rejected credentials."""
    client = import_module("kaggle.api.kaggle_api_extended")
    monkeypatch.setattr(client.KaggleApi, "authenticate", lambda _: sys.exit(1))
    with pytest.raises(FototecaError, match="kaggle denied access") as refused:
        get_hub("kaggle").find_datasets("cats", SourceContext(workspace, LOCAL))
    assert refused.value.exit_code == EXIT_OUTSIDE


def test_dns_failure_of_a_client_is_named(workspace: Workspace, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason is `dns`, for every exception of the client."""
    client = import_module("huggingface_hub")

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(client.HfApi, "list_datasets", unknown)
    with pytest.raises(FototecaError, match="huggingface request failed: dns"):
        get_hub("huggingface").find_datasets("cats", SourceContext(workspace, LOCAL))


@pytest.mark.parametrize("hub", HUBS)
def test_dataset_is_proposed_confirmed_and_imported(workspace: Workspace, site: Site, hub: str) -> None:
    """Split folders and spelling are ignored, unmatched folders left out; license and version recorded."""
    file = propose(workspace, hub)
    assert tomllib.loads(file.read_text())["map"] == {"Cats": "cat", "birds": "", "n02084071-dog": "dog"}
    assert '"Cats" = "cat"  # 2 images' in file.read_text()
    num_requests = len(site.requests)
    summary = import_dataset(workspace, hub, REFS[hub], FolderOptions(mapping=file), LOCAL)
    assert summary.accepted == 3
    assert len(site.requests) == num_requests, "no file is downloaded again"
    with Catalog.open(workspace) as catalog:
        images = catalog.images.all()
        places = [place for image in images for place in catalog.provenance.of_image(image.image_id)]
    assert sorted(image.label for image in images) == ["cat", "cat", "dog"]
    assert {(place.source, place.license, place.license_found != "") for place in places} == {
        (hub, "CC0-1.0" if hub == "kaggle" else "CC-BY-4.0", True)
    }
    assert all(place.page_url.startswith("http") and "lic" in place.author for place in places)
    assert import_dataset(workspace, hub, REFS[hub], FolderOptions(mapping=file), LOCAL).accepted == 0


def test_passed_over_files_are_counted_after_the_mapping(workspace: Workspace, hubs: Hubs) -> None:
    """The counts of the download and of its archive are kept until the mapping is confirmed; names are the archive's."""
    images = {f"pets/cat/{name}": jpeg(number) for number, name in enumerate(("1.jpg", "what?.jpg", "3.jpg_large"))}
    hubs.archive = zipped({**images, "pets/clip.mp4": b"x", "pets/cat/Thumbs.db": b"x", "pets/labels.csv": b"1,2"})
    file = propose(workspace, "zenodo")
    for _ in range(2):
        summary = import_dataset(workspace, "zenodo", REFS["zenodo"], FolderOptions(mapping=file), LOCAL)
        assert {count.text() for count in summary.passed_over} >= {
            "1 video: pets/clip.mp4",
            "1 junk: pets/cat/Thumbs.db",
            "1 table: pets/pets/labels.csv",
        }
    with Catalog.open(workspace) as catalog:
        names = set(catalog.provenance.file_names().values())
    assert names == {"pets/pets/cat/1.jpg", "pets/pets/cat/what?.jpg", "pets/pets/cat/3.jpg_large"}


def test_tables_inside_a_dataset_give_its_classes(workspace: Workspace, hubs: Hubs) -> None:
    """The classes of metadata.jsonl in the folder of each split are proposed and mapped; every row and file is accounted for."""
    lines = {
        "train": [("1.jpg", "Katze"), ("2.jpg", "dogs"), ("gone.jpg", "dogs")],
        "test": [("3.jpg", "Katze"), ("4.jpg", "Vogel")],
    }
    images = {f"{split}/{name}": jpeg(int(name[0])) for split, rows in lines.items() for name, _ in rows if name != "gone.jpg"}
    tables = {
        f"{split}/metadata.jsonl": "\n".join(json.dumps({"file_name": name, "label": label}) for name, label in rows).encode()
        for split, rows in lines.items()
    }
    hubs.archive = zipped({**images, **tables, "train/5.jpg": jpeg(5), "old/6.jpg": jpeg(6)})
    file = propose(workspace, "zenodo")
    assert tomllib.loads(file.read_text())["map"] == {"Katze": "", "Vogel": "", "dogs": "dog"}
    file.write_text('[map]\n"Katze" = "cat"\n"dogs" = "dog"\n"Vogel" = ""\n')
    options = FolderOptions(mapping=file, keep_splits=True, exclude=("old/",))
    summary = import_dataset(workspace, "zenodo", REFS["zenodo"], options, LOCAL)
    counts = {count.reason: count.count for count in summary.passed_over}
    del counts["data"]  # the stand-in's readme
    assert counts == {"row-without-file": 1, "row-other-class": 1, "file-without-row": 1, "excluded": 1}
    with Catalog.open(workspace) as catalog:
        rows = {row.url.rpartition("/")[2]: row for row in catalog.provenance.of_images_until("9999")}
        labels = sorted(image.label for image in catalog.images.all())
    assert labels == ["cat", "cat", "dog"]
    assert {name: row.split for name, row in rows.items()} == {"1.jpg": "train", "2.jpg": "train", "3.jpg": "test"}


def test_table_beside_the_images_of_a_hub_is_downloaded(workspace: Workspace, hubs: Hubs) -> None:
    """An image folder of Hugging Face that is no archive keeps the classes of its metadata.csv."""
    hubs.files = {f"data/train/{number}.jpg": jpeg(number) for number in range(3)}
    hubs.files["data/train/metadata.csv"] = b"file_name,label\n0.jpg,cats\n1.jpg,dog\n2.jpg,dog\n"
    file = propose(workspace, "huggingface")
    assert tomllib.loads(file.read_text())["map"] == {"cats": "cat", "dog": "dog"}
    summary = import_dataset(workspace, "huggingface", REFS["huggingface"], FolderOptions(mapping=file), LOCAL)
    assert summary.accepted == 3 and not summary.passed_over


@pytest.mark.parametrize(
    ("hub", "version"),
    [("kaggle", "7"), ("roboflow", "2"), ("huggingface", SHA), ("zenodo", "v2"), ("figshare", "3"), ("mendeley", "2")],
)
def test_downloaded_version_is_recorded(workspace: Workspace, hub: str, version: str) -> None:
    """A reference to the newest version may mean another one later."""
    facts = json.loads((propose(workspace, hub).with_suffix("") / "dataset.json").read_text())
    assert facts["version"] == version


def test_image_from_six_hubs_has_six_provenances(workspace: Workspace) -> None:
    """An image found in datasets of six hubs is stored once, with six provenance records."""
    for hub in HUBS:
        confirm(workspace, hub)
    with Catalog.open(workspace) as catalog:
        images = catalog.images.all()
        assert len(images) == 3
        for image in images:
            assert [place.source for place in catalog.provenance.of_image(image.image_id)] == list(HUBS)


def test_augmented_copies_share_their_original(workspace: Workspace, hubs: Hubs) -> None:
    """Roboflow's copies of one upload share one `original`; equal names in other folders do not."""
    names = [
        "train/cat/a_jpg.rf.0a1.jpg",
        "train/cat/a_jpg.rf.0b2.jpg",
        "valid/cat/b_jpg.rf.0c3.jpg",
        "train/dog/a_jpg.rf.0d4.jpg",
    ]
    hubs.archive = zipped({name: jpeg(20 + number) for number, name in enumerate(names)})
    confirm(workspace, "roboflow")
    with Catalog.open(workspace) as catalog:
        originals = [place.original for image in catalog.images.all() for place in catalog.provenance.of_image(image.image_id)]
        assert sorted(originals) == [f"roboflow/alice/pets/{name}" for name in ("cat/a", "cat/a", "cat/b", "dog/a")]
        units = find_split_groups(read_snapshot(catalog))
    assert len(units) == 4
    assert len(set(units.values())) == 3


@pytest.mark.parametrize("hub", ["kaggle", "zenodo", "roboflow"])
def test_splits_and_groups_of_a_dataset(workspace: Workspace, hubs: Hubs, hub: str, capfd: pytest.CaptureFixture[str]) -> None:
    """The splits are offered, and kept on request in the same download; groups are those of this dataset."""
    names = ["train/cat/p1_a.jpg", "train/cat/p1_b.jpg", "valid/dog/p2_a.jpg", "test/cat/p2_b.jpg", "test/birds/p3_a.jpg"]
    hubs.archive = zipped({name: jpeg(20 + number) for number, name in enumerate(names)})
    file = propose(workspace, hub)
    import_dataset(workspace, hub, REFS[hub], FolderOptions(mapping=file), LOCAL)
    line = "the dataset brings its own splits: 2 train, 1 val, 1 test"
    assert f"{line}; they are not used; --keep-splits keeps them" in capfd.readouterr().err
    use = FolderOptions(mapping=file, keep_splits=True, group_by=r"/(p\d)_")
    import_dataset(workspace, hub, REFS[hub], use, LOCAL)
    assert f"{line}; they apply at the next freeze" in capfd.readouterr().err
    with Catalog.open(workspace) as catalog:
        places = [place for image in catalog.images.all() for place in catalog.provenance.of_image(image.image_id)]
    assert sorted(place.split for place in places) == ["test", "train", "train", "val"]
    groups = {place.split_group for place in places}
    assert len(groups) == 2
    assert all(group.startswith(f"{hub}/") and group.endswith(("/p1", "/p2")) for group in groups)


@pytest.mark.parametrize(
    ("ref", "version"),
    [
        ("alice/pets", "2"),
        ("alice/pets/2", "2"),
        ("alice/pets/versions/7", "7"),
        ("alice/pets@main", "0a1b"),
        ("alice/pets@0a1b", "0a1b"),
    ],
)
def test_versions_of_a_dataset_share_their_originals(ref: str, version: str) -> None:
    """For every form of the reference; other hubs' datasets do not."""
    facts = DatasetInfo("roboflow", ref, "Pets", "", "", version)
    assert dataset_scope(facts) == "roboflow/alice/pets"
    assert dataset_scope(replace(facts, hub="kaggle")) == "kaggle/alice/pets"


def test_full_disk_while_unpacking_keeps_the_archive(
    workspace: Workspace, hubs: Hubs, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With space again the archive is not downloaded another time."""
    whole = extraction.atomic_write

    def full(path: Path) -> object:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(extraction, "atomic_write", full)
    with pytest.raises(FototecaError, match="cannot be unpacked: No space left on device; free some space") as stop:
        import_dataset(workspace, "zenodo", "1234", FolderOptions(), LOCAL)
    assert stop.value.exit_code == EXIT_OUTSIDE
    monkeypatch.setattr(extraction, "atomic_write", whole)
    confirm(workspace, "zenodo")
    assert sum(request.path == "/files/archive.zip" for request in site.requests) == 1


def test_edited_mapping_is_kept_and_used(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """A second run without --map does not overwrite it; folders that it does not name are reported."""
    file = propose(workspace, "zenodo")
    file.write_text('[map]\n"birds" = "dog"\n"Cats" = ""\n')
    assert propose(workspace, "zenodo") == file
    assert import_dataset(workspace, "zenodo", "1234", FolderOptions(mapping=file), LOCAL).accepted == 1
    assert "'n02084071-dog'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[map", "cannot be read"),
        ("x = 1", r"has no table \[map\]"),
        ("[map]\ncat = 1", r"has no table \[map\]"),
        ('[map]\nCats = "cow"', "unknown category 'cow'"),
        ('[map]\nCats = ""', "excludes every folder"),
        ('[map]\nother = "cat"', "names no folder of this dataset"),
    ],
)
def test_invalid_mapping_is_one_line(workspace: Workspace, content: str, message: str) -> None:
    """The error names the file, and nothing is collected."""
    propose(workspace, "zenodo")
    file = workspace.root / "my.toml"
    file.write_text(content)
    with pytest.raises(FototecaError, match=message):
        import_dataset(workspace, "zenodo", "1234", FolderOptions(mapping=file), LOCAL)


def test_figshare_files_are_read_page_by_page(workspace: Workspace, site: Site) -> None:
    """With one file a page there are five requests for four files."""
    file = workspace.root / "sites" / "figshare.toml"
    file.write_text(file.read_text().replace("page_size = 100", "page_size = 1"))
    trust(workspace)
    confirm(workspace, "figshare")
    assert [request.query["page"] for request in site.requests if request.path.endswith("/files")] == ["1", "2", "3", "4", "5"]


def test_repeated_page_of_files_is_an_error(workspace: Workspace, hubs: Hubs) -> None:
    """An API that ignores the page number would be requested forever."""
    row = {"id": 1, "name": "1.jpg", "download_url": "http://127.0.0.1/", "size": 1}
    hubs.instead["/figshare/5678/versions/3/files"] = json_response([row] * 100)
    with pytest.raises(FototecaError, match="a page of files repeats an earlier one"):
        import_dataset(workspace, "figshare", "5678", FolderOptions(), LOCAL)


def test_restricted_zenodo_record_is_an_error(workspace: Workspace, hubs: Hubs) -> None:
    """Zenodo shows restricted records without their files."""
    hubs.instead["/zenodo/1234"] = json_response({"id": 1234, "metadata": {"access_right": "restricted"}})
    with pytest.raises(FototecaError, match="record 1234 of zenodo is restricted"):
        import_dataset(workspace, "zenodo", "1234", FolderOptions(), LOCAL)


def test_kaggle_archive_without_redirect_is_saved(workspace: Workspace, hubs: Hubs) -> None:
    """Kaggle usually redirects to storage."""
    hubs.direct = True
    confirm(workspace, "kaggle")


def test_public_kaggle_dataset_needs_no_key(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the search does."""
    monkeypatch.delenv("KAGGLE_KEY")
    confirm(workspace, "kaggle")


def test_truncated_mendeley_folder_is_downloaded_as_zip(workspace: Workspace, hubs: Hubs, site: Site) -> None:
    """Status 206 marks a truncated list."""
    hubs.instead["/mendeley/datasets/abcdefghij/files"] = json_response([], 206)
    confirm(workspace, "mendeley")
    assert any(request.path.startswith("/mendeley/zip/") for request in site.requests)


def test_failed_mendeley_list_is_an_error(workspace: Workspace, hubs: Hubs, site: Site) -> None:
    """It does not fall back to the zip, which has no checksums."""
    hubs.instead["/mendeley/datasets/abcdefghij/files"] = json_response({}, 404)
    with pytest.raises(FototecaError, match="mendeley request failed: http-404"):
        import_dataset(workspace, "mendeley", "abcdefghij", FolderOptions(), LOCAL)
    assert not any(request.path.startswith("/mendeley/zip/") for request in site.requests)


def test_many_mendeley_files_are_downloaded_as_zip(workspace: Workspace, site: Site) -> None:
    """One request instead of thousands."""
    file = workspace.root / "sites" / "mendeley.toml"
    file.write_text(file.read_text().replace("max_files = 200", "max_files = 3"))
    trust(workspace)
    confirm(workspace, "mendeley")
    assert not [request for request in site.requests if request.path.startswith("/files/")]


@pytest.mark.parametrize("hub", HUBS)
def test_versions_do_not_mix(workspace: Workspace, hub: str) -> None:
    """Files of an interrupted download of an older version are not part of the newer one."""
    proposed = propose(workspace, hub)
    place = proposed.with_suffix("")
    (place / "old" / "cat").mkdir(parents=True)
    (place / "old" / "cat" / "9.jpg").write_bytes(jpeg(9))
    assert import_dataset(workspace, hub, REFS[hub], FolderOptions(mapping=proposed), LOCAL).candidates == 3


def test_roboflow_export_is_polled(workspace: Workspace, hubs: Hubs) -> None:
    """Roboflow makes an export on the first request."""
    hubs.exports = 4
    confirm(workspace, "roboflow")
    assert hubs.exports == 0


def test_detection_project_is_refused(workspace: Workspace, hubs: Hubs) -> None:
    """Projects of boxes cannot be exported as folders."""
    hubs.instead["/roboflow/alice/pets"] = json_response(
        {"project": {"type": "object-detection"}, "versions": [{"id": "alice/pets/1"}]}
    )
    with pytest.raises(FototecaError, match="choose a classification project"):
        import_dataset(workspace, "roboflow", "alice/pets", FolderOptions(), LOCAL)


def test_dataset_without_images_suggests_its_parquet_copy(workspace: Workspace, hubs: Hubs) -> None:
    """A dataset made by a script has no image files."""
    hubs.files = {"pets.py": b"import this"}
    with pytest.raises(FototecaError, match=r"it has: 1 py") as stop:
        import_dataset(workspace, "huggingface", "alice/pets", FolderOptions(), LOCAL)
    assert stop.value.exit_code == EXIT_OUTSIDE
    assert "@refs/convert/parquet" in stop.value.hint


def test_names_outside_the_folder_are_refused(workspace: Workspace, hubs: Hubs) -> None:
    """A name with `..` in a repository or a list of files."""
    hubs.files = {**IMAGES, "train/../../../../evil.jpg": jpeg(9)}
    with pytest.raises(FototecaError, match="lead out"):
        import_dataset(workspace, "huggingface", "alice/pets", FolderOptions(), LOCAL)
    hubs.files = {"train/Cats/1.jpg": jpeg(1), "train/dog/..\\..\\..\\evil.jpg": jpeg(9)}
    propose(workspace, "figshare")
    assert not list(workspace.root.parent.rglob("evil.jpg"))


def test_zenodo_concept_number_resolves_to_the_newest_version(workspace: Workspace) -> None:
    """The DOI of all versions has no record of its own."""
    facts = json.loads((propose(workspace, "zenodo", "1200").with_suffix("") / "dataset.json").read_text())
    assert facts["page_url"] == "https://zenodo.org/records/1234"


def test_foreign_doi_is_resolved(workspace: Workspace) -> None:
    """At doi.org."""
    assert propose(workspace, "huggingface", "https://doi.org/10.57967/hf/1234").name == "huggingface-alice--pets.toml"


@pytest.mark.parametrize("hub", HUBS)
@pytest.mark.parametrize("status", [429, 500, 404])
def test_refusals_are_one_line(workspace: Workspace, hubs: Hubs, hub: str, status: int) -> None:
    """An exhausted quota, a server error and an unknown dataset: exit code 4, no keys."""
    hubs.instead[f"/{hub}"] = json_response({"code": status, "message": f"no {SECRET}"}, status, Retry_After="0")
    with pytest.raises(FototecaError, match=hub) as stop:
        import_dataset(workspace, hub, REFS[hub], FolderOptions(), LOCAL)
    assert stop.value.exit_code == EXIT_OUTSIDE
    assert "\n" not in str(stop.value)
    assert SECRET not in str(stop.value)
    if status == 429:
        assert "quota" in str(stop.value)


@pytest.mark.parametrize(
    "answer", [json_response({}), json_response([]), json_response([{}]), json_response({"hits": 1}), StubResponse(b"<html>")]
)
@pytest.mark.parametrize("hub", HUBS)
def test_changed_responses_are_one_line(workspace: Workspace, hubs: Hubs, hub: str, answer: StubResponse) -> None:
    """Missing fields, other types and HTML: exit code 4, never an empty dataset."""
    hubs.instead[f"/{hub}"] = answer
    with pytest.raises(FototecaError, match=hub) as stop:
        import_dataset(workspace, hub, REFS[hub], FolderOptions(), LOCAL)
    assert stop.value.exit_code == EXIT_OUTSIDE
    assert "\n" not in str(stop.value)


Steps = tuple[str | int, ...]


def fields(value: object, path: Steps = ()) -> Iterator[Steps]:
    """The paths of all fields of a document, of lists the first ones."""
    for key in value if isinstance(value, dict) else range(min(1, len(value))) if isinstance(value, list) else ():
        yield (*path, key)
        yield from fields(value[key], (*path, key))  # type: ignore[index]


def without(document: object, path: Steps, instead: object) -> object:
    """A copy of a document with one field missing (None) or of another type."""
    copy = place = json.loads(json.dumps(document))
    for key in path[:-1]:
        place = place[key]
    if instead is None:
        del place[path[-1]]
    else:
        place[path[-1]] = instead
    return copy


@pytest.mark.parametrize("instead", [None, {"a": 1}], ids=["missing", "object"])
@pytest.mark.parametrize("hub", HUBS)
def test_every_field_may_be_missing_or_malformed(
    workspace: Workspace, hubs: Hubs, site: Site, monkeypatch: pytest.MonkeyPatch, hub: str, instead: object
) -> None:
    """Each field of each response, missing or of another type, gives a proposal or one error line."""
    monkeypatch.setattr("fototeca.collect.http.client.TRIES", 1)
    hubs.files = {"train/Cats/1.jpg": jpeg(1)}
    discover(workspace, "cats", (hub,), LOCAL)
    searched = len(site.requests)
    propose(workspace, hub)
    hubs.exports = 1
    answers = {request.path: (number < searched, hubs(request)) for number, request in enumerate(list(site.requests))}
    for path, (search, answer) in answers.items():
        for field in fields(json.loads(answer.body) if answer.kind == "application/json" else None):
            hubs.instead = {path: json_response(without(json.loads(answer.body), field, instead))}
            hubs.exports = 1
            if search:
                assert discover(workspace, "cats", (hub,), LOCAL).table()
                continue
            shutil.rmtree(workspace.cache / "hubs", ignore_errors=True)
            with pytest.raises(FototecaError) as stop:
                import_dataset(workspace, hub, REFS[hub], FolderOptions(), LOCAL)
            assert stop.value.exit_code in (EXIT_SHORT, EXIT_OUTSIDE)
            assert "\n" not in str(stop.value)


def test_keys_are_not_stored_or_printed(workspace: Workspace, capfd: pytest.CaptureFixture[str]) -> None:
    """After success and after refusals."""
    for hub in HUBS:
        confirm(workspace, hub)
    discover(workspace, "cats", (), LOCAL)
    for path in workspace.root.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes(), path
    assert SECRET not in "".join(capfd.readouterr())


@pytest.mark.parametrize("hub", HUBS)
def test_loopback_downloads_need_the_option(workspace: Workspace, hub: str) -> None:
    """Without --allow-loopback nothing is downloaded from a loopback address."""
    with pytest.raises(FototecaError, match=r"private-address|is not a public address"):
        import_dataset(workspace, hub, REFS[hub], FolderOptions(), replace(LOCAL, allow_loopback=False))


def test_missing_client_package_names_the_extra(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clients are in the extra `hubs`."""
    monkeypatch.setitem(__import__("sys").modules, "roboflow.adapters", None)
    with pytest.raises(FototecaError, match=r"fototeca\[hubs\]"):
        import_dataset(workspace, "roboflow", "alice/pets", FolderOptions(), LOCAL)
