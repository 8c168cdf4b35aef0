"""`curate label-issues`: confident learning as in cleanlab, wrong labels first, groups in one fold, evidence from others."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fototeca.collect.catalog import Catalog, ImageRow
from fototeca.core.errors import FototecaError
from fototeca.core.settings import Task
from fototeca.core.workspace import Workspace
from fototeca.curate.label_issues import backbone
from fototeca.curate.label_issues.backbone import choose_backbone
from fototeca.curate.label_issues.confident_learning import (
    FOLDS,
    Integers,
    assign_folds,
    confident_thresholds,
    find_confident_classes,
    score_labels,
)
from fototeca.curate.label_issues.find import LabelIssue, find_label_issues, rank_label_issues, robust_score
from fototeca.curate.labels.decisions import label_images
from fototeca.curate.review.queues import SUGGESTED, items_in_queue, list_review_items
from fototeca.vision.backbones import build_model
from fototeca.vision.weights import cached_path, weight_members


def draw(seed: int, count: int = 300, classes: int = 5) -> tuple[Integers, np.ndarray]:
    """Labels and probabilities that often, not always, agree."""
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, count - classes)])
    scores = rng.normal(size=(count, classes)) + 2.5 * np.eye(classes)[labels] * (rng.random(count) > 0.2)[:, None]
    return labels, np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)


@pytest.mark.parametrize("seed", range(5))
def test_it_is_cleanlabs_confident_learning(seed: int) -> None:
    """The same thresholds, the same off-diagonals of the confident joint, the same self-confidence."""
    with warnings.catch_warnings(action="ignore"):
        from cleanlab.count import get_confident_thresholds
        from cleanlab.filter import find_label_issues as find_cleanlab_issues
        from cleanlab.rank import get_label_quality_scores

    labels, probabilities = draw(seed)
    assert confident_thresholds(labels, probabilities) == pytest.approx(get_confident_thresholds(labels, probabilities))
    theirs = find_cleanlab_issues(labels, probabilities, filter_by="confident_learning", min_examples_per_class=0, n_jobs=1)
    assert np.array_equal(find_confident_classes(labels, probabilities) != labels, theirs)
    assert score_labels(labels, probabilities).quality == pytest.approx(get_label_quality_scores(labels, probabilities))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 30)), min_size=1, max_size=120))
def test_folds_split_no_group(drawn: list[tuple[str, int]]) -> None:
    """Whatever the groups: each is in one fold."""
    groups = [str(group) for _, group in drawn]
    folds = assign_folds([label for label, _ in drawn], groups)
    assert len(set(zip(groups, folds.tolist(), strict=True))) == len(set(groups))
    assert set(folds.tolist()) <= set(range(FOLDS))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 30)), min_size=1, max_size=120))
def test_every_label_is_spread_over_the_folds(drawn: list[tuple[str, int]]) -> None:
    """No fold has more images of a label than another by more than the largest of its groups."""
    labels, groups = [label for label, _ in drawn], [f"{label}{number}" for label, number in drawn]
    folds = assign_folds(labels, groups)
    for label in set(labels):
        counts = np.bincount([fold for fold, other in zip(folds, labels, strict=True) if other == label], minlength=FOLDS)
        assert max(counts) - min(counts) <= max(Counter(group for group in groups if group[0] == label).values())


def clusters(seed: int, count: int, classes: int) -> tuple[np.ndarray, Integers]:
    """Features that can be told apart, and their classes."""
    rng = np.random.default_rng(seed)
    truth = np.arange(count) % classes
    return (rng.normal(size=(count, 8)) + 4 * rng.normal(size=(classes, 8))[truth]).astype(np.float32), truth


def rows(labels: list[str]) -> list[ImageRow]:
    """Images of which nothing but the label matters."""
    return [ImageRow(f"{number:064x}", "", "PNG", 1, 1, "RGB", 1, "", label=label) for number, label in enumerate(labels)]


def test_wrong_labels_come_first() -> None:
    """Planted errors lead the list with the right label; the evidence is of other groups."""
    features, truth = clusters(0, 240, 3)
    names = ["a", "b", "c"]
    labels = [names[number] for number in truth]
    wrong = set(range(0, 36, 3))
    for number in wrong:
        labels[number] = names[(truth[number] + 1) % 3]
    images = rows(labels)
    groups = [f"{number // 2}" for number in range(len(images))]
    found = rank_label_issues(images, groups, features, names, "single")
    first = found[: len(wrong)]
    assert {int(row.image_id, 16) for row in first} == wrong
    assert all(row.kind == "label-error" and row.suggested == names[truth[int(row.image_id, 16)]] for row in first)
    assert all(groups[int(other, 16)] != groups[int(row.image_id, 16)] for row in found for other in row.neighbours)


@pytest.mark.parametrize("task", ["single", "multi"])
def test_a_category_of_one_group_is_not_called_wrong(task: Task) -> None:
    """All copies of one image are judged together, by models that know no other of its category and can say nothing of it."""
    features, truth = clusters(3, 240, 3)
    labels = ["abc"[number] for number in truth]
    groups = ["copies" if label == "c" else str(number) for number, label in enumerate(labels)]
    found = rank_label_issues(rows(labels), groups, features, ["a", "b", "c"], task)
    assert not [row for row in found if row.kind == "label-error" and row.label == "c" and "c" not in row.suggested]


def test_what_is_far_from_all_and_what_lies_between() -> None:
    """An image like no other is an outlier; one half-way between two categories is near a boundary; the strangest come first."""
    rng = np.random.default_rng(0)
    axes = 10 * np.eye(16)
    truth = np.arange(200) % 2
    features = axes[15] + axes[truth] + rng.normal(scale=2, size=(200, 16))
    features[0] = axes[7] + 0.02 * features[0]
    features[2] = axes[6] + 0.3 * features[2]
    features[4] = axes[15] + (axes[0] + axes[1]) / 2
    labels = ["ab"[number] for number in truth]
    found = rank_label_issues(
        rows(labels), [str(number) for number in range(200)], features.astype(np.float32), ["a", "b"], "single"
    )
    told = [(row.kind, int(row.image_id, 16)) for row in found]
    assert [number for kind, number in told if kind == "outlier"][:2] == [0, 2]
    assert ("boundary", 4) in told
    assert len(told) <= 10, "a twentieth of a clean set is asked about"


def test_a_score_where_most_values_are_equal() -> None:
    """Deviations from the median in standard deviations; equal distances make no crowd of outliers, all equal ones none."""
    normal = np.random.default_rng(0).normal(5, 2, 10_000)
    assert robust_score(normal).std() == pytest.approx(1, abs=0.03)
    assert robust_score(np.array([1.0, 1, 1, 1, 1, 1.01, 9]))[4:].round(1).tolist() == [0.0, 0.0, 5.6]
    assert robust_score(np.ones(5)).tolist() == [0] * 5


def test_several_labels() -> None:
    """A label too many and one too few are both found, each with the set that is right."""
    features, truth = clusters(1, 240, 4)
    sets = ["", "a", "b", "a|b"]
    labels = [sets[number] for number in truth]
    labels[3], labels[1] = "b", "a|b"
    groups = [str(number) for number in range(240)]
    found = {int(row.image_id, 16): row for row in rank_label_issues(rows(labels), groups, features, ["a", "b"], "multi")}
    assert (found[3].kind, found[3].suggested) == ("label-error", "a|b")
    assert (found[1].kind, found[1].suggested) == ("label-error", "a")


def test_a_broken_file_is_passed_over(
    workspace: Workspace, add_images: Callable[..., list[str]], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """One image that cannot be read is told, and all others are ranked, with their features kept."""
    ids = add_images(workspace, ["cat"] * 12 + ["dog"] * 12)
    next(workspace.images.glob(f"*/{ids[3]}.png")).write_bytes(b"broken")
    torch.save(build_model("squeezenet1_1", 1000)[0].state_dict(), tmp_path / "weights.pth")
    found = find_label_issues(workspace, model="squeezenet1_1", weights=str(tmp_path / "weights.pth"))
    assert f"skipped: image {ids[3][:12]} cannot be decoded" in capfd.readouterr().err
    assert all(ids[3] not in (row.image_id, *row.neighbours) for row in found)
    with Catalog.open(workspace) as catalog:
        assert catalog.database.connection.execute("SELECT count(*) FROM label_issues").fetchone()[0] == len(found)


def test_what_a_person_decides_while_it_runs_leaves_the_queue(
    workspace: Workspace, add_images: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run may take minutes, and somebody may review beside it."""
    ids = add_images(workspace, ["cat"] * 12 + ["dog"] * 12)
    torch.save(build_model("squeezenet1_1", 1000)[0].state_dict(), tmp_path / "weights.pth")

    def slow(*_: object) -> list[LabelIssue]:
        label_images(workspace, ids[:1], "cat")
        return [LabelIssue(one, "label-error", "cat", "dog", 0.9, ()) for one in ids[:2]]

    monkeypatch.setattr("fototeca.curate.label_issues.find.rank_label_issues", slow)
    find_label_issues(workspace, model="squeezenet1_1", weights=str(tmp_path / "weights.pth"))
    with Catalog.open(workspace) as catalog:
        suspected = [
            item.image.image_id for item in items_in_queue(list_review_items(catalog, workspace.settings.names, {}), SUGGESTED)
        ]
    assert suspected == [ids[1]]


def test_which_backbone_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The best whose weights are on disk, else a small one that is fetched; a file names its model, and either can be given."""
    asked: list[tuple[str, str]] = []
    monkeypatch.setattr(backbone, "load_backbone", lambda *what: asked.append(what))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    files = [cached_path(weight_members(name)[0]) for name in ("squeezenet1_0", "resnet50")]
    assert all(path.is_relative_to(tmp_path) for path in files)
    files[0].parent.mkdir(parents=True)
    for path in (None, *files):
        if path:
            path.touch()
        choose_backbone(None, None)
    choose_backbone(None, "/far/resnet18-f37072fd.pth")
    choose_backbone("vgg11", None)
    assert asked == [
        ("mobilenet_v3_small", "DEFAULT"),
        ("squeezenet1_0", "IMAGENET1K_V1"),
        ("resnet50", "IMAGENET1K_V1"),
        ("resnet18", "/far/resnet18-f37072fd.pth"),
        ("vgg11", "DEFAULT"),
    ]
    with pytest.raises(FototecaError, match="cannot tell the model"):
        choose_backbone(None, "/far/mine.pth")
