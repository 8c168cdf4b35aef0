"""Which split an image goes to: stratified by label, whole groups only, and for ever.

Iterative stratification (Sechidis, Tsoumakas and Vlahavas, "On the Stratification of Multi-Label Data", ECML PKDD 2011),
with groups in the place of examples and the splits of earlier versions subtracted from what is wanted; then exchanges
between splits for the categories that are still off by more than two points. With one label per image it is the ordinary
stratified split.
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
"""How far the share of a category in a split may be from its ratio without a stated reason."""

PRECEDENCE: tuple[SplitName, ...] = ("test", "val", "train")
"""Who wins when groups of different splits merge: what was once for testing must never be trained on."""


@dataclass(frozen=True)
class SplitGroup:
    """What must not be torn apart: the images of one group. `pinned` is the split that it had in an earlier version."""

    unit_id: str
    size: int
    labels: tuple[tuple[str, int], ...]
    """Images per category, categories sorted."""
    pinned: SplitName | None = None


def make_unit(unit_id: str, labels: Sequence[Sequence[str]], pinned: SplitName | None = None) -> SplitGroup:
    """The unit of the images with these labels."""
    counts = Counter(label for image in labels for label in image)
    return SplitGroup(unit_id, len(labels), tuple(sorted(counts.items())), pinned)


def winner(splits: Iterable[SplitName]) -> SplitName | None:
    """The split of a group whose images had these."""
    found = set(splits)
    return next((split for split in PRECEDENCE if split in found), None)


def assign(units: Sequence[SplitGroup], ratios: Sequence[float], seed: int) -> dict[str, SplitName]:
    """A split for every unit. `ratios`: shares of train, val and test, summing to one.

    The answer depends on the units, ratios and seed alone, not on the order of the units.
    """
    splits: dict[str, SplitName] = {unit.unit_id: unit.pinned for unit in units if unit.pinned}
    free = sorted((unit for unit in units if not unit.pinned), key=lambda unit: _shuffle(seed, unit.unit_id))
    needs = _needs(units, ratios)
    members: dict[str, list[SplitGroup]] = defaultdict(list)
    for unit in free:
        for label, _ in unit.labels or (("", 0),):
            members[label].append(unit)
    rarity = {label: sum(dict(unit.labels).get(label, 0) for unit in found) for label, found in members.items() if label}
    for label in [*sorted(rarity, key=lambda name: (rarity[name], name)), ""]:
        for unit in sorted(members.get(label, ()), key=lambda unit: -dict(unit.labels).get(label, 0)):
            if unit.unit_id not in splits:
                splits[unit.unit_id] = _place(unit, label, needs)
    optimize_splits([unit for unit in free if unit.labels], units, splits, ratios, TOLERANCE)
    return splits


def _shuffle(seed: int, unit_id: str) -> bytes:
    """A place in a random order that does not change when other units come."""
    return hashlib.sha256(f"{seed}:{unit_id}".encode()).digest()


def _needs(units: Sequence[SplitGroup], ratios: Sequence[float]) -> dict[str, list[float]]:
    """Images still wanted per label and split after the pinned ones; "" stands for all images."""
    needs: dict[str, list[float]] = defaultdict(lambda: [0.0] * len(SPLITS))
    for unit in units:
        for label, count in (*unit.labels, ("", unit.size)):
            wanted = needs[label]
            for index, ratio in enumerate(ratios):
                wanted[index] += ratio * count
            if unit.pinned:
                wanted[SPLITS.index(unit.pinned)] -= count
    return needs


def _place(unit: SplitGroup, label: str, needs: dict[str, list[float]]) -> SplitName:
    """The split that lacks most of `label` (on a tie, most images), which then lacks this unit less."""
    wanted, overall = needs[label], needs[""]
    best = max(range(len(SPLITS)), key=lambda index: (round(wanted[index], 9), overall[index]))
    for name, count in (*unit.labels, ("", unit.size)):
        needs[name][best] -= count
    return SPLITS[best]


def uneven_shares(units: Sequence[SplitGroup], splits: Mapping[str, SplitName], ratios: Sequence[float]) -> list[dict[str, Any]]:
    """Every category and split whose share is off by more than two points: label, split, share, wanted, reason."""
    found = []
    by_label: dict[str, list[tuple[SplitGroup, int]]] = defaultdict(list)
    for unit in units:
        for label, count in unit.labels:
            by_label[label].append((unit, count))
    for label, members in sorted(by_label.items()):
        total = sum(count for _, count in members)
        counts: Counter[SplitName] = Counter()
        for unit, count in members:
            counts[splits[unit.unit_id]] += count
        for split, ratio in zip(SPLITS, ratios, strict=True):
            share = counts[split] / total
            if abs(share - ratio) > TOLERANCE + 1e-9:
                reason = _reason(members, counts, ratios)
                found.append({"label": label, "split": split, "share": round(share, 4), "wanted": ratio, "reason": reason})
    return found


def _reason(members: Sequence[tuple[SplitGroup, int]], counts: Mapping[SplitName, int], ratios: Sequence[float]) -> str:
    """Why a category cannot be split as wanted."""
    total = sum(count for _, count in members)
    if all(abs(counts[split] - ratio * total) < 1 for split, ratio in zip(SPLITS, ratios, strict=True)):
        return f"only {total} images: one is {100 / total:.1f} points"
    pinned: Counter[SplitName] = Counter()
    for unit, count in members:
        if unit.pinned:
            pinned[unit.pinned] += count
    if any(pinned[split] > (ratio + TOLERANCE) * total for split, ratio in zip(SPLITS, ratios, strict=True)):
        return "images keep the split that they had in earlier versions"
    largest = max(count for _, count in members)
    shared = any(len(unit.labels) > 1 for unit, _ in members)
    whole = f"groups stay whole, the largest has {largest} of {total} images" + (", and images share labels" if shared else "")
    return f"no nearer split was found: {whole}"
