"""Tests for rebuilding a version: data recorded after the freeze is not used."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from fototeca.collect.catalog import Catalog, Provenance
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace
from fototeca.curate.labels.decisions import label_images
from fototeca.curate.manifest import SplitName, count_rows, encode_splits, manifest_bytes, read_manifest
from fototeca.curate.versions.freeze import freeze_version
from fototeca.curate.versions.rebuild import rebuild_version
from fototeca.curate.versions.verify import verify_version

AddImages = Callable[..., list[str]]
Later = Callable[[Catalog, Sequence[str]], None]

BEST = {"page_url": "https://museum.example/7", "author": "Eva", "license": "CC0-1.0"}
"""Rights that rank higher than those of the fixture images, which have no page."""


def better_origin(catalog: Catalog, ids: Sequence[str]) -> None:
    """Add provenance with an author and a page to known addresses."""
    for number in range(len(ids)):
        provenance = Provenance(f"https://example.org/{number}.png", "museum", "cat", **BEST)
        catalog.candidates.add(provenance, provenance.url)


def another_address(catalog: Catalog, ids: Sequence[str]) -> None:
    """Add another address of the same bytes, with complete provenance."""
    for number, image_id in enumerate(ids):
        provenance = Provenance(f"https://museum.example/{number}.png", "museum", "cat", **BEST)
        candidate = catalog.candidates.add(provenance, provenance.url)
        assert catalog.candidates.record(candidate.candidate_id, "accepted", image=catalog.images.get(image_id)) == "rejected"


def failed_address(catalog: Catalog, ids: Sequence[str]) -> None:
    """Record addresses that had failed as fetched."""
    candidates = catalog.candidates.in_state("failed")
    assert candidates
    for candidate, image_id in zip(candidates, ids, strict=False):
        catalog.candidates.record(candidate.candidate_id, "accepted", image=catalog.images.get(image_id))


def same_address_again(catalog: Catalog, ids: Sequence[str]) -> None:
    """Record a late failure of a second process for addresses that are already accepted."""
    for image_id in ids:
        (url,) = {row.url for row in catalog.provenance.of_image(image_id)}
        candidate = catalog.candidates.get(url)
        assert candidate is not None
        assert catalog.candidates.record(candidate.candidate_id, "failed", "timeout") == "accepted"


def shared_original(catalog: Catalog, ids: Sequence[str]) -> None:
    """Add provenance that gives images of all splits one original, which would join them in one group."""
    for number in range(0, len(ids), 2):
        provenance = Provenance(f"https://example.org/{number}.png", "hub", "cat", original="photograph 1")
        catalog.candidates.add(provenance, provenance.url)


@pytest.fixture
def frozen(workspace: Workspace, add_images: AddImages) -> Sequence[str]:
    """Images of a frozen version with incomplete provenance, in a catalog with failed addresses."""
    ids = add_images(workspace, ["cat"] * 15 + ["dog"] * 15)
    with Catalog.open(workspace) as catalog:
        for number in range(5):
            provenance = Provenance(f"https://down.example/{number}.png", "museum", "cat", **BEST)
            catalog.candidates.record(catalog.candidates.add(provenance, provenance.url).candidate_id, "failed", "timeout")
    freeze_version(workspace)
    return ids


@pytest.mark.parametrize("later", [better_origin, another_address, failed_address, same_address_again, shared_original])
def test_later_provenance_does_not_change_a_rebuild(workspace: Workspace, frozen: Sequence[str], later: Later) -> None:
    """Provenance added after the freeze changes the next version only."""
    before = (workspace.manifests / "v001.csv").read_bytes()
    with Catalog.open(workspace) as catalog:
        later(catalog, frozen)
    assert rebuild_version(workspace, "v001", workspace.root / "again.csv")
    assert (workspace.root / "again.csv").read_bytes() == before
    if freeze_version(workspace).new:
        assert rebuild_version(workspace, "v002")
        assert rebuild_version(workspace, "v001")


@pytest.mark.parametrize("later", [better_origin, another_address, failed_address])
def test_next_version_uses_better_provenance(workspace: Workspace, frozen: Sequence[str], later: Later) -> None:
    """Better provenance added after a freeze is in the next version."""
    with Catalog.open(workspace) as catalog:
        later(catalog, frozen)
    manifest = freeze_version(workspace).manifest
    assert manifest.version == "v002"
    assert "Eva" in {row.author for row in manifest.rows}
    assert {row.author for row in read_manifest(workspace, "v001").rows} == {"author A"}


def test_most_complete_provenance_is_used(workspace: Workspace, add_images: AddImages) -> None:
    """A license ranks before author and page, an image before its thumbnail, and the earlier row first."""
    ids = add_images(workspace, ["cat"] * 5 + ["dog"] * 5, source="first")
    provenance = [
        Provenance("https://example.org/0.png", "unlicensed", "cat", author="Eva", page_url="https://museum.example/7"),
        Provenance("https://example.org/1.png", "small", "cat", **BEST, thumbnail=True),
        Provenance("https://example.org/1.png", "large", "cat", **BEST),
        Provenance("https://example.org/2.png", "one", "cat", **BEST),
        Provenance("https://example.org/2.png", "other", "cat", **BEST),
    ]
    with Catalog.open(workspace) as catalog:
        for row in provenance:
            catalog.candidates.add(row, row.url)
    source = {row.image_id: row.source for row in freeze_version(workspace).manifest.rows}
    assert [source[image_id] for image_id in ids[:3]] == ["first", "large", "one"]


def set_clock(patch: pytest.MonkeyPatch, time: str) -> None:
    """Patch the catalog's clock to return `time`."""
    for module in ("metadata", "decisions"):
        patch.setattr(f"fototeca.collect.catalog.{module}.now", lambda: time)


@pytest.mark.parametrize("hours", [-1, -48, 1])
def test_clock_changes_do_not_affect_a_rebuild(
    workspace: Workspace, add_images: AddImages, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    """With the clock set back or forward, a version contains exactly the images added before its freeze."""
    add_images(workspace, ["cat"] * 15 + ["dog"] * 15)
    for version in ("v001", "v002"):
        wrong_time = (datetime.now(UTC) + timedelta(hours=hours)).isoformat(timespec="microseconds")
        with monkeypatch.context() as clock:
            set_clock(clock, wrong_time)
            add_images(workspace, ["cat"] * 3, start=30 + 10 * int(version[-1]))
            freeze_version(workspace)
            add_images(workspace, ["dog"], start=35 + 10 * int(version[-1]))
        add_images(workspace, ["dog"], start=36 + 10 * int(version[-1]))
    assert rebuild_version(workspace, "v001") and rebuild_version(workspace, "v002")
    assert len(read_manifest(workspace, "v001").rows) == 33 and len(read_manifest(workspace, "v002").rows) == 38


def test_corrected_clock_does_not_affect_a_rebuild(
    workspace: Workspace, add_images: AddImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Images added after the clock was corrected are in neither the earlier nor the later version."""
    ids = add_images(workspace, ["cat"] * 15 + ["dog"] * 15)
    future = (datetime.now(UTC) + timedelta(hours=5)).isoformat(timespec="microseconds")
    with monkeypatch.context() as clock:
        set_clock(clock, future)
        freeze_version(workspace)
    label_images(workspace, ids[:1], "dog")
    freeze_version(workspace)
    add_images(workspace, ["cat"] * 3, start=30)
    assert rebuild_version(workspace, "v001") and rebuild_version(workspace, "v002")


def test_differing_rebuild_does_not_overwrite_the_manifest(workspace: Workspace, frozen: Sequence[str]) -> None:
    """A rebuild that differs from the frozen manifest is written to another path only."""
    before = (workspace.manifests / "v001.csv").read_bytes()
    with Catalog.open(workspace) as catalog:
        catalog.database.connection.execute("UPDATE decisions SET new_label = 'dog' WHERE decision_id = 1")
    with pytest.raises(FototecaError, match="differs from the frozen one: nothing was written"):
        rebuild_version(workspace, "v001", workspace.manifests / "v001.csv")
    assert (workspace.manifests / "v001.csv").read_bytes() == before
    assert not rebuild_version(workspace, "v001", workspace.root / "again.csv")
    assert (workspace.root / "again.csv").read_bytes() != before


def test_rebuild_does_not_overwrite_other_files(workspace: Workspace, frozen: Sequence[str]) -> None:
    """Rebuild rejects paths of other versions and of the version's other files, also through a symbolic link."""
    for name in ("v002.csv", "v001.json", "v001.decisions.csv"):
        with pytest.raises(FototecaError, match=f"the rebuilt CSV is not {name}: nothing was written"):
            rebuild_version(workspace, "v001", workspace.manifests / name)
    moved = workspace.manifests.rename(workspace.root.parent / "moved")
    workspace.manifests.symlink_to(moved)
    with pytest.raises(FototecaError, match="the rebuilt CSV is not v002"):
        rebuild_version(workspace, "v001", workspace.manifests / "v002.csv")
    assert rebuild_version(workspace, "v001", workspace.manifests / "v001.csv")


def edit_metadata(workspace: Workspace, version: str, *removed: str, **changes: object) -> None:
    """Remove and change keys in a version's JSON."""
    path = workspace.manifests / f"{version}.json"
    metadata = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in metadata.items() if key not in removed}))


def test_missing_csv_is_rebuilt_from_the_stored_splits(
    workspace: Workspace, frozen: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stored splits are used without assigning groups again, so the optimizer does not matter."""
    monkeypatch.setattr("fototeca.curate.versions.splits._place", lambda *_: pytest.fail("a group was assigned again"))
    path = workspace.manifests / "v001.csv"
    before = path.read_bytes()
    path.unlink()
    assert rebuild_version(workspace, "v001", path)
    assert path.read_bytes() == before


def test_version_without_stored_splits_reads_them_from_its_csv(workspace: Workspace, frozen: Sequence[str]) -> None:
    """Other edited columns of the CSV are recomputed; without the CSV, rebuild raises an error."""
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


@pytest.mark.parametrize("digits", ["0" * 30, "12" * 15, "0", ""])
def test_edited_stored_splits_are_detected(workspace: Workspace, frozen: Sequence[str], digits: str) -> None:
    """The rebuild differs or uses the CSV's splits, and verify lists the difference."""
    edit_metadata(workspace, "v001", row_splits=digits)
    assert rebuild_version(workspace, "v001") == (digits in ("0", ""))
    assert any("row_splits" in problem for problem in verify_version(workspace, "v001").problems)


def forge_split(workspace: Workspace, version: str, image_ids: Sequence[str], split: SplitName) -> None:
    """Assign images to a split in a version's CSV and make its JSON consistent."""
    manifest = read_manifest(workspace, version)
    rows = [replace(row, split=split) if row.image_id in image_ids else row for row in manifest.rows]
    manifest = replace(manifest, rows=tuple(rows))
    manifest.path.write_bytes(manifest_bytes(rows))
    sha256 = hashlib.sha256(manifest_bytes(rows)).hexdigest()
    edit_metadata(workspace, version, sha256=sha256, row_splits=encode_splits(rows), **count_rows(manifest))


def test_forged_split_of_an_earlier_image_does_not_rebuild(
    workspace: Workspace, frozen: Sequence[str], add_images: AddImages
) -> None:
    """An image retains the split of its first version, regardless of a later version's files."""
    add_images(workspace, ["cat"] * 5, start=50)
    manifest = freeze_version(workspace).manifest
    assert rebuild_version(workspace, "v002")
    forge_split(workspace, "v002", [row.image_id for row in manifest.split("test") if row.image_id in frozen][:1], "train")
    assert not rebuild_version(workspace, "v002")


def test_forged_split_within_a_group_does_not_rebuild(
    workspace: Workspace, add_images: AddImages, group_images: Callable[..., None]
) -> None:
    """All images of a group share a split, regardless of the version's files."""
    ids = add_images(workspace, ["cat"] * 15 + ["dog"] * 15)
    group_images(workspace, [ids[:3]], keep_near=True)
    row = next(row for row in freeze_version(workspace).manifest.rows if row.image_id == ids[0])
    assert rebuild_version(workspace, "v001")
    forge_split(workspace, "v001", [ids[0]], "val" if row.split == "train" else "train")
    assert not rebuild_version(workspace, "v001")
