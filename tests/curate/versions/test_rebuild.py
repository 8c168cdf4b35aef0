"""Making a version again: what became known of its images afterwards is not in it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from fototeca.collect.catalog import Catalog, Provenance
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace
from fototeca.curate.labels.decisions import label_images
from fototeca.curate.manifest import SplitName, count_rows, encode_splits, manifest_bytes, read_manifest
from fototeca.curate.snapshot.catalog_state import store_groups
from fototeca.curate.versions.freeze import freeze_version
from fototeca.curate.versions.rebuild import rebuild_version
from fototeca.curate.versions.verify import verify_version

AddImages = Callable[..., list[str]]
Later = Callable[[Catalog, Sequence[str]], None]

BEST = {"page_url": "https://museum.example/7", "author": "Eva", "license": "CC0-1.0"}
"""Rights that rank before those of the images here, which have no page."""


def better_origin(catalog: Catalog, ids: Sequence[str]) -> None:
    """Another site names the author and the page of addresses that are known."""
    for number in range(len(ids)):
        place = Provenance(f"https://example.org/{number}.png", "museum", "cat", **BEST)
        catalog.candidates.add(place, place.url)


def another_address(catalog: Catalog, ids: Sequence[str]) -> None:
    """The same bytes from elsewhere, with all that can be known of them."""
    for number, image_id in enumerate(ids):
        place = Provenance(f"https://museum.example/{number}.png", "museum", "cat", **BEST)
        candidate = catalog.candidates.add(place, place.url)
        assert catalog.candidates.record(candidate.candidate_id, "accepted", image=catalog.images.get(image_id)) == "rejected"


def failed_address(catalog: Catalog, ids: Sequence[str]) -> None:
    """An address that was known and could not be fetched at the time is fetched at last."""
    candidates = catalog.candidates.in_state("failed")
    assert candidates
    for candidate, image_id in zip(candidates, ids, strict=False):
        catalog.candidates.record(candidate.candidate_id, "accepted", image=catalog.images.get(image_id))


def same_address_again(catalog: Catalog, ids: Sequence[str]) -> None:
    """A second process, slower, writes down its own attempt at what the first one has taken in."""
    for image_id in ids:
        (url,) = {place.url for place in catalog.provenance.of_image(image_id)}
        candidate = catalog.candidates.get(url)
        assert candidate is not None
        assert catalog.candidates.record(candidate.candidate_id, "failed", "timeout") == "accepted"


def one_original(catalog: Catalog, ids: Sequence[str]) -> None:
    """A source calls images of every split copies of one original, which would put them into one group."""
    for number in range(0, len(ids), 2):
        place = Provenance(f"https://example.org/{number}.png", "hub", "cat", original="photograph 1")
        catalog.candidates.add(place, place.url)


@pytest.fixture
def frozen(workspace: Workspace, add_images: AddImages) -> Sequence[str]:
    """Images of a frozen version, whose origins could be better, and addresses that failed."""
    ids = add_images(workspace, ["cat"] * 15 + ["dog"] * 15)
    with Catalog.open(workspace) as catalog:
        for number in range(5):
            place = Provenance(f"https://down.example/{number}.png", "museum", "cat", **BEST)
            catalog.candidates.record(catalog.candidates.add(place, place.url).candidate_id, "failed", "timeout")
    freeze_version(workspace)
    return ids


@pytest.mark.parametrize("later", [better_origin, another_address, failed_address, same_address_again, one_original])
def test_what_is_learned_later_is_not_in_it(workspace: Workspace, frozen: Sequence[str], later: Later) -> None:
    """Each way in which a place of a known image is written down, and then the next version, which may follow it."""
    before = (workspace.manifests / "v001.csv").read_bytes()
    with Catalog.open(workspace) as catalog:
        later(catalog, frozen)
    assert rebuild_version(workspace, "v001", workspace.root / "again.csv")
    assert (workspace.root / "again.csv").read_bytes() == before
    if freeze_version(workspace).new:
        assert rebuild_version(workspace, "v002")
        assert rebuild_version(workspace, "v001")


@pytest.mark.parametrize("later", [better_origin, another_address, failed_address])
def test_the_next_version_follows_the_better_origin(workspace: Workspace, frozen: Sequence[str], later: Later) -> None:
    """The rows above are not merely ignored: frozen now, they count."""
    with Catalog.open(workspace) as catalog:
        later(catalog, frozen)
    manifest = freeze_version(workspace).manifest
    assert manifest.version == "v002"
    assert "Eva" in {row.author for row in manifest.rows}
    assert {row.author for row in read_manifest(workspace, "v001").rows} == {"author A"}


def test_the_place_that_says_most_is_named(workspace: Workspace, add_images: AddImages) -> None:
    """A known licence before an author and a page; else the image itself before its thumbnail; else the place found first."""
    ids = add_images(workspace, ["cat"] * 5 + ["dog"] * 5, source="first")
    places = [
        Provenance("https://example.org/0.png", "unlicensed", "cat", author="Eva", page_url="https://museum.example/7"),
        Provenance("https://example.org/1.png", "small", "cat", **BEST, thumbnail=True),
        Provenance("https://example.org/1.png", "large", "cat", **BEST),
        Provenance("https://example.org/2.png", "one", "cat", **BEST),
        Provenance("https://example.org/2.png", "other", "cat", **BEST),
    ]
    with Catalog.open(workspace) as catalog:
        for place in places:
            catalog.candidates.add(place, place.url)
    source = {row.image_id: row.source for row in freeze_version(workspace).manifest.rows}
    assert [source[image_id] for image_id in ids[:3]] == ["first", "large", "one"]


def set_clock(patch: pytest.MonkeyPatch, time: str) -> None:
    """Let the catalog read this time from its clock."""
    for module in ("metadata", "decisions"):
        patch.setattr(f"fototeca.collect.catalog.{module}.now", lambda: time)


@pytest.mark.parametrize("hours", [-1, -48, 1])
def test_a_clock_that_was_set(workspace: Workspace, add_images: AddImages, monkeypatch: pytest.MonkeyPatch, hours: int) -> None:
    """Back or forth between collecting, freezing and collecting more: what came first is in the version, and no more."""
    add_images(workspace, ["cat"] * 15 + ["dog"] * 15)
    for version in ("v001", "v002"):
        wrong = (datetime.now(UTC) + timedelta(hours=hours)).isoformat(timespec="microseconds")
        with monkeypatch.context() as clock:
            set_clock(clock, wrong)
            add_images(workspace, ["cat"] * 3, start=30 + 10 * int(version[-1]))
            freeze_version(workspace)
            add_images(workspace, ["dog"], start=35 + 10 * int(version[-1]))
        add_images(workspace, ["dog"], start=36 + 10 * int(version[-1]))
    assert rebuild_version(workspace, "v001") and rebuild_version(workspace, "v002")
    assert len(read_manifest(workspace, "v001").rows) == 33 and len(read_manifest(workspace, "v002").rows) == 38


def test_another_freeze_that_came_between(
    workspace: Workspace, add_images: AddImages, group_images: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a new search it kept other groups under the same name, and was stopped: the version that is there is made again."""
    ids = add_images(workspace, ["cat"] * 15 + ["dog"] * 15)
    group_images(workspace, [ids[:3]], keep_near=True)
    transaction = Catalog.transaction

    @contextmanager
    def watched(catalog: Catalog) -> Iterator[None]:
        with transaction(catalog):
            yield
        if not catalog.database.connection.in_transaction:
            monkeypatch.undo()
            group_images(workspace, [ids[3:6], ids[15:18]], keep_near=True)
            store_groups(catalog, "v001", catalog.images.all())

    monkeypatch.setattr(Catalog, "transaction", watched)
    manifest = freeze_version(workspace).manifest
    assert len({row.group for row in manifest.rows if row.image_id in ids[:3]}) == 1
    assert rebuild_version(workspace, "v001")


def test_a_clock_that_went_ahead_and_was_set_right(
    workspace: Workspace, add_images: AddImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A version of tomorrow, one of today, and images that come afterwards: they are in neither."""
    ids = add_images(workspace, ["cat"] * 15 + ["dog"] * 15)
    ahead = (datetime.now(UTC) + timedelta(hours=5)).isoformat(timespec="microseconds")
    with monkeypatch.context() as clock:
        set_clock(clock, ahead)
        freeze_version(workspace)
    label_images(workspace, ids[:1], "dog")
    freeze_version(workspace)
    add_images(workspace, ["cat"] * 3, start=30)
    assert rebuild_version(workspace, "v001") and rebuild_version(workspace, "v002")


def test_other_bytes_do_not_take_a_manifests_place(workspace: Workspace, frozen: Sequence[str]) -> None:
    """What is made again of a catalog that somebody edited is not the version: it may be looked at elsewhere."""
    before = (workspace.manifests / "v001.csv").read_bytes()
    with Catalog.open(workspace) as catalog:
        catalog.database.connection.execute("UPDATE decisions SET new_label = 'dog' WHERE decision_id = 1")
    with pytest.raises(FototecaError, match="differs from the frozen one: nothing was written"):
        rebuild_version(workspace, "v001", workspace.manifests / "v001.csv")
    assert (workspace.manifests / "v001.csv").read_bytes() == before
    assert not rebuild_version(workspace, "v001", workspace.root / "again.csv")
    assert (workspace.root / "again.csv").read_bytes() != before


def test_a_version_takes_no_other_files_place(workspace: Workspace, frozen: Sequence[str]) -> None:
    """Not that of another version, nor of what lies beside it; a link to the folder is the folder."""
    for name in ("v002.csv", "v001.json", "v001.decisions.csv"):
        with pytest.raises(FototecaError, match=f"the rebuilt CSV is not {name}: nothing was written"):
            rebuild_version(workspace, "v001", workspace.manifests / name)
    elsewhere = workspace.manifests.rename(workspace.root.parent / "kept")
    workspace.manifests.symlink_to(elsewhere)
    with pytest.raises(FototecaError, match="the rebuilt CSV is not v002"):
        rebuild_version(workspace, "v001", workspace.manifests / "v002.csv")
    assert rebuild_version(workspace, "v001", workspace.manifests / "v001.csv")


def edit_metadata(workspace: Workspace, version: str, *removed: str, **changes: object) -> None:
    """Remove and change keys of a version's JSON."""
    path = workspace.manifests / f"{version}.json"
    metadata = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in metadata.items() if key not in removed}))


def test_a_missing_csv_is_rebuilt_from_the_stored_splits(
    workspace: Workspace, frozen: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No group is assigned again, so another optimizer gives the same version."""
    monkeypatch.setattr("fototeca.curate.versions.splits._place", lambda *_: pytest.fail("a group was assigned again"))
    path = workspace.manifests / "v001.csv"
    before = path.read_bytes()
    path.unlink()
    assert rebuild_version(workspace, "v001", path)
    assert path.read_bytes() == before


def test_a_version_without_stored_splits_reads_them_from_its_csv(workspace: Workspace, frozen: Sequence[str]) -> None:
    """Other columns of the CSV may be edited, since they are recomputed; without the CSV there is nothing to rebuild from."""
    edit_metadata(workspace, "v001", "row_splits", "decode_version")
    assert read_manifest(workspace, "v001").decode_version == 1
    path = workspace.manifests / "v001.csv"
    before = path.read_text()
    path.write_text(before.replace(",cat,", ",dog,"))
    assert rebuild_version(workspace, "v001", path)
    assert path.read_text() == before
    path.unlink()
    with pytest.raises(FototecaError, match=r"the splits of v001 are stored in manifests/v001\.csv alone.*git checkout"):
        rebuild_version(workspace, "v001")


@pytest.mark.parametrize("digits", ["0" * 30, "12" * 15, "0", "", "x" * 30])
def test_stored_splits_that_were_edited_are_detected(workspace: Workspace, frozen: Sequence[str], digits: str) -> None:
    """The rebuilt CSV has another digest, or the splits of the CSV are used, and verifying lists the difference."""
    edit_metadata(workspace, "v001", row_splits=digits)
    assert rebuild_version(workspace, "v001") == (digits in ("0", "", "x" * 30))
    assert any("row_splits" in problem for problem in verify_version(workspace, "v001").problems)


def forge(workspace: Workspace, version: str, image_ids: Sequence[str], split: SplitName) -> None:
    """Move images to a split in the CSV of a version, and make its JSON consistent with that."""
    manifest = read_manifest(workspace, version)
    rows = [replace(row, split=split) if row.image_id in image_ids else row for row in manifest.rows]
    manifest = replace(manifest, rows=tuple(rows))
    manifest.path.write_bytes(manifest_bytes(rows))
    sha256 = hashlib.sha256(manifest_bytes(rows)).hexdigest()
    edit_metadata(workspace, version, sha256=sha256, row_splits=encode_splits(rows), **count_rows(manifest))


def test_a_forged_split_of_an_earlier_image_does_not_rebuild(
    workspace: Workspace, frozen: Sequence[str], add_images: AddImages
) -> None:
    """An image keeps the split of its first version, whatever a consistent CSV and JSON of a later one state."""
    add_images(workspace, ["cat"] * 5, start=50)
    manifest = freeze_version(workspace).manifest
    assert rebuild_version(workspace, "v002")
    forge(workspace, "v002", [row.image_id for row in manifest.split("test") if row.image_id in frozen][:1], "train")
    assert not rebuild_version(workspace, "v002")


def test_a_forged_split_within_a_group_does_not_rebuild(
    workspace: Workspace, add_images: AddImages, group_images: Callable[..., None]
) -> None:
    """All images of a group share a split, whatever a consistent CSV and JSON state."""
    ids = add_images(workspace, ["cat"] * 15 + ["dog"] * 15)
    group_images(workspace, [ids[:3]], keep_near=True)
    row = next(row for row in freeze_version(workspace).manifest.rows if row.image_id == ids[0])
    assert rebuild_version(workspace, "v001")
    forge(workspace, "v001", [ids[0]], "val" if row.split == "train" else "train")
    assert not rebuild_version(workspace, "v001")
