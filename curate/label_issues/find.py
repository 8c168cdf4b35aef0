"""Find likely label errors, outliers and near-boundary images, ranked and with evidence. No label is changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fototeca.collect.catalog import Catalog, ImageRow, LabelIssueRow
from fototeca.core.console import notify
from fototeca.core.errors import FototecaError
from fototeca.core.files import write_csv
from fototeca.core.results import Result
from fototeca.core.settings import LABEL_SEPARATOR, Settings, Task
from fototeca.core.workspace import Workspace
from fototeca.curate.label_issues.backbone import choose_backbone
from fototeca.curate.label_issues.confident_learning import Floats, Integers, assign_folds, predict_out_of_fold, score_labels
from fototeca.curate.labels.categories import split_label
from fototeca.curate.review.queues import LABEL_ISSUES_AFTER, answered_issues, store_answered
from fototeca.curate.snapshot.catalog_state import read_snapshot
from fototeca.curate.snapshot.split_groups import find_split_groups
from fototeca.vision.backbones import Backbone
from fototeca.vision.feature_math import nearest_by_cosine
from fototeca.vision.features import extract_features

Kind = Literal["label-error", "outlier", "boundary"]

NUM_NEIGHBORS = 5
"""Number of nearest images given as evidence."""

OUTLIER_DEVIATIONS = 3.5
"""Robust standard deviations (median, MAD) of the distance to the neighbors above which an image is an outlier."""

BOUNDARY_MARGIN = 0.1
"""Difference of the two highest probabilities below which an image is near a boundary."""

MIN_IMAGES = 20
"""Labeled images that a model needs."""

LABEL_ISSUE_COLUMNS = ("image_id", "kind", "label", "suggested", "score", "neighbours", "file_name")
"""Columns of the CSV and keys of the JSON; `neighbours` are image ids, nearest first, in the CSV joined by spaces."""


@dataclass(frozen=True)
class LabelIssue(Result):
    """One image to review. `score`: 0 to 1, higher is more suspicious; comparable within a kind."""

    image_id: str
    kind: Kind
    label: str
    suggested: str
    score: float
    neighbours: tuple[str, ...]
    file_name: str = ""
    """Original name of the image's file; set when the issues are stored."""


def find_label_issues(workspace: Workspace, *, model: str | None = None, weights: str | None = None) -> list[LabelIssue]:
    """Rank the accepted images and store the ranking in the catalog: label errors, then boundary cases, then outliers.

    Issues that a person has answered already are left out. `model`: a torchvision builder; `weights`: a torchvision name or a
    file; by default the best on disk, else a small one.

    Raises:
        FototecaError: there are too few labeled images, or (exit code 4) no weights.
    """
    with Catalog.open(workspace) as catalog:
        snapshot = read_snapshot(catalog)
    task = workspace.settings.task
    images = [image for image in snapshot.images if image.status == "accepted" and _has_known_labels(image, workspace.settings)]
    _check_enough(images, task)
    backbone = choose_backbone(model, weights)
    images = select_readable(workspace, images, backbone)
    categories = _check_enough(images, task)
    items = [(image.image_id, workspace.root / image.path) for image in images]
    features = extract_features(workspace, items, backbone)
    split_groups = find_split_groups(snapshot)
    issues = rank_label_issues(images, [split_groups[image.image_id] for image in images], features, categories, task)
    return store_label_issues(workspace, issues, snapshot.last_decision)


def _has_known_labels(image: ImageRow, settings: Settings) -> bool:
    """Return True if all labels of the image are configured categories; fototeca.toml may have changed since."""
    if settings.task == "single":
        return image.label in settings.names
    return set(split_label(image.label)) <= set(settings.names)


def _check_enough(images: Sequence[ImageRow], task: Task) -> list[str]:
    """Return the categories of the images. FototecaError if there are too few images or categories."""
    categories = sorted({label for image in images for label in split_label(image.label)})
    if len(images) < MIN_IMAGES or len(categories) < 1 + (task == "single"):
        raise FototecaError(
            f"too few labeled images to find label issues: {len(images)} in {len(categories)} categories",
            f"collect and label at least {MIN_IMAGES}, of two categories or more",
        )
    return categories


def select_readable(workspace: Workspace, images: Sequence[ImageRow], backbone: Backbone) -> list[ImageRow]:
    """Return the images that can be decoded and cache their pixels for the backbone; report the others."""
    steps, broken = backbone.preprocessing, dict[str, str]()
    items = [(image.image_id, workspace.root / image.path) for image in images]
    steps.pixel_cache(workspace.cache / "pixels").ensure(items, broken=broken)
    for problem in broken.values():
        notify(f"skipped: {problem}")
    return [image for image in images if image.image_id not in broken]


def rank_label_issues(
    images: Sequence[ImageRow], groups: Sequence[str], features: NDArray[np.float32], categories: Sequence[str], task: Task
) -> list[LabelIssue]:
    """Return the issues of images (N) with features (N, D), at most one per image, the most suspicious of each kind first."""
    scorer = score_single if task == "single" else score_multi
    suspicion, guesses, margins = scorer([image.label for image in images], groups, features, categories)
    nearest, distances = find_neighbors(features, groups)
    deviations = robust_score(distances)
    issues = []
    for index, image in enumerate(images):
        kind: Kind
        if guesses[index] != image.label and suspicion[index] > 0:
            kind, score = "label-error", suspicion[index]
        elif deviations[index] > OUTLIER_DEVIATIONS:
            kind, score = "outlier", 1 - OUTLIER_DEVIATIONS / deviations[index]
        elif margins[index] < BOUNDARY_MARGIN:
            kind, score = "boundary", 1 - margins[index] / BOUNDARY_MARGIN
        else:
            continue
        evidence = tuple(images[neighbor].image_id for neighbor in nearest[index] if neighbor >= 0)
        guess = guesses[index] if kind != "outlier" else image.label
        issues.append(LabelIssue(image.image_id, kind, image.label, guess, round(float(score), 6), evidence))
    order = ("label-error", "boundary", "outlier")
    return sorted(issues, key=lambda row: (order.index(row.kind), -row.score, row.image_id))


def score_single(
    labels: Sequence[str], groups: Sequence[str], features: NDArray[np.float32], categories: Sequence[str]
) -> tuple[Floats, list[str], Floats]:
    """Return suspicion (N,), 0 without doubt, the likely labels, and margins (N,) of the two highest probabilities."""
    numbers = {name: number for number, name in enumerate(categories)}
    targets = np.array([numbers[label] for label in labels], dtype=np.int64)
    folds = assign_folds(labels, groups)
    probabilities = predict_out_of_fold(features, targets, folds, len(categories))
    label_quality = score_labels(targets, probabilities)
    doubted = (label_quality.guess != targets) & _learnable(targets, folds)
    top = np.sort(probabilities, axis=1)[:, ::-1]
    suspicion = np.where(doubted, 1 - label_quality.quality, 0.0)
    return suspicion, [categories[guess] for guess in label_quality.guess], top[:, 0] - top[:, 1]


def score_multi(
    labels: Sequence[str], groups: Sequence[str], features: NDArray[np.float32], categories: Sequence[str]
) -> tuple[Floats, list[str], Floats]:
    """Return the same as `score_single` for multi-label tasks: each category is scored alone, the most suspicious counts."""
    folds = assign_folds(labels, groups)
    label_sets = [set(split_label(label)) for label in labels]
    guesses = [set(names) for names in label_sets]
    suspicion, margins = np.zeros(len(labels)), np.ones(len(labels))
    for category in categories:
        targets = np.array([category in names for names in label_sets], dtype=np.int64)
        probabilities = predict_out_of_fold(features, targets, folds, 2)
        label_quality = score_labels(targets, probabilities)
        doubted = (label_quality.guess != targets) & _learnable(targets, folds)
        suspicion = np.maximum(suspicion, np.where(doubted, 1 - label_quality.quality, 0.0))
        margins = np.minimum(margins, np.abs(probabilities[:, 1] - probabilities[:, 0]))
        for index in np.flatnonzero(doubted):
            guesses[index] ^= {category}
    return suspicion, [LABEL_SEPARATOR.join(sorted(names)) for names in guesses], margins


def _learnable(targets: Integers, folds: Integers) -> NDArray[np.bool_]:
    """Return which images (N,) have a class that occurs outside their fold; the models know nothing about other labels."""
    pairs = {(int(target), int(fold)) for target, fold in zip(targets, folds, strict=True)}
    folds_of = {target: {fold for other, fold in pairs if other == target} for target, _ in pairs}
    return np.array([len(folds_of[int(target)]) > 1 for target in targets])


def find_neighbors(features: NDArray[np.float32], groups: Sequence[str]) -> tuple[Integers, Floats]:
    """Return the nearest images of other groups (N, K; -1 for none) and the mean cosine distance to them (N,)."""
    codes = np.unique(np.asarray(groups), return_inverse=True)[1]
    nearest, similarities = nearest_by_cosine(features, NUM_NEIGHBORS, codes)
    present = nearest >= 0
    distances = 1 - np.where(present, similarities, 0).sum(axis=1) / np.maximum(present.sum(axis=1), 1)
    return nearest, np.asarray(distances, np.float64)


def robust_score(values: Floats) -> Floats:
    """Return how many standard deviations each value is above the median (N,); 0 if all are equal.

    The deviation is estimated from the median absolute deviation, or, where more than half of the values are equal, from the
    mean absolute deviation (Iglewicz and Hoaglin 1993, "How to detect and handle outliers").
    """
    above = values - np.median(values)
    spread = 1.4826 * np.median(np.abs(above)) or 1.2533 * np.mean(np.abs(above))
    return np.asarray(above / spread if spread else np.zeros(len(values)), dtype=np.float64)


def store_label_issues(workspace: Workspace, issues: Sequence[LabelIssue], after: int) -> list[LabelIssue]:
    """Replace the issues in the catalog by those that no person has answered yet, and return them.

    Images decided after decision number `after` leave the review queues.
    """
    with Catalog.open(workspace) as catalog:
        file_names = catalog.provenance.file_names()
        named = [replace(issue, file_name=file_names.get(issue.image_id, "")) for issue in issues]
        with catalog.planned_transaction(lambda: answered_issues(catalog)) as answered:
            new = [issue for issue in named if answered.get(issue.image_id) != (issue.kind, issue.label, issue.suggested)]
            store_answered(catalog, answered)
            catalog.label_issues.replace(
                LabelIssueRow(issue.image_id, issue.label, issue.suggested, issue.score, issue.kind, tuple(issue.neighbours))
                for issue in new
            )
            catalog.metadata.set(LABEL_ISSUES_AFTER, str(after))
    return new


def write_label_issues_csv(issues: Sequence[LabelIssue], path: Path) -> None:
    """Write all label issues as CSV, with LABEL_ISSUE_COLUMNS."""
    write_csv(
        path,
        LABEL_ISSUE_COLUMNS,
        ((i.image_id, i.kind, i.label, i.suggested, i.score, " ".join(i.neighbours), i.file_name) for i in issues),
    )


def label_issues_table(issues: Sequence[LabelIssue], limit: int) -> str:
    """Format the most suspicious issues for people."""
    if not issues:
        return "no label issues"
    lines = [
        f"{s.score:6.3f}  {s.kind:<11}  {s.image_id[:12]}  {s.label or '(none)'} -> {s.suggested or '(none)'}"
        f"  near {' '.join(other[:8] for other in s.neighbours)}  {s.file_name}".rstrip()
        for s in issues[:limit]
    ]
    counts = {kind: sum(s.kind == kind for s in issues) for kind in ("label-error", "outlier", "boundary")}
    lines.append("  ".join(f"{kind}: {count}" for kind, count in counts.items()) + "; to review them: fototeca curate review")
    return "\n".join(lines)
