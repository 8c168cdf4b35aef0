"""What becomes of splits when a dataset grows: ours, and scikit-learn's StratifiedGroupKFold split three ways by its folds.

    python bench/splits.py labels.csv [--seeds 5] [--steps 6]

Labels are those of a CSV with the columns path and label; 30% of the images are copies of another, which is known as soon as
both are there. The dataset begins with 40% of its images, chosen at random, and grows to all of them; it is split at each step.
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
from fototeca.curate.versions.splits import TOLERANCE, assign, make_unit, winner

RATIOS = (0.7, 0.1, 0.2)
FOLDS = ("test", "test", "val", *["train"] * 7)
"""What each of ten folds is for."""
COPIES = 0.3
LARGE = 50
COLUMNS = (
    "moved a version",
    "moved, no group merged",
    "once test, later train",
    "groups torn",
    "worst share, points off",
    f"the same, {LARGE} images and more",
    "shares within 2 points",
)

Splits = dict[int, SplitName]
"""The split of every image there is so far."""
Splitter = Callable[[Sequence[str], Sequence[Sequence[int]], Splits, int], Splits]
"""From labels, groups, the last version's splits and a seed to the next version's."""


def main() -> None:
    """Grow, split, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=6)
    arguments = parser.parse_args()
    with arguments.labels.open(encoding="utf-8") as file:
        labels = [row["label"] for row in csv.DictReader(file)]
    print(f"{len(labels)} images, {len(set(labels))} categories, {arguments.steps} versions, {arguments.seeds} draws\n")
    print("| | " + " | ".join(COLUMNS) + " |\n| --- |" + " ---: |" * len(COLUMNS))
    for name, split in {"fototeca": ours, "StratifiedGroupKFold": folds}.items():
        figures = np.array([grow(labels, seed, arguments.steps, split) for seed in range(arguments.seeds)])
        moved, free, spoiled, torn, _, _, within = figures.mean(axis=0)
        worst, large = figures[:, 4:6].max(axis=0)
        cells = (f"{moved:.2%}", f"{free:.2%}", f"{spoiled:.2%}", f"{torn:g}", f"{worst:.1f}", f"{large:.1f}", f"{within:.0%}")
        print(f"| {name} | " + " | ".join(cells) + " |")


def grow(labels: Sequence[str], seed: int, steps: int, split: Splitter) -> tuple[float, ...]:
    """One dataset through all its versions: the figures of COLUMNS."""
    rng = np.random.default_rng(seed)
    originals = copies(labels, rng)
    arrival = rng.permutation(len(labels))
    before: Splits = {}
    moved, free, torn = [], [], 0
    off: list[tuple[int, float]] = []
    tested: set[int] = set()
    spoiled: set[int] = set()
    for share in np.linspace(0.4, 1.0, steps):
        groups = group(arrival[: round(share * len(labels))].tolist(), originals)
        now = split(labels, groups, before, seed)
        if before:
            changed = {image for image in before if before[image] != now[image]}
            merged = {image for members in groups for image in members if len({before[m] for m in members if m in before}) > 1}
            moved.append(len(changed) / len(before))
            free.append(len(changed - merged) / len(before))
        torn += sum(len({now[image] for image in members}) > 1 for members in groups)
        off += deviations(labels, now)
        spoiled |= {image for image, name in now.items() if name == "train" and image in tested}
        tested |= {image for image, name in now.items() if name == "test"}
        before = now
    points = np.array([found for _, found in off])
    large = max(found for count, found in off if count >= LARGE)
    shares = (float(np.mean(moved)), float(np.mean(free)), len(spoiled) / len(tested))
    return (*shares, torn, float(points.max()), large, float(np.mean(points <= 100 * TOLERANCE + 1e-9)))


def copies(labels: Sequence[str], rng: np.random.Generator) -> dict[int, int]:
    """For images that are copies: the image of the same category that they were made of, which is no copy itself."""
    by_label = defaultdict(list)
    for image, label in enumerate(labels):
        by_label[label].append(image)
    found = {}
    for members in by_label.values():
        shuffled = rng.permutation(members).tolist()
        count = round(COPIES * len(shuffled))
        found.update({copy: int(rng.choice(shuffled[count:])) for copy in shuffled[:count]})
    return found


def group(present: Sequence[int], originals: Mapping[int, int]) -> list[list[int]]:
    """The groups as far as they can be known: copies whose original has not come yet are each alone."""
    there = set(present)
    members = defaultdict(list)
    for image in sorted(there):
        original = originals.get(image, image)
        members[original if original in there else image].append(image)
    return list(members.values())


def ours(labels: Sequence[str], groups: Sequence[Sequence[int]], earlier: Splits, seed: int) -> Splits:
    """As `curate freeze` splits: earlier splits stay, test wins where groups merge."""
    units = []
    for members in groups:
        pins = [earlier[image] for image in members if image in earlier]
        units.append(make_unit(str(members[0]), [[labels[image]] for image in members], winner(pins)))
    splits = assign(units, RATIOS, seed)
    return {image: splits[str(members[0])] for members in groups for image in members}


def folds(labels: Sequence[str], groups: Sequence[Sequence[int]], earlier: Splits, seed: int) -> Splits:
    """Ten folds anew for every version, since the splitter knows nothing of earlier ones: two for test, one for val."""
    images = [image for members in groups for image in members]
    numbers = [number for number, members in enumerate(groups) for _ in members]
    splitter = StratifiedGroupKFold(len(FOLDS), shuffle=True, random_state=seed)
    with warnings.catch_warnings(action="ignore"):  # of categories with fewer images than folds
        parts = list(splitter.split(images, [labels[image] for image in images], numbers))
    return {images[place]: name for (_, held), name in zip(parts, FOLDS, strict=True) for place in held}  # type: ignore[misc]


def deviations(labels: Sequence[str], splits: Splits) -> list[tuple[int, float]]:
    """For every category and split: the category's images, and by how many points its share is off."""
    counts: dict[str, Counter[SplitName]] = defaultdict(Counter)
    for image, split in splits.items():
        counts[labels[image]][split] += 1
    return [
        (found.total(), 100 * abs(found[split] / found.total() - ratio))
        for found in counts.values()
        for split, ratio in zip(SPLITS, RATIOS, strict=True)
    ]


if __name__ == "__main__":
    main()
