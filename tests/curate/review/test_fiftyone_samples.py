"""Tests for the samples, saved views and updates of the FiftyOne dataset."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fototeca.collect.catalog import Actor, Catalog, Edit, ReviewState
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace, create_workspace
from fototeca.curate.label_issues.find import LabelIssue, store_label_issues
from fototeca.curate.labels.decisions import label_images
from fototeca.curate.quality.checks import measure_quality
from fototeca.curate.quality.thresholds import QualityThresholds
from fototeca.curate.review.fiftyone_app import push_review
from fototeca.curate.review.results import ReviewResult

pytestmark = pytest.mark.xdist_group("fiftyone")
AddImages = Callable[..., list[str]]
FiftyOne = Any  # FiftyOne ships no types
Dataset = Any


@pytest.fixture
def datasets(fo: FiftyOne) -> Iterator[Callable[[Workspace], Dataset]]:
    """A function that pushes a workspace and returns its dataset, which is deleted at the end."""
    from fototeca.curate.review.fiftyone_app import push_review

    names: list[str] = []

    def push(workspace: Workspace) -> Dataset:
        names.append(push_review(workspace).dataset)
        dataset = fo.load_dataset(names[-1])
        dataset.reload()
        return dataset

    yield push
    for name in {name for name in names if fo.dataset_exists(name)}:
        fo.delete_dataset(name)


def test_label_issues_have_saved_views(
    workspace: Workspace, add_images: AddImages, datasets: Callable[[Workspace], Dataset]
) -> None:
    """Label errors, outliers and boundary images have views until a person decides."""
    ids = add_images(workspace, ["cat", "cat", "dog", "dog"])
    kinds = {"label-error": "dog", "outlier": "cat", "boundary": "cat"}
    rows = zip(ids, kinds.items(), ("cat", "cat", "dog"), (0.9, 0.5, 0.4), strict=False)
    store_label_issues(
        workspace, [LabelIssue(image_id, kind, label, guess, score, ()) for image_id, (kind, guess), label, score in rows], 0
    )  # type: ignore[arg-type]
    dataset = datasets(workspace)
    views = {name: dataset.load_saved_view(name).values("image_id") for name in dataset.list_saved_views()}
    assert [views[name] for name in ("4 suggested", "5 outliers", "6 near a boundary")] == [[ids[0]], [ids[1]], [ids[2]]]
    first = dataset.one({"image_id": ids[0]})
    assert (first.suggested, first.issue_score, first.is_representative, first.status) == ("dog", 0.9, True, "accepted")
    assert dataset.one({"image_id": ids[1]}).suggested is None
    assert sorted(dataset.values("file_name")) == ["0.png", "1.png", "2.png", "3.png"]
    with Catalog.open(workspace) as catalog:
        catalog.decisions.add(ids[0], Edit.relabel("cat"), by=Actor.person("ana"))
    dataset = datasets(workspace)
    assert len(dataset.load_saved_view("4 suggested")) == 0
    assert dataset.description == "1 of 4 images reviewed"


def test_thumbnails_are_recreated(workspace: Workspace, add_images: AddImages, datasets: Callable[[Workspace], Dataset]) -> None:
    """Thumbnails are recreated after the cache is cleared or the workspace is moved."""
    (image_id,) = add_images(workspace, ["cat"])
    datasets(workspace)
    shutil.rmtree(workspace.cache)
    moved = Workspace(workspace.root.rename(workspace.root.with_name("elsewhere")))
    sample = datasets(moved).one({"image_id": image_id})
    assert Path(sample.thumbnail_path).is_file() and Path(sample.filepath).is_file()
    assert Path(sample.thumbnail_path).is_relative_to(moved.cache)


def test_groups_quality_and_conflicts_are_shown(
    workspace: Workspace, add_images: AddImages, group_images: Callable[..., None], datasets: Callable[[Workspace], Dataset]
) -> None:
    """Samples and views show conflicts, duplicates and quality scores."""
    ids = add_images(workspace, ["cat", "dog", "dog"])
    group_images(workspace, [ids[:2]])
    measure_quality(workspace, QualityThresholds())
    dataset = datasets(workspace)
    assert set(dataset.load_saved_view("1 label conflicts").values("image_id")) == set(ids[:2])
    assert set(dataset.load_saved_view("7 near-duplicates").values("image_id")) == set(ids[:2])
    sample = dataset.one({"image_id": ids[1]})
    assert (sample.group, sample.is_representative, sample.other_categories, sample.status) == (
        ids[0],
        False,
        ["cat"],
        "duplicate",
    )
    assert set(dataset.load_saved_view("8 quality").values("image_id")) == set(ids), "single-color images"
    assert dataset.one({"image_id": ids[2]}).entropy == 0


def test_former_views_are_deleted(workspace: Workspace, add_images: AddImages, datasets: Callable[[Workspace], Dataset]) -> None:
    """Views of former queues and categories are deleted; the user's own views remain."""
    add_images(workspace, ["cat"])
    dataset = datasets(workspace)
    for name in ("3 suggested", "category fox", "my own"):
        dataset.save_view(name, dataset.limit(1))
    views = set(datasets(workspace).list_saved_views())
    assert "my own" in views and "4 suggested" in views and not views & {"3 suggested", "category fox"}


def test_changed_task_is_rejected(tmp_path: Path, add_images: AddImages, datasets: Callable[[Workspace], Dataset]) -> None:
    """Nothing is pushed if the labels or the dataset do not fit the task."""
    workspace = create_workspace(tmp_path / "changed", ["cat", "dog"], task="multi")
    ids = add_images(workspace, ["cat|dog", "cat"])
    datasets(workspace)
    workspace.config.write_text(workspace.config.read_text().replace('task = "multi"', 'task = "single"'))
    with pytest.raises(FototecaError, match="1 image has several labels"):
        push_review(Workspace(workspace.root))
    label_images(Workspace(workspace.root), ids[:1], "dog")
    with pytest.raises(FototecaError, match="the task has changed since fototeca-changed was made"):
        push_review(Workspace(workspace.root))


def test_categories_with_similar_names_have_views(
    tmp_path: Path, add_images: AddImages, datasets: Callable[[Workspace], Dataset]
) -> None:
    """Category names with symbols, capitals and other scripts have separate views."""
    workspace = create_workspace(tmp_path / "alike", ["C", "C#", "c", "猫", "犬"])
    add_images(workspace, ["C", "C#", "猫"])
    views = [name for name in datasets(workspace).list_saved_views() if name.startswith("category")]
    assert sorted(views) == ["category 01 C", "category 02 C#", "category 03 c", "category 04 猫", "category 05 犬"]


def test_multi_label_round_trip(
    tmp_path: Path, fo: FiftyOne, add_images: AddImages, datasets: Callable[[Workspace], Dataset]
) -> None:
    """All labels are pushed, and a label added in the App is applied."""
    from fototeca.curate.review.fiftyone_app import apply_review

    workspace = create_workspace(tmp_path / "m", ["cat", "dog"], task="multi", target=1)
    ids = add_images(workspace, ["cat|dog", "dog"])
    dataset = datasets(workspace)
    assert len(dataset.load_saved_view("1 label conflicts")) == 0
    assert [classification.label for classification in dataset.one({"image_id": ids[0]}).ground_truth.classifications] == [
        "cat",
        "dog",
    ]
    edited = dataset.one({"image_id": ids[1]})
    edited.ground_truth.classifications.append(fo.Classification(label="cat"))
    edited.save()
    assert apply_review(workspace) == ReviewResult(1)
    with Catalog.open(workspace) as catalog:
        image = catalog.images.get(ids[1])
    assert image is not None and (image.label, image.reviewed) == ("cat|dog", True)
    dataset.reload()
    assert dataset.description == "1 of 2 images reviewed"


def test_edit_during_apply_is_not_lost(
    fo: FiftyOne, workspace: Workspace, add_images: AddImages, datasets: Callable[[Workspace], Dataset]
) -> None:
    """A sample edited while edits are applied retains its edit for the next run."""
    from fototeca.curate.review.fiftyone_samples import read_samples, update_state

    ids = add_images(workspace, ["cat"])
    dataset = datasets(workspace)
    edited = dataset.one({"image_id": ids[0]})
    (before,) = read_samples(dataset, workspace)
    edited.ground_truth.label = "dog"
    edited.save()
    reviewed = ReviewState("cat", reviewed=True)
    update_state(fo, edited, before, reviewed, workspace)
    (row,) = read_samples(dataset, workspace)
    assert (row.edit.state, row.pushed) == (ReviewState("dog"), reviewed)
