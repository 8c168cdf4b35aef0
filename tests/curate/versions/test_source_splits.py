"""Tests for the splits that came with a source, and for categories that a version leaves out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fototeca.collect.catalog import ImageRow
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace, create_workspace
from fototeca.curate.manifest import SPLITS, Manifest, SplitName, read_manifest
from fototeca.curate.versions import split_optimizer
from fototeca.curate.versions.freeze import freeze_version
from fototeca.curate.versions.freeze_result import freeze_table
from fototeca.curate.versions.rebuild import rebuild_version
from fototeca.curate.versions.source_splits import resolve_source_splits
from fototeca.curate.versions.splits import PRECEDENCE, assign_splits, make_split_group
from fototeca.curate.versions.verify import verify_version
from tests.curate.versions.test_source_groups import add_place

AddImages = Callable[..., list[str]]
GroupImages = Callable[..., None]


def splits_of(manifest: Manifest) -> dict[str, str]:
    """Return the split of each image by id."""
    return {row.image_id: row.split for row in manifest.rows}


def give_splits(workspace: Workspace, image_ids: list[str], train: int, val: int, test: int) -> dict[str, str]:
    """Record splits for the first images in turn; return the split of each."""
    names = ["train"] * train + ["val"] * val + ["test"] * test
    for split in SPLITS:
        members = [image_id for image_id, name in zip(image_ids, names, strict=False) if name == split]
        add_place(workspace, members, "hub", split=split)
    return dict(zip(image_ids, names, strict=False))


def test_splits_of_a_source_are_kept_and_others_are_assigned(workspace: Workspace, add_images: AddImages) -> None:
    """Every image with a source split has it; the version records which; rebuilding and verifying it succeed."""
    cats = add_images(workspace, ["cat"] * 30)
    dogs = add_images(workspace, ["dog"] * 30, start=100)
    wanted = give_splits(workspace, cats, 20, 4, 6)
    result = freeze_version(workspace)
    splits = splits_of(result.manifest)
    assert {image_id: splits[image_id] for image_id in cats} == wanted
    assert Counter(splits[image_id] for image_id in dogs) == {"train": 21, "val": 3, "test": 6}
    document = json.loads((workspace.manifests / "v001.json").read_text())
    digits = dict(zip(sorted(splits), document["source_splits"], strict=True))
    assert {image_id: digits[image_id] for image_id in cats} == {key: str(SPLITS.index(wanted[key])) for key in cats}
    assert {digits[image_id] for image_id in dogs} == {"-"}
    assert "splits of the sources kept: 20 train, 4 val, 6 test images" in freeze_table(result)
    assert rebuild_version(workspace, "v001")
    assert verify_version(workspace, "v001").ok


def test_leaking_group_goes_to_test_and_is_listed(workspace: Workspace, add_images: AddImages, group_images: GroupImages) -> None:
    """A train image and its near-copy in test, set aside or not, are in test."""
    ids = add_images(workspace, ["cat", "dog"] * 20)
    wanted = give_splits(workspace, ids, 24, 8, 8)
    group_images(workspace, [[ids[0], ids[-1]], [ids[1], ids[25]]], keep_near=True)
    result = freeze_version(workspace)
    splits = splits_of(result.manifest)
    assert splits[ids[0]] == splits[ids[-1]] == "test"
    assert splits[ids[1]] == splits[ids[25]] == "val"
    others = set(ids) - {ids[0], ids[1]}
    assert {key: splits[key] for key in others} == {key: wanted[key] for key in others}
    leaks = {leak["group"]: leak for leak in read_manifest(workspace, "v001").leaks}
    assert leaks[ids[0]] == {
        "group": ids[0],
        "splits": ["train", "test"],
        "split": "test",
        "frozen": False,
        "image_ids": sorted([ids[0], ids[-1]]),
    }
    assert leaks.keys() == {ids[0], ids[1]}
    line = next(line for line in freeze_table(result).splitlines() if line.startswith("leaks: 2 groups are in several splits"))
    assert "(test wins over val over train)" in line
    assert "0.png" in line
    assert "39.png" in line
    assert "(train+test -> test)" in line
    assert rebuild_version(workspace, "v001")


def test_image_set_aside_still_makes_a_leak(workspace: Workspace, add_images: AddImages, group_images: GroupImages) -> None:
    """The copy in test is not in the version, but the train image that is kept may not be trained on."""
    ids = add_images(workspace, ["cat", "dog"] * 20)
    give_splits(workspace, ids, 24, 8, 8)
    group_images(workspace, [[ids[0], ids[-1]]])
    assert splits_of(freeze_version(workspace).manifest)[ids[0]] == "test"


def test_frozen_split_wins_and_the_conflict_is_listed(
    workspace: Workspace, add_images: AddImages, group_images: GroupImages
) -> None:
    """A new test image that is a near-copy of a frozen train image stays in train with it."""
    old = add_images(workspace, ["cat", "dog"] * 20)
    before = splits_of(freeze_version(workspace).manifest)
    new = add_images(workspace, ["cat", "dog"] * 4, start=100)
    trained = next(image_id for image_id in old if before[image_id] == "train")
    group_images(workspace, [[trained, new[0]]], keep_near=True)
    add_place(workspace, new, "hub", split="test")
    add_place(workspace, old[:4], "hub", split="val")
    result = freeze_version(workspace)
    after = splits_of(result.manifest)
    assert {image_id: after[image_id] for image_id in old} == before
    assert after[new[0]] == "train"
    assert {after[image_id] for image_id in new[1:]} == {"test"}
    assert [(leak["group"], leak["split"], leak["frozen"]) for leak in result.manifest.leaks] == [(trained, "train", True)]
    assert "so the frozen split stays" in freeze_table(result)
    assert rebuild_version(workspace, "v002")


def test_sources_that_disagree(workspace: Workspace, add_images: AddImages) -> None:
    """Test wins over val, val over train."""
    ids = add_images(workspace, ["cat", "dog"] * 20)
    give_splits(workspace, ids, 24, 8, 8)
    add_place(workspace, ids[:1], "other", split="test")
    add_place(workspace, ids[1:2], "other", split="val")
    add_place(workspace, ids[-1:], "other", split="train")
    splits = splits_of(freeze_version(workspace).manifest)
    assert (splits[ids[0]], splits[ids[1]], splits[ids[-1]]) == ("test", "val", "test")


def test_missing_val_is_taken_from_train(workspace: Workspace, add_images: AddImages) -> None:
    """A source with train and test only: no test image moves, val comes from train, a line says so."""
    ids = add_images(workspace, ["cat", "dog"] * 50)
    wanted = give_splits(workspace, ids, 80, 0, 20)
    result = freeze_version(workspace)
    splits = splits_of(result.manifest)
    assert {key for key, split in splits.items() if split == "test"} == {key for key in ids if wanted[key] == "test"}
    assert result.manifest.label_counts() == {name: {"train": 35, "val": 5, "test": 10} for name in ("cat", "dog")}
    assert "the sources give no val images of cat, dog: they are taken from train" in freeze_table(result)
    assert rebuild_version(workspace, "v001")


def test_val_that_leaks_into_test_is_taken_from_train(
    workspace: Workspace, add_images: AddImages, group_images: GroupImages
) -> None:
    """Where every val image is a near-copy of a test image, none would be left."""
    ids = add_images(workspace, ["cat", "dog"] * 50)
    give_splits(workspace, ids, 76, 4, 20)
    group_images(workspace, [[ids[76 + number], ids[80 + number]] for number in range(4)], keep_near=True)
    result = freeze_version(workspace)
    assert all(4 <= counts["val"] <= 6 for counts in result.manifest.label_counts().values())
    assert {splits_of(result.manifest)[image_id] for image_id in ids[76:]} == {"test"}
    assert rebuild_version(workspace, "v001")


def test_missing_val_in_a_multi_label_task(tmp_path_factory: pytest.TempPathFactory, add_images: AddImages) -> None:
    """Images with several labels too: test stays test and val gets images of every category."""
    workspace = create_workspace(tmp_path_factory.mktemp("multi") / "w", ["cat", "dog", "fox"], task="multi")
    ids = add_images(workspace, ["cat", "cat|dog", "dog", "dog|fox", "fox"] * 16)
    wanted = give_splits(workspace, ids, 64, 0, 16)
    manifest = freeze_version(workspace).manifest
    splits = splits_of(manifest)
    assert {key for key, split in splits.items() if split == "test"} == {key for key in ids if wanted[key] == "test"}
    assert all(counts["val"] for counts in manifest.label_counts().values())


def test_category_with_too_few_images_can_be_left_out(workspace: Workspace, add_images: AddImages) -> None:
    """The error gives the command; the version lacks the category and can be rebuilt; more images bring it back."""
    ids = add_images(workspace, ["dog"] * 20 + ["cat"] * 2)
    with pytest.raises(FototecaError, match="too few accepted images to split: cat has 2") as refused:
        freeze_version(workspace)
    assert "fototeca curate freeze --leave-out cat" in refused.value.hint
    result = freeze_version(workspace, leave_out=["cat"])
    assert result.manifest.categories == ("dog",)
    assert splits_of(result.manifest).keys() == set(ids[:20])
    assert result.unlabeled == 0
    assert "left out: cat: 2 images" in freeze_table(result)
    assert not freeze_version(workspace, leave_out=["cat"]).new
    assert rebuild_version(workspace, "v001")
    assert verify_version(workspace, "v001").ok
    add_images(workspace, ["cat"] * 10, start=200)
    assert freeze_version(workspace).manifest.categories == ("cat", "dog")
    assert rebuild_version(workspace, "v001")


def test_left_out_label_of_a_multi_label_image(tmp_path_factory: pytest.TempPathFactory, add_images: AddImages) -> None:
    """The image stays with its other labels."""
    workspace = create_workspace(tmp_path_factory.mktemp("multi") / "w", ["cat", "dog"], task="multi")
    ids = add_images(workspace, ["dog"] * 20 + ["cat|dog"] * 2)
    rows = {row.image_id: row for row in freeze_version(workspace, leave_out=["cat"]).manifest.rows}
    assert {rows[image_id].label for image_id in ids} == {"dog"}
    assert rebuild_version(workspace, "v001")


def test_command_of_the_error_repeats_what_is_left_out(tmp_path_factory: pytest.TempPathFactory, add_images: AddImages) -> None:
    """So that it can be pasted."""
    workspace = create_workspace(tmp_path_factory.mktemp("three") / "w", ["cat", "dog", "red fox"])
    add_images(workspace, ["dog"] * 20 + ["red fox"])
    with pytest.raises(FototecaError) as refused:
        freeze_version(workspace, leave_out=["cat"])
    assert "fototeca curate freeze --leave-out cat --leave-out 'red fox'" in refused.value.hint


def test_leave_out_refuses_unknown_and_all_categories(workspace: Workspace, add_images: AddImages) -> None:
    """A name that is no category, or no category left."""
    add_images(workspace, ["cat", "dog"] * 5)
    with pytest.raises(FototecaError, match="bird"):
        freeze_version(workspace, leave_out=["bird"])
    with pytest.raises(FototecaError, match="every category is left out"):
        freeze_version(workspace, leave_out=["cat", "dog"])


SPLIT_NAMES = st.sampled_from(SPLITS)


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abcdefgh"),  # group
            st.sampled_from(["cat", "dog"]),
            st.frozensets(SPLIT_NAMES, max_size=2),  # given by sources
            st.none() | SPLIT_NAMES,  # frozen before
        ),
        max_size=40,
    ),
    st.integers(0, 3),
)
def test_no_group_crosses_splits_and_test_loses_nothing_to_train(
    rows: list[tuple[str, str, frozenset[str], SplitName | None]], seed: int
) -> None:
    """Whatever sources and versions say: one split per group, frozen splits stay, test images never frozen are in test."""
    images = [ImageRow(f"{number:064}", "", "PNG", 9, 9, "RGB", 9, "0", label=row[1]) for number, row in enumerate(rows)]
    group_of = {image.image_id: row[0] for image, row in zip(images, rows, strict=True)}
    splits = {image.image_id: row[2] for image, row in zip(images, rows, strict=True) if row[2]}
    frozen_images = {image.image_id for image, row in zip(images, rows, strict=True) if row[3]}
    frozen = {
        group: next(split for split in PRECEDENCE if split in {row[3] for row in rows if row[0] == group})
        for group in {row[0] for row in rows if row[3]}
    }
    result = resolve_source_splits(images, splits, group_of, frozen_images, frozen)
    names = {row[0] for row in rows}
    groups = []
    for name in sorted(names):
        labels = [[row[1]] for row in rows if row[0] == name]
        groups.append(make_split_group(name, labels, frozen.get(name), result.allowed(name, {label[0] for label in labels})))
    assigned = assign_splits(groups, (0.7, 0.1, 0.2), seed)
    assert assigned.keys() == names
    for name in names:
        given_here = {split for row in rows if row[0] == name for split in row[2]}
        if name in frozen:
            assert assigned[name] == frozen[name]
        elif "test" in given_here:
            assert assigned[name] == "test"
        elif "val" in given_here:
            assert assigned[name] == "val"
        leaked = [leak for leak in result.leaks if leak["group"] == name]
        assert len(leaked) <= 1
        if len(given_here) > 1:
            assert leaked[0]["splits"] == [split for split in SPLITS if split in given_here]


@pytest.mark.parametrize("max_kinds", [0, 100], ids=["tabu-search", "exact"])
@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(
            st.lists(st.sampled_from("abcd"), min_size=1, max_size=3, unique=True),
            st.lists(SPLIT_NAMES, min_size=1, max_size=3, unique=True),
        ),
        max_size=25,
    )
)
def test_groups_go_only_where_they_are_allowed(max_kinds: int, rows: list[tuple[list[str], list[SplitName]]]) -> None:
    """By stratification, by the exact optimizer and by the search."""
    groups = [
        make_split_group(str(number), [labels], allowed=tuple(split for split in SPLITS if split in allowed))
        for number, (labels, allowed) in enumerate(rows)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(split_optimizer, "MAX_KINDS", max_kinds)
        patch.setattr(split_optimizer, "PATIENCE", 50)
        assigned = assign_splits(groups, (0.7, 0.1, 0.2), 0)
    assert all(assigned[group.group_id] in group.allowed for group in groups)
