"""Tests for `curate label-issues`: confident learning, group folds, ranking, neighbors and backbones."""

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
from fototeca.vision import weights
from fototeca.vision.backbones import build_model, load_backbone
from fototeca.vision.weights import cached_path, weight_members


def draw_labels_and_probabilities(seed: int, count: int = 300, classes: int = 5) -> tuple[Integers, np.ndarray]:
    """Return random labels, and probabilities that agree with most of them."""
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, count - classes)])
    scores = rng.normal(size=(count, classes)) + 2.5 * np.eye(classes)[labels] * (rng.random(count) > 0.2)[:, None]
    return labels, np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)


@pytest.mark.parametrize("seed", range(5))
def test_confident_learning_matches_cleanlab(seed: int) -> None:
    """Thresholds, off-diagonal entries of the confident joint and self-confidence equal cleanlab's."""
    with warnings.catch_warnings(action="ignore"):
        from cleanlab.count import get_confident_thresholds
        from cleanlab.filter import find_label_issues as find_cleanlab_issues
        from cleanlab.rank import get_label_quality_scores

    labels, probabilities = draw_labels_and_probabilities(seed)
    assert confident_thresholds(labels, probabilities) == pytest.approx(get_confident_thresholds(labels, probabilities))
    expected = find_cleanlab_issues(labels, probabilities, filter_by="confident_learning", min_examples_per_class=0, n_jobs=1)
    assert np.array_equal(find_confident_classes(labels, probabilities) != labels, expected)
    assert score_labels(labels, probabilities).quality == pytest.approx(get_label_quality_scores(labels, probabilities))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 30)), min_size=1, max_size=120))
def test_folds_keep_groups_together(drawn: list[tuple[str, int]]) -> None:
    """Every group is in exactly one fold."""
    groups = [str(group) for _, group in drawn]
    folds = assign_folds([label for label, _ in drawn], groups)
    assert len(set(zip(groups, folds.tolist(), strict=True))) == len(set(groups))
    assert set(folds.tolist()) <= set(range(FOLDS))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 30)), min_size=1, max_size=120))
def test_folds_are_stratified_by_label(drawn: list[tuple[str, int]]) -> None:
    """Counts of a label per fold differ by at most the size of its largest group."""
    labels, groups = [label for label, _ in drawn], [f"{label}{number}" for label, number in drawn]
    folds = assign_folds(labels, groups)
    for label in set(labels):
        counts = np.bincount([fold for fold, other in zip(folds, labels, strict=True) if other == label], minlength=FOLDS)
        assert max(counts) - min(counts) <= max(Counter(group for group in groups if group[0] == label).values())


def make_clusters(seed: int, count: int, classes: int) -> tuple[np.ndarray, Integers]:
    """Return separable features and their classes."""
    rng = np.random.default_rng(seed)
    truth = np.arange(count) % classes
    return (rng.normal(size=(count, 8)) + 4 * rng.normal(size=(classes, 8))[truth]).astype(np.float32), truth


def make_images(labels: list[str]) -> list[ImageRow]:
    """Return images with labels; their other fields are placeholders."""
    return [ImageRow(f"{number:064x}", "", "PNG", 1, 1, "RGB", 1, "", label=label) for number, label in enumerate(labels)]


def test_wrong_labels_come_first() -> None:
    """Planted label errors rank first with the correct suggestion, and neighbors come from other groups."""
    features, truth = make_clusters(0, 240, 3)
    names = ["a", "b", "c"]
    labels = [names[number] for number in truth]
    wrong = set(range(0, 36, 3))
    for number in wrong:
        labels[number] = names[(truth[number] + 1) % 3]
    images = make_images(labels)
    groups = [f"{number // 2}" for number in range(len(images))]
    issues = rank_label_issues(images, groups, features, names, "single")
    first = issues[: len(wrong)]
    assert {int(row.image_id, 16) for row in first} == wrong
    assert all(row.kind == "label-error" and row.suggested == names[truth[int(row.image_id, 16)]] for row in first)
    assert all(groups[int(other, 16)] != groups[int(row.image_id, 16)] for row in issues for other in row.neighbours)


@pytest.mark.parametrize("task", ["single", "multi"])
def test_category_with_one_group_has_no_label_errors(task: Task) -> None:
    """Images of a category with a single group are not label errors: no fold's model has seen the category."""
    features, truth = make_clusters(3, 240, 3)
    labels = ["abc"[number] for number in truth]
    groups = ["copies" if label == "c" else str(number) for number, label in enumerate(labels)]
    issues = rank_label_issues(make_images(labels), groups, features, ["a", "b", "c"], task)
    assert not [row for row in issues if row.kind == "label-error" and row.label == "c" and "c" not in row.suggested]


def test_outliers_and_boundary_images() -> None:
    """Distant images are outliers, the most distant first; an image between two categories is a boundary image."""
    rng = np.random.default_rng(0)
    directions = 10 * np.eye(16)
    truth = np.arange(200) % 2
    features = directions[15] + directions[truth] + rng.normal(scale=2, size=(200, 16))
    features[0] = directions[7] + 0.02 * features[0]
    features[2] = directions[6] + 0.3 * features[2]
    features[4] = directions[15] + (directions[0] + directions[1]) / 2
    labels = ["ab"[number] for number in truth]
    issues = rank_label_issues(
        make_images(labels), [str(number) for number in range(200)], features.astype(np.float32), ["a", "b"], "single"
    )
    kinds = [(row.kind, int(row.image_id, 16)) for row in issues]
    assert [number for kind, number in kinds if kind == "outlier"][:2] == [0, 2]
    assert ("boundary", 4) in kinds
    assert len(kinds) <= 10, "at most 5% of a clean set is listed"


def test_robust_score_with_mostly_equal_values() -> None:
    """Scores are standard deviations from the median; equal values score 0, also when all are equal."""
    normal = np.random.default_rng(0).normal(5, 2, 10_000)
    assert robust_score(normal).std() == pytest.approx(1, abs=0.03)
    assert robust_score(np.array([1.0, 1, 1, 1, 1, 1.01, 9]))[4:].round(1).tolist() == [0.0, 0.0, 5.6]
    assert robust_score(np.ones(5)).tolist() == [0] * 5


def test_multi_label_issues_suggest_the_label_set() -> None:
    """A missing and a superfluous label are found, each with the correct set of labels."""
    features, truth = make_clusters(1, 240, 4)
    label_sets = ["", "a", "b", "a|b"]
    labels = [label_sets[number] for number in truth]
    labels[3], labels[1] = "b", "a|b"
    groups = [str(number) for number in range(240)]
    issues = {int(row.image_id, 16): row for row in rank_label_issues(make_images(labels), groups, features, ["a", "b"], "multi")}
    assert (issues[3].kind, issues[3].suggested) == ("label-error", "a|b")
    assert (issues[1].kind, issues[1].suggested) == ("label-error", "a")


def test_undecodable_image_is_skipped(
    workspace: Workspace, add_images: Callable[..., list[str]], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """An image that cannot be decoded is reported, and all others are ranked."""
    ids = add_images(workspace, ["cat"] * 12 + ["dog"] * 12)
    next(workspace.images.glob(f"*/{ids[3]}.png")).write_bytes(b"broken")
    torch.save(build_model("squeezenet1_1", 1000)[0].state_dict(), tmp_path / "weights.pth")
    issues = find_label_issues(workspace, model="squeezenet1_1", weights=str(tmp_path / "weights.pth"))
    assert f"skipped: image {ids[3][:12]} cannot be decoded" in capfd.readouterr().err
    assert all(ids[3] not in (row.image_id, *row.neighbours) for row in issues)
    with Catalog.open(workspace) as catalog:
        assert catalog.database.connection.execute("SELECT count(*) FROM label_issues").fetchone()[0] == len(issues)


def test_decision_during_the_run_closes_the_issue(
    workspace: Workspace, add_images: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image reviewed while the search runs does not stay in the queue."""
    ids = add_images(workspace, ["cat"] * 12 + ["dog"] * 12)
    torch.save(build_model("squeezenet1_1", 1000)[0].state_dict(), tmp_path / "weights.pth")

    def rank_after_decision(*_: object) -> list[LabelIssue]:
        label_images(workspace, ids[:1], "cat")
        return [LabelIssue(image_id, "label-error", "cat", "dog", 0.9, ()) for image_id in ids[:2]]

    monkeypatch.setattr("fototeca.curate.label_issues.find.rank_label_issues", rank_after_decision)
    find_label_issues(workspace, model="squeezenet1_1", weights=str(tmp_path / "weights.pth"))
    with Catalog.open(workspace) as catalog:
        suspected = [
            item.image.image_id for item in items_in_queue(list_review_items(catalog, workspace.settings.names, {}), SUGGESTED)
        ]
    assert suspected == [ids[1]]


def test_backbones_see_whole_images() -> None:
    """Squashed to 9/7 of the published side, or to that side where the network takes no other."""
    side = {"squeezenet1_0": 288, "vit_b_32": 224}
    for model, expected in side.items():
        preprocessing = backbone.with_whole_images(load_backbone(model, None)).preprocessing
        assert (preprocessing.fit, preprocessing.crop, preprocessing.resize) == ("squash", expected, expected)


def test_choose_backbone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The best cached backbone is chosen, else a small downloaded one; a model name or weights file overrides it."""
    loaded: list[tuple[str, str]] = []
    monkeypatch.setattr(backbone, "load_backbone", lambda *arguments: loaded.append(arguments))
    monkeypatch.setattr(backbone, "with_whole_images", lambda backbone: backbone)
    monkeypatch.setattr(weights, "find_packaged", lambda model: None)
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
    files[1].unlink()
    monkeypatch.setattr(weights, "find_packaged", lambda model: tmp_path)
    choose_backbone(None, None)
    assert loaded == [
        ("mobilenet_v3_small", "DEFAULT"),
        ("squeezenet1_0", "IMAGENET1K_V1"),
        ("resnet50", "IMAGENET1K_V1"),
        ("resnet18", "/far/resnet18-f37072fd.pth"),
        ("vgg11", "DEFAULT"),
        ("timm/tf_efficientnet_lite0", "packaged"),
    ]
    with pytest.raises(FototecaError, match="cannot tell the model"):
        choose_backbone(None, "/far/mine.pth")
