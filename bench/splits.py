"""Benchmark the splits of a growing dataset against scikit-learn's StratifiedGroupKFold.

    python bench/splits.py labels.csv [--seeds 5] [--steps 6]

The labels come from a CSV file with columns path and label. 30% of the images are copies of another one, which becomes known
as soon as both are in the dataset. The dataset begins with a random 40% of its images and is split again at each step.
"""

from __future__ import annotations

import argparse
import csv
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from fototeca.curate.manifest import SPLITS, SplitName
from fototeca.curate.versions.splits import TOLERANCE, assign_splits, make_split_group, merge_splits

RATIOS = (0.7, 0.1, 0.2)
FOLDS = ("test", "test", "val", *["train"] * 7)
"""The split of each of ten folds."""
COPIES = 0.3
LARGE = 50
HEADER = (
    "moved per version",
    "moved without a merged group",
    "from test to train",
    "groups split",
    "largest ratio error, points",
    f"the same, {LARGE} images and more",
    "ratios within 2 points",
)

Splits = dict[int, SplitName]
"""The split of every image in the dataset, by index."""
Splitter = Callable[[Sequence[str], Sequence[Sequence[int]], Splits, int], Splits]
"""Computes the next version's splits from labels, groups, the last version's splits and a seed."""


def main() -> None:
    """Parse options, grow and split datasets, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=6)
    arguments = parser.parse_args()
    with arguments.labels.open(encoding="utf-8") as file:
        labels = [row["label"] for row in csv.DictReader(file)]
    print(f"{len(labels)} images, {len(set(labels))} categories, {arguments.steps} versions, {arguments.seeds} draws\n")
    print("| | " + " | ".join(HEADER) + " |\n| --- |" + " ---: |" * len(HEADER))
    for name, split in {"fototeca": fototeca_splits, "StratifiedGroupKFold": kfold_splits}.items():
        figures = np.array([grow(labels, seed, arguments.steps, split) for seed in range(arguments.seeds)])
        moved, moved_alone, leaked, num_split, _, _, within = figures.mean(axis=0)
        worst, large = figures[:, 4:6].max(axis=0)
        cells = (
            f"{moved:.2%}",
            f"{moved_alone:.2%}",
            f"{leaked:.2%}",
            f"{num_split:g}",
            f"{worst:.1f}",
            f"{large:.1f}",
            f"{within:.0%}",
        )
        print(f"| {name} | " + " | ".join(cells) + " |")


def grow(labels: Sequence[str], seed: int, steps: int, split: Splitter) -> tuple[float, ...]:
    """Return the values of HEADER for one dataset over all its versions."""
    rng = np.random.default_rng(seed)
    originals = draw_originals(labels, rng)
    arrival = rng.permutation(len(labels))
    previous: Splits = {}
    moved, moved_alone, num_split = [], [], 0
    errors: list[tuple[int, float]] = []
    tested: set[int] = set()
    leaked: set[int] = set()
    for share in np.linspace(0.4, 1.0, steps):
        groups = known_groups(arrival[: round(share * len(labels))].tolist(), originals)
        splits = split(labels, groups, previous, seed)
        if previous:
            changed = {image for image in previous if previous[image] != splits[image]}
            merged = {
                image for members in groups for image in members if len({previous[m] for m in members if m in previous}) > 1
            }
            moved.append(len(changed) / len(previous))
            moved_alone.append(len(changed - merged) / len(previous))
        num_split += sum(len({splits[image] for image in members}) > 1 for members in groups)
        errors += ratio_errors(labels, splits)
        leaked |= {image for image, name in splits.items() if name == "train" and image in tested}
        tested |= {image for image, name in splits.items() if name == "test"}
        previous = splits
    points = np.array([error for _, error in errors])
    large = max(error for count, error in errors if count >= LARGE)
    shares = (float(np.mean(moved)), float(np.mean(moved_alone)), len(leaked) / len(tested))
    return (*shares, num_split, float(points.max()), large, float(np.mean(points <= 100 * TOLERANCE + 1e-9)))


def draw_originals(labels: Sequence[str], rng: np.random.Generator) -> dict[int, int]:
    """Return the original of each copy: an image of the same category that is not a copy itself."""
    by_label = defaultdict(list)
    for image, label in enumerate(labels):
        by_label[label].append(image)
    originals = {}
    for members in by_label.values():
        shuffled = rng.permutation(members).tolist()
        count = round(COPIES * len(shuffled))
        originals.update({copy: int(rng.choice(shuffled[count:])) for copy in shuffled[:count]})
    return originals


def known_groups(present: Sequence[int], originals: Mapping[int, int]) -> list[list[int]]:
    """Return the groups that are known; a copy whose original is absent is a group of its own."""
    available = set(present)
    members = defaultdict(list)
    for image in sorted(available):
        original = originals.get(image, image)
        members[original if original in available else image].append(image)
    return list(members.values())


def fototeca_splits(labels: Sequence[str], groups: Sequence[Sequence[int]], earlier: Splits, seed: int) -> Splits:
    """Split as `curate freeze` does: earlier splits stay; when groups merge, test wins."""
    split_groups = []
    for members in groups:
        pins = [earlier[image] for image in members if image in earlier]
        split_groups.append(make_split_group(str(members[0]), [[labels[image]] for image in members], merge_splits(pins)))
    splits = assign_splits(split_groups, RATIOS, seed)
    return {image: splits[str(members[0])] for members in groups for image in members}


def kfold_splits(labels: Sequence[str], groups: Sequence[Sequence[int]], earlier: Splits, seed: int) -> Splits:
    """Split into ten new folds, since the splitter has no memory of earlier versions: two for test, one for val."""
    images = [image for members in groups for image in members]
    numbers = [number for number, members in enumerate(groups) for _ in members]
    splitter = StratifiedGroupKFold(len(FOLDS), shuffle=True, random_state=seed)
    with warnings.catch_warnings(action="ignore"):  # about categories with fewer images than folds
        parts = list(splitter.split(images, [labels[image] for image in images], numbers))
    return {images[place]: name for (_, held), name in zip(parts, FOLDS, strict=True) for place in held}  # type: ignore[misc]


def ratio_errors(labels: Sequence[str], splits: Splits) -> list[tuple[int, float]]:
    """Return for every category and split: the category's number of images, and the error of its ratio in points."""
    counts: dict[str, Counter[SplitName]] = defaultdict(Counter)
    for image, split in splits.items():
        counts[labels[image]][split] += 1
    return [
        (count.total(), 100 * abs(count[split] / count.total() - ratio))
        for count in counts.values()
        for split, ratio in zip(SPLITS, RATIOS, strict=True)
    ]


if __name__ == "__main__":
    main()
