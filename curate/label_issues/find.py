"""Likely label errors, outliers and near-boundary images, ranked, each with its evidence. People decide; this changes nothing."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fototeca.collect.catalog import Catalog, ImageRow, LabelIssueRow
from fototeca.core.console import notify
from fototeca.core.errors import FototecaError
from fototeca.core.files import write_text
from fototeca.core.settings import LABEL_SEPARATOR, Settings, Task
from fototeca.core.workspace import Workspace
from fototeca.curate.label_issues.backbone import choose_backbone
from fototeca.curate.label_issues.confident_learning import Floats, Integers, deal_folds, judge, out_of_fold
from fototeca.curate.labels.categories import split_label
from fototeca.curate.review.queues import LABEL_ISSUES_AFTER, answered_issues
from fototeca.curate.snapshot.catalog_state import read_snapshot
from fototeca.curate.snapshot.split_groups import find_split_groups
from fototeca.vision.backbones import Backbone
from fototeca.vision.features import extract_features
from fototeca.vision.pixels import PixelCache

Kind = Literal["label-error", "outlier", "boundary"]

NEIGHBOURS = 5
"""Nearest images given as evidence."""

FAR = 3.5
"""An outlier is this many robust standard deviations (median, MAD) further from its neighbours than is usual."""

NEAR = 0.1
"""A near-boundary image has its two likeliest classes this close."""

MIN_IMAGES = 20
"""Labelled images under which a model would say nothing."""

BLOCK = 1024
"""Rows of the similarity matrix held at once."""

SUGGESTION_COLUMNS = ("image_id", "kind", "label", "suggested", "score", "neighbours")
"""The columns of the CSV; `neighbours` are image ids joined by spaces, nearest first."""


@dataclass(frozen=True)
class LabelIssue:
    """One image to look at. `score`: 0 to 1, higher is more suspicious; comparable within a kind."""

    image_id: str
    kind: Kind
    label: str
    suggested: str
    score: float
    neighbours: tuple[str, ...]


def suggest_labels(workspace: Workspace, *, model: str | None = None, weights: str | None = None) -> list[LabelIssue]:
    """Rank the accepted images and keep the ranking in the catalog: label errors, then boundary cases, then outliers.
    What a person has answered already is left out.

    `model`: a torchvision builder; `weights`: a torchvision name or a file; without them the best on disk, else small ones.
    FototecaError when there are too few labelled images, or (exit 4) no weights.
    """
    with Catalog.open(workspace) as catalog, catalog.transaction():
        state = read_snapshot(catalog)
    task = workspace.settings.task
    images = [image for image in state.images if image.status == "accepted" and _known(image, workspace.settings)]
    _check_enough(images, task)
    backbone = choose_backbone(model, weights)
    images = _readable(workspace, images, backbone)
    categories = _check_enough(images, task)
    items = [(image.image_id, workspace.root / image.path) for image in images]
    features = extract_features(workspace, items, backbone)
    units = find_split_groups(state)
    suggestions = rank(images, [units[image.image_id] for image in images], features, categories, task)
    return save(workspace, suggestions, state.last_decision)


def _known(image: ImageRow, settings: Settings) -> bool:
    """Whether its label means something: an image of a category that was removed from fototeca.toml teaches nothing."""
    if settings.task == "single":
        return image.label in settings.names
    return set(split_label(image.label)) <= set(settings.names)


def _check_enough(images: Sequence[ImageRow], task: Task) -> list[str]:
    """The categories of the images. FototecaError when there are too few of either."""
    categories = sorted({label for image in images for label in split_label(image.label)})
    if len(images) < MIN_IMAGES or len(categories) < 1 + (task == "single"):
        raise FototecaError(
            f"too few labelled images to suggest anything: {len(images)} in {len(categories)} categories",
            f"collect and label at least {MIN_IMAGES}, of two categories or more",
        )
    return categories


def _readable(workspace: Workspace, images: Sequence[ImageRow], backbone: Backbone) -> list[ImageRow]:
    """The images that can be decoded, which the backbone's pixels then are; the others are told."""
    steps, broken = backbone.preprocessing, dict[str, str]()
    items = [(image.image_id, workspace.root / image.path) for image in images]
    PixelCache(workspace.cache / "pixels", steps.resize, steps.interpolation).ensure(items, broken=broken)
    for problem in broken.values():
        notify(f"passed over: {problem}")
    return [image for image in images if image.image_id not in broken]


def rank(
    images: Sequence[ImageRow], groups: Sequence[str], features: NDArray[np.float32], categories: Sequence[str], task: Task
) -> list[LabelIssue]:
    """The suggestions for images (N) with features (N, D), worst first within each kind; one at most for an image."""
    judged = judge_single if task == "single" else judge_multi
    suspicion, guesses, margins = judged([image.label for image in images], groups, features, categories)
    nearest, distances = neighbours(features, groups)
    strange = robust_score(distances)
    suggestions = []
    for index, image in enumerate(images):
        kind: Kind
        if guesses[index] != image.label and suspicion[index] > 0:
            kind, score = "label-error", suspicion[index]
        elif strange[index] > FAR:
            kind, score = "outlier", 1 - FAR / strange[index]
        elif margins[index] < NEAR:
            kind, score = "boundary", 1 - margins[index] / NEAR
        else:
            continue
        evidence = tuple(images[other].image_id for other in nearest[index] if other >= 0)
        guess = guesses[index] if kind != "outlier" else image.label
        suggestions.append(LabelIssue(image.image_id, kind, image.label, guess, round(float(score), 6), evidence))
    order = ("label-error", "boundary", "outlier")
    return sorted(suggestions, key=lambda row: (order.index(row.kind), -row.score, row.image_id))


def judge_single(
    labels: Sequence[str], groups: Sequence[str], features: NDArray[np.float32], categories: Sequence[str]
) -> tuple[Floats, list[str], Floats]:
    """Suspicion (N,; 0 where the label is believed), likeliest labels and margins (N,) of the two likeliest."""
    numbers = {name: number for number, name in enumerate(categories)}
    targets = np.array([numbers[label] for label in labels], dtype=np.int64)
    folds = deal_folds(labels, groups)
    probabilities = out_of_fold(features, targets, folds, len(categories))
    judgement = judge(targets, probabilities)
    doubted = (judgement.guess != targets) & _learnable(targets, folds)
    top = np.sort(probabilities, axis=1)[:, ::-1]
    suspicion = np.where(doubted, 1 - judgement.quality, 0.0)
    return suspicion, [categories[guess] for guess in judgement.guess], top[:, 0] - top[:, 1]


def judge_multi(
    labels: Sequence[str], groups: Sequence[str], features: NDArray[np.float32], categories: Sequence[str]
) -> tuple[Floats, list[str], Floats]:
    """The same for zero or more labels an image: every category is judged alone, the worst one counts."""
    folds = deal_folds(labels, groups)
    held = [set(split_label(label)) for label in labels]
    guesses = [set(names) for names in held]
    suspicion, margins = np.zeros(len(labels)), np.ones(len(labels))
    for category in categories:
        targets = np.array([category in names for names in held], dtype=np.int64)
        probabilities = out_of_fold(features, targets, folds, 2)
        judgement = judge(targets, probabilities)
        doubted = (judgement.guess != targets) & _learnable(targets, folds)
        suspicion = np.maximum(suspicion, np.where(doubted, 1 - judgement.quality, 0.0))
        margins = np.minimum(margins, np.abs(probabilities[:, 1] - probabilities[:, 0]))
        for index in np.flatnonzero(doubted):
            guesses[index] ^= {category}
    return suspicion, [LABEL_SEPARATOR.join(sorted(names)) for names in guesses], margins


def _learnable(targets: Integers, folds: Integers) -> NDArray[np.bool_]:
    """Whether an image's class occurs outside its own fold (N,): otherwise no model can say anything about its label."""
    pairs = {(int(target), int(fold)) for target, fold in zip(targets, folds, strict=True)}
    folds_of = {target: {fold for other, fold in pairs if other == target} for target, _ in pairs}
    return np.array([len(folds_of[int(target)]) > 1 for target in targets])


def neighbours(features: NDArray[np.float32], groups: Sequence[str]) -> tuple[Integers, Floats]:
    """The nearest images of other groups by cosine (N, K; -1 where there are none) and the mean distance to them (N,)."""
    unit = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    codes = np.unique(np.asarray(groups), return_inverse=True)[1]
    count = min(NEIGHBOURS, len(features) - 1)
    nearest = np.full((len(features), count), -1, dtype=np.int64)
    distances = np.zeros(len(features))
    for start in range(0, len(features), BLOCK):
        similar = unit[start : start + BLOCK] @ unit.T
        similar[codes[start : start + BLOCK, None] == codes[None, :]] = -np.inf
        found = np.argpartition(-similar, count - 1, axis=1)[:, :count]
        values = np.take_along_axis(similar, found, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")
        found, values = np.take_along_axis(found, order, axis=1), np.take_along_axis(values, order, axis=1)
        real = np.isfinite(values)
        nearest[start : start + BLOCK] = np.where(real, found, -1)
        distances[start : start + BLOCK] = 1 - np.where(real, values, 0).sum(axis=1) / np.maximum(real.sum(axis=1), 1)
    return nearest, distances


def robust_score(values: Floats) -> Floats:
    """How many standard deviations each value is above the median (N,); 0 for all where they are equal.

    The deviation is estimated from the median absolute deviation, or, where more than half of the values are equal, from the
    mean absolute deviation (Iglewicz and Hoaglin 1993, "How to detect and handle outliers").
    """
    above = values - np.median(values)
    spread = 1.4826 * np.median(np.abs(above)) or 1.2533 * np.mean(np.abs(above))
    return np.asarray(above / spread if spread else np.zeros(len(values)), dtype=np.float64)


def save(workspace: Workspace, suggestions: Sequence[LabelIssue], after: int) -> list[LabelIssue]:
    """Replace the catalog's suggestions by those that nobody has answered yet, and return them.

    What people decide on after decision number `after` leaves the queues.
    """
    with Catalog.open(workspace) as catalog, catalog.transaction():
        before = answered_issues(catalog)
        new = [one for one in suggestions if before.get(one.image_id) != (one.kind, one.label, one.suggested)]
        catalog.label_issues.replace(
            LabelIssueRow(issue.image_id, issue.label, issue.suggested, issue.score, issue.kind, tuple(issue.neighbours))
            for issue in new
        )
        catalog.metadata.set(LABEL_ISSUES_AFTER, str(after))
    return new


def suggestions_csv(suggestions: Sequence[LabelIssue], path: Path) -> None:
    """Write all suggestions as CSV."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(SUGGESTION_COLUMNS)
    writer.writerows((s.image_id, s.kind, s.label, s.suggested, s.score, " ".join(s.neighbours)) for s in suggestions)
    write_text(path, text.getvalue())


def suggestions_table(suggestions: Sequence[LabelIssue], limit: int) -> str:
    """The worst ones for people."""
    if not suggestions:
        return "nothing suspicious"
    lines = [
        f"{s.score:6.3f}  {s.kind:<11}  {s.image_id[:12]}  {s.label or '(none)'} -> {s.suggested or '(none)'}"
        f"  like {' '.join(other[:8] for other in s.neighbours)}"
        for s in suggestions[:limit]
    ]
    counts = {kind: sum(s.kind == kind for s in suggestions) for kind in ("label-error", "outlier", "boundary")}
    lines.append("  ".join(f"{kind}: {count}" for kind, count in counts.items()) + "; look at them: fototeca curate review")
    return "\n".join(lines)
