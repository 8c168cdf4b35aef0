"""Tests for words, deleted samples and `apart` tags in the FiftyOne App."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fototeca.collect.catalog import Catalog, ImageRow
from fototeca.core.workspace import Workspace
from fototeca.curate.labels.apart import read_apart_partners
from fototeca.curate.labels.decisions import list_decisions

pytestmark = pytest.mark.xdist_group("fiftyone")
AddImages = Callable[..., list[str]]
Dataset = Any  # FiftyOne ships no types
Pushed = tuple[Workspace, list[str], Dataset]


@pytest.fixture
def pushed(fo: Any, workspace: Workspace, add_images: AddImages, group_images: Callable[..., None]) -> Iterator[Pushed]:  # noqa: ANN401
    """Eight images in FiftyOne, the last three of one group: the workspace, their ids, the dataset."""
    from fototeca.curate.review.fiftyone_app import push_review

    ids = add_images(workspace, ["cat"] * 8)
    group_images(workspace, [ids[5:]])
    result = push_review(workspace)
    yield workspace, ids, fo.load_dataset(result.dataset)
    fo.delete_dataset(result.dataset)


def change(
    dataset: Dataset, image_id: str, *, label: str = "cat", tags: tuple[str, ...] = (), label_tags: tuple[str, ...] = ()
) -> None:
    """Edit a sample as a person does in the App."""
    sample = dataset.one({"image_id": image_id})
    sample.reload()
    sample.ground_truth.label, sample.ground_truth.tags, sample.tags = label, list(label_tags), list(tags)
    sample.save()


def image(workspace: Workspace, image_id: str) -> ImageRow:
    """Return the image's row in the catalog."""
    with Catalog.open(workspace) as catalog:
        row = catalog.images.get(image_id)
    assert row
    return row


def test_words_in_every_place_become_decisions(pushed: Pushed) -> None:
    """Words as labels, label tags and tags in any case, and categories in another spelling, are applied once."""
    from fototeca.curate.review.fiftyone_app import apply_review

    workspace, ids, dataset = pushed
    change(dataset, ids[0], label="Reject:Blurry")
    change(dataset, ids[1], label_tags=("Reject",))
    change(dataset, ids[2], tags=("Delete",))
    change(dataset, ids[3], label=" DOGS ")
    change(dataset, ids[4], label="CAT")
    result = apply_review(workspace)
    assert (result.decisions, result.problems, result.conflicts) == (5, (), ())
    assert [image(workspace, image_id).rejected for image_id in ids[:3]] == ["blurry", "review", "deleted"]
    assert [image(workspace, image_id).label for image_id in ids[:5]] == ["cat", "cat", "cat", "dog", "cat"]
    assert image(workspace, ids[4]).reviewed
    sample = dataset.one({"image_id": ids[0]})
    sample.reload()
    assert (sample.ground_truth.label, sample.tags) == ("cat", ["reject:blurry", "reviewed"])
    assert apply_review(workspace).decisions == 0


def test_marks_that_are_not_understood_are_named_and_stay(pushed: Pushed) -> None:
    """Unknown tags are named with image and file; they stay in the App, and other edits of the sample are applied."""
    from fototeca.curate.review.fiftyone_app import apply_review, push_review

    workspace, ids, dataset = pushed
    change(dataset, ids[0], tags=("rejct",))
    change(dataset, ids[1], label="dog", tags=("todo",), label_tags=("unsure",))
    change(dataset, ids[2], tags=("reject", "restore"))
    for _ in range(2):
        result = apply_review(workspace)
        problems = {(problem.image_id, problem.file_name, problem.problem.split(";")[0]) for problem in result.problems}
        assert problems == {
            (ids[0], "0.png", "tag 'rejct' is not understood"),
            (ids[1], "1.png", "tag 'todo' is not understood"),
            (ids[1], "1.png", "tag 'unsure' is not understood"),
            (ids[2], "2.png", "reject and restore contradict each other"),
        }
    assert image(workspace, ids[1]).label == "dog" and not image(workspace, ids[2]).reviewed
    push_review(workspace)
    dataset.reload()
    sample = dataset.one({"image_id": ids[1]})
    sample.reload()
    assert (sample.tags, sample.ground_truth.tags) == (["reviewed", "todo"], ["unsure"])


def test_deleted_sample_rejects_its_image(pushed: Pushed) -> None:
    """A deletion is an edit: a push leaves it pending, apply rejects the image once, the next push shows it as rejected."""
    from fototeca.curate.review.fiftyone_app import apply_review, push_review

    workspace, ids, dataset = pushed
    dataset.delete_samples([dataset.one({"image_id": ids[0]}).id])
    assert push_review(workspace).pending == 1
    result = apply_review(workspace)
    assert (result.decisions, result.problems) == (1, ())
    assert image(workspace, ids[0]).rejected == "deleted"
    assert apply_review(workspace).decisions == 0
    assert push_review(workspace).added == 1
    dataset.reload()
    assert dataset.one({"image_id": ids[0]}).tags == ["reject:deleted", "reviewed"]


def test_emptied_dataset_rejects_nothing(pushed: Pushed) -> None:
    """If no sample is left, each image is named instead of being rejected, and the next push shows them again."""
    from fototeca.curate.review.fiftyone_app import apply_review, push_review

    workspace, ids, dataset = pushed
    dataset.clear()
    result = apply_review(workspace)
    assert (result.decisions, {problem.image_id for problem in result.problems}) == (0, set(ids))
    assert push_review(workspace).added == len(ids)
    assert apply_review(workspace).problems == ()


def test_apart_tags_are_pairs(pushed: Pushed) -> None:
    """Tagged images of a group are no copies of each other; the tag is removed, and without copies it is named."""
    from fototeca.curate.review.fiftyone_app import apply_review

    workspace, ids, dataset = pushed
    change(dataset, ids[0], tags=("apart",))
    change(dataset, ids[6], tags=("Apart",))
    change(dataset, ids[7], tags=("apart",))
    result = apply_review(workspace)
    assert [problem.image_id for problem in result.problems] == [ids[0]]
    with Catalog.open(workspace) as catalog:
        partners = read_apart_partners(catalog)
    assert partners == {ids[6]: frozenset({ids[7]}), ids[7]: frozenset({ids[6]})}
    assert [row.action for row in list_decisions(workspace, ids[6])] == ["label", "apart"]
    sample = dataset.one({"image_id": ids[6]})
    sample.reload()
    assert sample.tags == []


def test_restore_tag_declares_the_pair(pushed: Pushed) -> None:
    """Restoring in the App means the same as by command: no copy of the image that pushed it out."""
    from fototeca.curate.review.fiftyone_app import apply_review

    workspace, ids, dataset = pushed
    change(dataset, ids[6], tags=("Restore",))
    assert apply_review(workspace).decisions == 2
    with Catalog.open(workspace) as catalog:
        assert read_apart_partners(catalog)[ids[6]] == {ids[5]}
    assert image(workspace, ids[6]).status == "accepted"
    assert apply_review(workspace).decisions == 0
