"""Assign groups of images to train, val and test: stratified by label, and stable over versions.

Iterative stratification (Sechidis, Tsoumakas and Vlahavas, "On the Stratification of Multi-Label Data", ECML PKDD 2011) with
groups in place of examples, and with the splits of earlier versions subtracted from the wanted counts. Categories that deviate
by more than two points are then improved by `split_optimizer`. With one label per image this is the usual stratified split.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fototeca.curate.manifest import SPLITS, SplitName
from fototeca.curate.versions.split_optimizer import optimize_splits

TOLERANCE = 0.02
"""Largest deviation of a category's share of a split from its ratio that needs no stated reason."""

PRECEDENCE: tuple[SplitName, ...] = ("test", "val", "train")
"""Split of a merged group, first match wins: test images must never be trained on."""


@dataclass(frozen=True)
class SplitGroup:
    """Images that must share a split. `pinned`: their split in an earlier version. `allowed`: splits they may be assigned to."""

    group_id: str
    size: int
    labels: tuple[tuple[str, int], ...]
    """Images per category, categories sorted."""
    pinned: SplitName | None = None
    allowed: tuple[SplitName, ...] = SPLITS

    @property
    def fixed(self) -> SplitName | None:
        """The only split that it may have, if there is only one."""
        return self.pinned or (self.allowed[0] if len(self.allowed) == 1 else None)


def make_split_group(
    group_id: str,
    labels: Sequence[Sequence[str]],
    pinned: SplitName | None = None,
    allowed: tuple[SplitName, ...] = SPLITS,
) -> SplitGroup:
    """Return the group of images with these labels, one sequence per image."""
    counts = Counter(label for image in labels for label in image)
    return SplitGroup(group_id, len(labels), tuple(sorted(counts.items())), pinned, allowed)


def merge_splits(splits: Iterable[SplitName]) -> SplitName | None:
    """Return the split of a group whose images had these splits; None for no splits."""
    present = set(splits)
    return next((split for split in PRECEDENCE if split in present), None)


def assign_splits(groups: Sequence[SplitGroup], ratios: Sequence[float], seed: int) -> dict[str, SplitName]:
    """Assign every group to a split. `ratios`: shares of train, val and test that sum to one.

    The result depends on the groups, the ratios and the seed, not on the order of the groups.
    """
    splits: dict[str, SplitName] = {group.group_id: group.fixed for group in groups if group.fixed}
    free = sorted((group for group in groups if not group.fixed), key=lambda group: _shuffle_key(seed, group.group_id))
    needs = _count_needs(groups, ratios)
    members: dict[str, list[SplitGroup]] = defaultdict(list)
    for group in free:
        for label, _ in group.labels or (("", 0),):
            members[label].append(group)
    sizes = {label: sum(dict(group.labels)[label] for group in having) for label, having in members.items() if label}
    for label in [*sorted(sizes, key=lambda name: (sizes[name], name)), ""]:
        for group in sorted(members.get(label, ()), key=lambda group: -dict(group.labels).get(label, 0)):
            if group.group_id not in splits:
                splits[group.group_id] = _place(group, label, needs)
    optimize_splits([group for group in free if group.labels], groups, splits, ratios, TOLERANCE, seed)
    return splits


def _shuffle_key(seed: int, group_id: str) -> bytes:
    """Sort key of a random order in which groups keep their places when others are added."""
    return hashlib.sha256(f"{seed}:{group_id}".encode()).digest()


def _count_needs(groups: Sequence[SplitGroup], ratios: Sequence[float]) -> dict[str, list[float]]:
    """Return the images still wanted per label and split after the groups with a fixed split; the label "" counts all images."""
    needs: dict[str, list[float]] = defaultdict(lambda: [0.0] * len(SPLITS))
    for group in groups:
        for label, count in (*group.labels, ("", group.size)):
            wanted = needs[label]
            for index, ratio in enumerate(ratios):
                wanted[index] += ratio * count
            if group.fixed:
                wanted[SPLITS.index(group.fixed)] -= count
    return needs


def _place(group: SplitGroup, label: str, needs: dict[str, list[float]]) -> SplitName:
    """Return the split that needs most images of `label` (on a tie, most images), and subtract the group from the needs."""
    wanted, overall = needs[label], needs[""]
    allowed = [SPLITS.index(split) for split in group.allowed]
    best = max(allowed, key=lambda index: (round(wanted[index], 9), overall[index]))
    for name, count in (*group.labels, ("", group.size)):
        needs[name][best] -= count
    return SPLITS[best]


def find_uneven_shares(
    groups: Sequence[SplitGroup], splits: Mapping[str, SplitName], ratios: Sequence[float]
) -> list[dict[str, Any]]:
    """List each category and split whose share deviates by more than two points: label, split, share, wanted, reason."""
    uneven = []
    by_label: dict[str, list[tuple[SplitGroup, int]]] = defaultdict(list)
    for group in groups:
        for label, count in group.labels:
            by_label[label].append((group, count))
    for label, members in sorted(by_label.items()):
        total = sum(count for _, count in members)
        counts: Counter[SplitName] = Counter()
        for group, count in members:
            counts[splits[group.group_id]] += count
        for split, ratio in zip(SPLITS, ratios, strict=True):
            share = counts[split] / total
            if abs(share - ratio) > TOLERANCE + 1e-9:
                reason = _explain(members, counts, ratios)
                uneven.append({"label": label, "split": split, "share": round(share, 4), "wanted": ratio, "reason": reason})
    return uneven


def _explain(members: Sequence[tuple[SplitGroup, int]], counts: Mapping[SplitName, int], ratios: Sequence[float]) -> str:
    """State why a category deviates from its ratios."""
    total = sum(count for _, count in members)
    if all(abs(counts[split] - ratio * total) < 1 for split, ratio in zip(SPLITS, ratios, strict=True)):
        return f"only {total} images: one is {100 / total:.1f} points"
    pinned: Counter[SplitName] = Counter()
    of_sources: Counter[SplitName] = Counter()
    for group, count in members:
        if group.pinned:
            pinned[group.pinned] += count
        elif group.fixed:
            of_sources[group.fixed] += count
    limits = {split: (ratio + TOLERANCE) * total for split, ratio in zip(SPLITS, ratios, strict=True)}
    if any(pinned[split] > limits[split] for split in SPLITS):
        return "images keep the split that they had in earlier versions"
    if any(pinned[split] + of_sources[split] > limits[split] for split in SPLITS):
        return "images keep the split of their source"
    largest = max(count for _, count in members)
    shared = any(len(group.labels) > 1 for group, _ in members)
    whole = f"groups stay whole, the largest has {largest} of {total} images" + (", and images share labels" if shared else "")
    return f"no nearer split was found: {whole}"
