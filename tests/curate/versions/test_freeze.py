"""Tests for freezing: contents, splits, rejected configurations and rebuilding."""

from __future__ import annotations

import errno
import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fototeca.collect.catalog import Actor, Catalog, Edit, ImageRow, Provenance
from fototeca.core.errors import FototecaError
from fototeca.core.settings import Task
from fototeca.core.workspace import Workspace, create_workspace
from fototeca.curate.labels.decisions import label_images, reject_images
from fototeca.curate.manifest import Manifest, list_versions, read_manifest
from fototeca.curate.review.apart import restore_images
from fototeca.curate.review.rename import rename_category
from fototeca.curate.review.undo import undo_decisions
from fototeca.curate.versions.freeze import freeze_version
from fototeca.curate.versions.ratios import read_ratios
from fototeca.curate.versions.rebuild import rebuild_version
from tests.curate.conftest import file_size_limit

AddImages = Callable[..., list[str]]
GroupImages = Callable[..., None]


def splits_by_image(manifest: Manifest) -> dict[str, str]:
    """Return the split of each image by id."""
    return {row.image_id: row.split for row in manifest.rows}


def test_manifest_has_accepted_images_with_provenance(
    workspace: Workspace, add_images: AddImages, group_images: GroupImages
) -> None:
    """Rejected and set-aside images are excluded; rows have source, author, license and review state."""
    ids = add_images(workspace, ["cat"] * 20 + ["dog"] * 20)
    reject_images(workspace, [ids[0]], "blurry")
    label_images(workspace, [ids[1]], "dog")
    group_images(workspace, [ids[2:4]])
    frozen = freeze_version(workspace)
    rows = {row.image_id: row for row in frozen.manifest.rows}
    assert set(rows) == set(ids) - {ids[0], ids[3]}
    assert (rows[ids[1]].label, rows[ids[1]].reviewed, rows[ids[5]].reviewed) == ("dog", True, False)
    assert (rows[ids[2]].group, rows[ids[5]].group) == (ids[2], ids[5])
    assert (rows[ids[5]].author, rows[ids[5]].license, rows[ids[5]].source) == ("author A", "CC-BY-4.0", "site")
    result = frozen.to_json()
    assert result["path"] == "manifests/v001.csv"
    assert (result["version"], result["rows"], sum(result["splits"].values())) == ("v001", 38, 38)


def test_split_sizes_follow_the_ratios(workspace: Workspace, add_images: AddImages) -> None:
    """100 images per category are split exactly 70/10/20, and other ratios are exact too."""
    add_images(workspace, ["cat"] * 100 + ["dog"] * 100)
    counts = freeze_version(workspace).manifest.label_counts()
    assert counts == {name: {"train": 70, "val": 10, "test": 20} for name in ("cat", "dog")}
    other = create_workspace(workspace.root.parent / "other", ["cat", "dog"])
    add_images(other, ["cat"] * 100 + ["dog"] * 100)
    assert freeze_version(other, ratios="60/20/20").manifest.split_counts() == {"train": 120, "val": 40, "test": 40}


def test_unchanged_dataset_is_not_frozen_again(
    workspace: Workspace, add_images: AddImages, capfd: pytest.CaptureFixture[str]
) -> None:
    """Freeze returns the last version if nothing changed, and warns if another seed or ratio has no effect."""
    ids = add_images(workspace, ["cat"] * 20 + ["dog"] * 20)
    assert freeze_version(workspace).new
    again = freeze_version(workspace)
    assert (again.new, again.manifest.version, list_versions(workspace)) == (False, "v001", ["v001"])
    assert "another seed" not in (stderr := capfd.readouterr().err)
    assert "nothing has changed since v001" in stderr
    for options in ({"seed": 7}, {"ratios": "60/20/20"}):
        assert not freeze_version(workspace, **options).new
        assert "another seed or other ratios apply to new images only" in capfd.readouterr().err
    label_images(workspace, [ids[0]], "cat")
    assert freeze_version(workspace).manifest.version == "v002"


def test_decision_file_has_decisions_since_the_parent(workspace: Workspace, add_images: AddImages) -> None:
    """Each decision is in exactly one version's file, even if its time is before the parent's."""
    ids = add_images(workspace, ["cat"] * 20 + ["dog"] * 20)
    freeze_version(workspace)
    with Catalog.open(workspace) as catalog:
        catalog.decisions.add(
            ids[0], Edit.relabel("dog"), by=Actor.person("ana"), reason="seen", time="2020-01-01T00:00:00.000000+00:00"
        )
    freeze_version(workspace)
    lines = (workspace.manifests / "v002.decisions.csv").read_text().splitlines()
    assert lines[1:] == [f"{ids[0]},2020-01-01T00:00:00.000000+00:00,label,person,ana,cat,,dog,,seen,,"]
    assert len((workspace.manifests / "v001.decisions.csv").read_text().splitlines()) == 41


def test_near_duplicates_and_copies_of_one_original_share_a_split(
    workspace: Workspace, add_images: AddImages, group_images: GroupImages
) -> None:
    """Groups with several accepted images, and images of one original, are never divided between splits."""
    ids = add_images(workspace, ["cat"] * 60 + ["dog"] * 60)
    groups = [ids[number : number + 3] for number in range(0, 30, 3)]
    group_images(workspace, groups, keep_near=True)
    with Catalog.open(workspace) as catalog:
        catalog.database.connection.execute(
            "UPDATE provenance SET original = 'photo' || (provenance_id / 2) WHERE candidate_id IN"
            " (SELECT candidate_id FROM candidates WHERE image_id IN (SELECT image_id FROM images WHERE label = 'dog'))"
        )
    manifest = freeze_version(workspace).manifest
    splits = splits_by_image(manifest)
    assert all(len({splits[image_id] for image_id in group}) == 1 for group in groups)
    by_group = defaultdict(set)
    for row in manifest.rows:
        by_group[row.group].add(row.split)
    assert len(manifest.rows) == 120
    assert len(by_group) < 120 - 20 - 25
    assert all(len(group_splits) == 1 for group_splits in by_group.values())


def test_replacement_copy_inherits_the_split(workspace: Workspace, add_images: AddImages, group_images: GroupImages) -> None:
    """A copy that replaces a test image stays in test, although its id is not in an earlier version."""
    ids = add_images(workspace, ["cat"] * 50 + ["dog"] * 50)
    test_ids = [row.image_id for row in freeze_version(workspace).manifest.split("test")]
    copies = add_images(workspace, ["cat"] * len(test_ids), start=100)
    group_images(workspace, list(zip(copies, test_ids, strict=True)))
    splits = splits_by_image(freeze_version(workspace).manifest)
    assert {splits[copy] for copy in copies} == {"test"}
    assert not set(test_ids) & set(splits)
    assert ids


def test_merged_groups_move_to_test(workspace: Workspace, add_images: AddImages, group_images: GroupImages) -> None:
    """Only images of merged groups change their split, and each change is in the metadata."""
    add_images(workspace, ["cat"] * 50 + ["dog"] * 50)
    first = freeze_version(workspace).manifest
    train, test = first.split("train")[0].image_id, first.split("test")[0].image_id
    group_images(workspace, [[train, test]], keep_near=True)
    second = freeze_version(workspace).manifest
    assert {key: split for key, split in splits_by_image(second).items() if splits_by_image(first)[key] != split} == {
        train: "test"
    }
    assert second.moved == ({"image_id": train, "from": "train", "to": "test", "group": train},)


@pytest.mark.parametrize("task", ["single", "multi"])
@given(data=st.data())
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_leaks_or_moves_after_random_operations(
    tmp_path_factory: pytest.TempPathFactory, add_images: AddImages, group_images: GroupImages, task: Task, data: st.DataObject
) -> None:
    """After any operations, no group crosses splits, only images of merged groups move, and every version rebuilds."""
    workspace = create_workspace(tmp_path_factory.mktemp("w"), ["cat", "dog0"], task=task)
    ids: list[str] = []
    groups: list[list[str]] = []
    for number in range(data.draw(st.integers(1, 4), label="versions")):
        label_choices = ["cat", dog := f"dog{number}", *([f"cat|{dog}", ""] if task == "multi" else [])]
        labels = ["cat", dog] * 12 + data.draw(st.lists(st.sampled_from(label_choices), max_size=20), label="new")
        ids += add_images(workspace, labels, start=len(ids))
        new_ids, any_ids = ids[len(ids) - len(labels) :], st.lists(st.sampled_from(ids), max_size=3)
        groups.append(data.draw(st.lists(st.sampled_from(ids), min_size=2, max_size=4, unique=True), label="group"))
        used: set[str] = set()
        disjoint = [[x for x in group if not (x in used or used.add(x))] for group in groups]  # type: ignore[func-returns-value]
        group_images(workspace, [group for group in disjoint if len(group) > 1], keep_near=data.draw(st.booleans(), label="keep"))
        reject_images(workspace, data.draw(st.lists(st.sampled_from(new_ids), max_size=2), label="reject"), "bad")
        label_images(workspace, data.draw(any_ids, label="relabel"), data.draw(st.sampled_from(label_choices), label="word"))
        restorations = restore_images(workspace, data.draw(any_ids, label="restore"))
        if data.draw(st.booleans(), label="undo"):
            undo_decisions(workspace, [decision.decision_id for decision in restorations])
        freeze_version(workspace)
        config = workspace.root / "fototeca.toml"
        config.write_text(config.read_text().replace(f'"{dog}"', f'"dog{number + 1}"'))
        workspace = Workspace(workspace.root)
        rename_category(workspace, dog, f"dog{number + 1}")
    manifests = [read_manifest(workspace, name) for name in list_versions(workspace)]
    previous_splits: dict[str, str] = {}
    for manifest in manifests:
        by_group = defaultdict(set)
        for row in manifest.rows:
            by_group[row.group].add(row.split)
        assert all(len(splits) == 1 for splits in by_group.values())
        moved = {row["image_id"] for row in manifest.moved}
        assert all(
            previous_splits.get(image_id, split) == split or image_id in moved
            for image_id, split in splits_by_image(manifest).items()
        )
        previous_splits |= splits_by_image(manifest)
        assert rebuild_version(workspace, manifest.version)


def test_rebuild_is_byte_identical(
    workspace: Workspace, add_images: AddImages, group_images: GroupImages, tmp_path: Path
) -> None:
    """Later images, labels, restorations, groups and provenance do not change the rebuild of an earlier version."""
    ids = add_images(workspace, ["cat"] * 30 + ["dog"] * 30)
    group_images(workspace, [ids[0:4], ids[40:42]])
    reject_images(workspace, ids[10:12], "blurry")
    freeze_version(workspace)
    add_images(workspace, ["cat"] * 30, start=60)
    restore_images(workspace, ids[10:12])
    label_images(workspace, ids[20:25], "dog")
    group_images(workspace, [ids[3:6]], keep_near=True)
    with Catalog.open(workspace) as catalog:
        better = Provenance(
            "https://example.org/20.png", "museum", "cat", page_url="https://m.org/", author="Eva", license="CC0-1.0"
        )
        catalog.candidates.add(better, better.url)
    freeze_version(workspace)
    label_images(workspace, ids[:2], "dog")
    original = (workspace.manifests / "v001.csv").read_bytes()
    (workspace.manifests / "v001.csv").unlink()
    assert rebuild_version(workspace, "v001", workspace.manifests / "v001.csv")
    assert (workspace.manifests / "v001.csv").read_bytes() == original
    assert rebuild_version(workspace, "v002", tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_bytes() == (workspace.manifests / "v002.csv").read_bytes()


def test_too_few_images_are_rejected(workspace: Workspace, add_images: AddImages, group_images: GroupImages) -> None:
    """Freeze names a category with too few images or groups and writes nothing."""
    add_images(workspace, ["cat"] * 20)
    with pytest.raises(FototecaError, match="dog has 0"):
        freeze_version(workspace)
    ids = add_images(workspace, ["dog"] * 5, start=20)
    group_images(workspace, [ids], keep_near=True)
    with pytest.raises(FototecaError, match="dog has 5 in 1 group"):
        freeze_version(workspace)
    assert list(workspace.manifests.iterdir()) == []


def test_removed_category_is_rejected(workspace: Workspace, add_images: AddImages) -> None:
    """Images with a removed category prevent the freeze, and relabeling them allows it."""
    ids = add_images(workspace, ["cat"] * 20 + ["dog"] * 20)
    workspace.config.write_text(workspace.config.read_text().replace('[categories."dog"]', '[categories."fox"]'))
    changed_workspace = Workspace(workspace.root)
    with pytest.raises(FototecaError, match=r"20 carry 'dog'.*fix fototeca.toml") as error:
        freeze_version(changed_workspace)
    assert error.value.exit_code == 2
    label_images(changed_workspace, ids[20:], "fox")
    assert set(freeze_version(changed_workspace).manifest.label_counts()) == {"cat", "fox"}


def test_unlabeled_images_by_task(tmp_path: Path, add_images: AddImages) -> None:
    """Images without a label are excluded in single-label tasks and included as negatives in multi-label tasks."""
    for task, rows in (("single", 20), ("multi", 25)):
        workspace = create_workspace(tmp_path / task, ["cat", "dog"], task=task)  # type: ignore[arg-type]
        ids = add_images(workspace, ["cat"] * 10 + ["dog"] * 10 + [""] * 5)
        if task == "multi":
            label_images(workspace, ids[:5], "dog|cat")
            label_images(workspace, ids[20:22], "")
        frozen = freeze_version(workspace)
        manifest = frozen.manifest
        assert (frozen.unlabeled, frozen.unreviewed_negatives) == ((0, 3) if task == "multi" else (5, 0))
        assert len(manifest.rows) == rows
        assert {row.labels for row in manifest.rows} >= ({("cat", "dog"), ()} if task == "multi" else {("cat",), ("dog",)})


def test_local_paths_are_not_in_the_manifest(workspace: Workspace, add_images: AddImages) -> None:
    """Local paths and file URLs are omitted, and author names are on one line."""
    add_images(workspace, ["cat"] * 10 + ["dog"] * 10)
    with Catalog.open(workspace) as catalog, catalog.transaction():
        sql = catalog.database.connection
        sql.execute("UPDATE candidates SET url = 'file:///home/ana/' || candidate_id WHERE candidate_id % 2")
        sql.execute("UPDATE candidates SET url = '/home/ana/' || candidate_id WHERE NOT candidate_id % 2")
        sql.execute("UPDATE provenance SET page_url = 'file:///home/ana', author = 'Ana' || char(10) || 'B'")
    manifest = freeze_version(workspace).manifest
    assert "/home/ana" not in manifest.path.read_text()
    assert {row.author for row in manifest.rows} == {"Ana B"}


@pytest.mark.parametrize("text", ["70/10", "80/20/10", "100/0/0", "a/b/c", "-10/50/60", "nan/10/20", "70/10/nan", ""])
def test_invalid_ratios(text: str) -> None:
    """Ratios that are not three percentages above 0 with sum 100 raise an error."""
    with pytest.raises(FototecaError, match="ratios"):
        read_ratios(text)


@pytest.mark.parametrize("size", [100, 20_000])
def test_full_disk_leaves_the_last_version_intact(workspace: Workspace, add_images: AddImages, size: int) -> None:
    """A full disk at any file gives an error with exit code 4 and changes no file; the next freeze succeeds."""
    add_images(workspace, ["cat"] * 30 + ["dog"] * 30)
    freeze_version(workspace)
    before = {path.name: path.read_bytes() for path in workspace.manifests.iterdir()}
    add_images(workspace, ["cat"] * 30, start=60)
    with file_size_limit(size), pytest.raises(FototecaError, match=r"could not be written|cannot be (written|opened)") as error:
        freeze_version(workspace)
    assert error.value.exit_code == 4
    assert {path.name: path.read_bytes() for path in workspace.manifests.iterdir()} == before
    assert freeze_version(workspace).manifest.version == "v002"
    assert json.loads((workspace.manifests / "v002.json").read_text())["parent"] == "v001"


def test_full_disk_at_the_last_file_removes_earlier_files(
    workspace: Workspace, add_images: AddImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files written before the failing one are removed."""

    rename = Path.replace

    def raise_disk_full(path: Path, target: Path) -> Path:
        if target.suffix == ".json":
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return rename(path, target)

    add_images(workspace, ["cat"] * 30 + ["dog"] * 30)
    monkeypatch.setattr(Path, "replace", raise_disk_full)
    with pytest.raises(FototecaError, match="No space left"):
        freeze_version(workspace)
    assert list(workspace.manifests.iterdir()) == []


def test_interrupted_freeze_is_repeated(workspace: Workspace, add_images: AddImages) -> None:
    """A CSV without its JSON, as left by a kill, is not a version and is overwritten."""
    add_images(workspace, ["cat"] * 10 + ["dog"] * 10)
    (workspace.manifests / "v001.csv").write_text("half")
    manifest = freeze_version(workspace).manifest
    assert read_manifest(workspace, "v001").rows == manifest.rows


def test_image_without_provenance_has_an_unknown_license(workspace: Workspace) -> None:
    """An image without provenance has the license `unknown` in the manifest."""
    with Catalog.open(workspace) as catalog, catalog.transaction():
        for number in range(20):
            image_id = f"{number:064x}"
            row = ImageRow(image_id, f"data/images/00/{image_id}.png", "PNG", 1, 1, "RGB", 1, "0" * 16)
            catalog.images.insert(row, "2020-01-01T00:00:00.000000+00:00")
            catalog.decisions.add(row.image_id, Edit.relabel(("cat", "dog")[number % 2]), by=Actor.source("x"))
    assert {row.license for row in freeze_version(workspace).manifest.rows} == {"unknown"}


def test_task_changed_to_single_is_rejected(tmp_path: Path, add_images: Callable[..., list[str]]) -> None:
    """Images with several labels prevent freezing a single-label version."""
    workspace = create_workspace(tmp_path / "w", ["cat", "dog"], task="multi")
    add_images(workspace, ["cat|dog"] * 10 + ["cat"] * 10 + ["dog"] * 10)
    workspace.config.write_text(workspace.config.read_text().replace('task = "multi"', 'task = "single"'))
    with pytest.raises(FototecaError, match=r"10 carry 'cat\|dog'; fix fototeca.toml \(categories, task\)"):
        freeze_version(Workspace(workspace.root))
