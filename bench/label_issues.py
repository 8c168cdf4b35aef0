"""Benchmark label issues: `curate label-issues` against cleanlab and FiftyOne's mistakenness on the same features.

    python bench/label_issues.py ../photographs/labels.csv --model squeezenet1_0 --weights FILE [--seeds 5] [--flipped 0.1]

Classes of at least 100 photographs. A share of the labels is replaced by another class at random, and every method ranks all
images. Precision: share of wrong labels in the first 5%. Recall: share of all wrong labels in the first 20%.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fototeca.collect.catalog import Catalog, ImageRow
from fototeca.collect.files.folder_options import FolderOptions
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.ingest.folder import collect_folder
from fototeca.core.workspace import Workspace, create_workspace
from fototeca.curate.duplicates import dedup
from fototeca.curate.label_issues.confident_learning import assign_folds, predict_out_of_fold
from fototeca.curate.label_issues.find import rank_label_issues
from fototeca.curate.snapshot.catalog_state import read_snapshot
from fototeca.curate.snapshot.split_groups import find_split_groups
from fototeca.vision.backbones import load_backbone
from fototeca.vision.features import extract_features

MIN_CLASS = 100
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Ranking = Sequence[int]
"""Image indices, the most suspicious first."""


class Photographs:
    """The images with their true labels, duplicate groups and features."""

    def __init__(self, workspace: Workspace, model: str, weights: str) -> None:
        with Catalog.open(workspace) as catalog:
            state = read_snapshot(catalog)
        self.images = [image for image in state.images if image.status == "accepted"]
        units = find_split_groups(state)
        self.groups = [units[image.image_id] for image in self.images]
        self.categories = sorted({image.label for image in self.images})
        items = [(image.image_id, workspace.root / image.path) for image in self.images]
        self.features = extract_features(workspace, items, load_backbone(model, weights))
        self.truth = np.array([self.categories.index(image.label) for image in self.images])

    def flip(self, share: float, seed: int) -> Integers:
        """Return class indices with a share of them replaced by another class."""
        rng = np.random.default_rng(seed)
        labels = self.truth.copy()
        chosen = rng.choice(len(labels), round(share * len(labels)), replace=False)
        labels[chosen] = (labels[chosen] + rng.integers(1, len(self.categories), len(chosen))) % len(self.categories)
        return labels

    def out_of_fold_probabilities(self, labels: Integers) -> Floats:
        """Return out-of-fold probabilities (N, classes) as `curate label-issues` computes them: no fold splits a group."""
        folds = assign_folds([self.categories[label] for label in labels], self.groups)
        return predict_out_of_fold(self.features, labels, folds, len(self.categories))


def fototeca_ranking(photographs: Photographs, labels: Integers) -> Ranking:
    """Return the images in the order of `curate label-issues`; images without an issue come last."""
    images: list[ImageRow] = [
        replace(image, label=photographs.categories[label]) for image, label in zip(photographs.images, labels, strict=True)
    ]
    rows = rank_label_issues(images, photographs.groups, photographs.features, photographs.categories, "single")
    numbers = {image.image_id: number for number, image in enumerate(images)}
    issues = [numbers[row.image_id] for row in rows]
    return [*issues, *sorted(set(range(len(images))) - set(issues))]


def cleanlab_ranking(photographs: Photographs, labels: Integers) -> Ranking:
    """Return cleanlab's label issues in its order, then the others by its label quality, from the same probabilities."""
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    probabilities = photographs.out_of_fold_probabilities(labels)
    issues = find_label_issues(labels, probabilities, return_indices_ranked_by="self_confidence", n_jobs=1).tolist()
    quality = get_label_quality_scores(labels, probabilities)
    return [*issues, *(int(number) for number in np.argsort(quality, kind="stable") if number not in set(issues))]


def cleanlearning_ranking(photographs: Photographs, labels: Integers) -> Ranking:
    """Rank by cleanlab's CleanLearning as in its tutorial: logistic regression with its own folds, on the same features."""
    from cleanlab.classification import CleanLearning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    issues = CleanLearning(model, seed=0, cv_n_folds=5).find_label_issues(photographs.features, labels)
    order = np.lexsort((issues["label_quality"], ~issues["is_label_issue"]))
    return [int(number) for number in order]


def mistakenness(photographs: Photographs, labels: Integers) -> Ranking:
    """Rank by the formula of FiftyOne Brain's compute_mistakenness for classifications, from the same probabilities as logits."""
    probabilities = photographs.out_of_fold_probabilities(labels)
    logits = np.log(np.maximum(probabilities, 1e-12))
    certainty = np.exp(np.sum(probabilities * logits, axis=1))
    wrong = np.where(probabilities.argmax(axis=1) != labels, 1.0, -1.0)
    return [int(number) for number in np.argsort(-(wrong * certainty + 1) / 2, kind="stable")]


METHODS: dict[str, Callable[[Photographs, Integers], Ranking]] = {
    "fototeca": fototeca_ranking,
    "cleanlab, same probabilities": cleanlab_ranking,
    "cleanlab CleanLearning": cleanlearning_ranking,
    "FiftyOne mistakenness, same probabilities": mistakenness,
}


def main() -> None:
    """Parse options, flip labels, rank and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--model", default="squeezenet1_0")
    parser.add_argument("--weights", default="DEFAULT")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--flipped", type=float, default=0.1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        workspace = collect(arguments.labels, Path(folder))
        photographs = Photographs(workspace, arguments.model, arguments.weights)
        print_table(photographs, arguments.seeds, arguments.flipped)


def collect(labels: Path, folder: Path) -> Workspace:
    """Create a workspace with the classes that are large enough, deduplicated."""
    with labels.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    counts = Counter(row["label"] for row in rows)
    chosen = [row for row in rows if counts[row["label"]] >= MIN_CLASS]
    table = folder / "labels.csv"
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "label"))
        writer.writerows((row["path"], row["label"]) for row in chosen)
    workspace = create_workspace(folder / "w", sorted({row["label"] for row in chosen}))
    collect_folder(workspace, labels.parent, FolderOptions(labels=table), FetchOptions())
    dedup(workspace)
    return workspace


def print_table(photographs: Photographs, seeds: int, share: float) -> None:
    """Print mean and worst of the seeds for each method."""
    count = len(photographs.images)
    print(f"{count} photographs of {len(photographs.categories)} classes, {share:.0%} of the labels flipped, {seeds} draws\n")
    print("| ranking | precision, first 5% | worst draw | recall, first 20% | worst draw |\n| --- | ---: | ---: | ---: | ---: |")
    draws = [photographs.flip(share, seed) for seed in range(seeds)]
    for name, method in METHODS.items():
        scores = []
        for labels in draws:
            wrong = (labels != photographs.truth)[list(method(photographs, labels))]
            scores.append((wrong[: round(0.05 * count)].mean(), wrong[: round(0.2 * count)].sum() / wrong.sum()))
        precision, recall = zip(*scores, strict=True)
        cells = (np.mean(precision), min(precision), np.mean(recall), min(recall))
        print(f"| {name} | " + " | ".join(f"{value:.3f}" for value in cells) + " |")


if __name__ == "__main__":
    main()
