"""Tests for the groups and splits that sources state: one group shares a split, in the rebuilt version too."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fototeca.collect.catalog import Catalog, Provenance
from fototeca.core.workspace import Workspace
from fototeca.curate.snapshot.catalog_state import read_snapshot
from fototeca.curate.versions.freeze import freeze_version
from fototeca.curate.versions.rebuild import rebuild_version

AddImages = Callable[..., list[str]]


def add_place(workspace: Workspace, image_ids: Sequence[str], source: str, split_group: str = "", split: str = "") -> None:
    """Record for images another place of `source`, with a split group and a split."""
    with Catalog.open(workspace) as catalog, catalog.transaction():
        for image_id in image_ids:
            url = f"https://{source}.example/{image_id}.png"
            candidate = catalog.candidates.add(Provenance(url, source, split_group=split_group, split=split), url)
            image = catalog.images.get(image_id)
            assert image is not None
            catalog.candidates.record(candidate.candidate_id, "accepted", image=image)


def test_images_of_one_source_group_share_a_split(workspace: Workspace, add_images: AddImages) -> None:
    """Each patient is in one split; equal names of two sources are two patients; the version can be rebuilt."""
    ids = add_images(workspace, ["cat", "dog"] * 60)
    patients = {("x", "a"): ids[:6], ("y", "a"): ids[6:12], ("x", "b"): ids[12:18], ("y", "b"): ids[18:24]}
    for (source, name), members in patients.items():
        add_place(workspace, members, source, name)
    manifest = freeze_version(workspace).manifest
    rows = {row.image_id: row for row in manifest.rows}
    for members in patients.values():
        assert len({rows[image_id].split for image_id in members}) == 1
    assert len({rows[members[0]].group for members in patients.values()}) == 4
    assert rebuild_version(workspace, "v001")


def test_places_recorded_after_a_version_do_not_change_it(workspace: Workspace, add_images: AddImages) -> None:
    """A group that a source states later applies to the next version and leaves the rebuilt one as it was."""
    ids = add_images(workspace, ["cat", "dog"] * 60)
    freeze_version(workspace)
    add_place(workspace, ids[:12], "clinic", "patient 1")
    assert rebuild_version(workspace, "v001")
    later = freeze_version(workspace).manifest
    assert len({row.split for row in later.rows if row.image_id in ids[:12]}) == 1


def test_an_image_of_two_groups_connects_them(workspace: Workspace, add_images: AddImages) -> None:
    """Two videos that have an image in common are in one split."""
    ids = add_images(workspace, ["cat", "dog"] * 60)
    add_place(workspace, ids[:6], "films", "one")
    add_place(workspace, ids[5:12], "camera", "two")
    rows = {row.image_id: row for row in freeze_version(workspace).manifest.rows}
    assert len({rows[image_id].group for image_id in ids[:12]}) == 1


def test_snapshot_has_the_splits_that_sources_give(workspace: Workspace, add_images: AddImages) -> None:
    """Every split that some source gives for an image is listed; images without one are absent."""
    ids = add_images(workspace, ["cat", "dog"])
    add_place(workspace, ids[:1], "a", split="train")
    add_place(workspace, ids[:1], "b", split="test")
    with Catalog.open(workspace) as catalog:
        assert read_snapshot(catalog).source_splits == {ids[0]: frozenset({"train", "test"})}
