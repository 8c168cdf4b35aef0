"""Exchanges between splits that bring categories closer to their ratios, found by trying moves and swaps of groups.

A small category that exchanges cannot mend is packed anew by dynamic programming, which finds a way if there is one; where
categories that come together are still off in the end, all of them are, as far as that is small enough to be looked through.
Groups with the same counts in the same split are interchangeable, so that only kinds of groups are compared: a hundred
thousand images have few kinds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from math import ceil, floor
from typing import Protocol

from fototeca.curate.manifest import SPLITS, SplitName

MAX_STEPS = 2000
"""Exchanges after which the search stops; each lowers the cost, so that it would end anyway."""

MAX_KINDS = 60
"""Kinds of groups per split that are tried for one category; more exist only with very many labels an image."""

MAX_LOOKS = 50_000
"""Exchanges that are looked at once none makes things better by itself: about a second."""

TENURE = 7
"""Steps for which no group of a kind goes back to where one was taken from."""

MAX_STATES = 3_000_000
"""Steps of the exact packing that are worth their time; larger categories have enough groups for exchanges to work."""

MAX_SUMS = 600_000
"""Sums of categories in partial packings that are looked at before giving up: some seconds."""

Labels = tuple[tuple[str, int], ...]
Change = list[tuple[Labels, SplitName, SplitName]]
Sums = tuple[int, ...]
"""Images per category and bin, the bins of a category side by side."""


class Group(Protocol):
    """Images that stay together."""

    @property
    def unit_id(self) -> str:
        """Its id."""

    @property
    def labels(self) -> Labels:
        """Images per category."""


class _Kinds(defaultdict[tuple[Labels, SplitName], list[str]]):
    """Groups that may be moved, by what they hold and where they are."""

    def __init__(self, free: Sequence[Group], splits: Mapping[str, SplitName]) -> None:
        super().__init__(list)
        for unit in free:
            self[unit.labels, splits[unit.unit_id]].append(unit.unit_id)
        self.of: dict[str, list[Labels]] = defaultdict(list)
        """What groups hold that have a category, sorted: wherever they are moved, they hold the same."""
        for labels in sorted({labels for labels, _ in self}):
            for label, _ in labels:
                self.of[label].append(labels)


class SplitCost:
    """Images per category and split, and what a deviation costs."""

    def __init__(
        self, units: Sequence[Group], splits: Mapping[str, SplitName], ratios: Sequence[float], tolerance: float
    ) -> None:
        self.counts: dict[str, dict[SplitName, int]] = defaultdict(lambda: dict.fromkeys(SPLITS, 0))
        for unit in units:
            for label, count in unit.labels:
                self.counts[label][splits[unit.unit_id]] += count
        self.totals = {label: sum(counts.values()) for label, counts in self.counts.items()}
        self.ratios = dict(zip(SPLITS, ratios, strict=True))
        self.tolerance = tolerance
        self._costs = {label: self.cost(label, counts) for label, counts in self.counts.items()}

    def cost(self, label: str, counts: Mapping[SplitName, int]) -> float:
        """Images outside the tolerance; an empty split weighs more than any other fault."""
        total = self.totals[label]
        cost = 0.0
        for split, ratio in self.ratios.items():
            cost += max(0.0, abs(counts[split] - ratio * total) - self.tolerance * total)
            if counts[split] == 0:
                cost += 2 * total
        return cost

    def cost_of_all(self) -> float:
        """The cost of every category together."""
        return sum(self._costs.values())

    def worst(self, passed: Collection[str] = ()) -> str:
        """The category that is off by most for its size, of those not `passed`; nothing when none is."""
        off = sorted(label for label, cost in self._costs.items() if cost >= 1e-9 and label not in passed)
        return max(off, key=lambda label: self._costs[label] / self.totals[label], default="")

    def bounds(self, label: str, fixed: Mapping[SplitName, int]) -> list[tuple[int, int]]:
        """For each split, the fewest and the most images that may join those that are fixed there."""
        total, found = self.totals[label], []
        for split, ratio in self.ratios.items():
            low = max(1, ceil((ratio - self.tolerance) * total - 1e-9))
            found.append((low - fixed[split], floor((ratio + self.tolerance) * total + 1e-9) - fixed[split]))
        return found

    def hopeless(self, kinds: _Kinds) -> set[str]:
        """Categories that no way of splitting brings within the tolerance: too few images, or too many that are held."""
        held = {label: dict(counts) for label, counts in self.counts.items()}
        for (labels, split), unit_ids in kinds.items():
            for label, count in labels:
                held[label][split] -= count * len(unit_ids)
        found = set()
        for label, counts in held.items():
            bounds, free = self.bounds(label, counts), self.totals[label] - sum(counts.values())
            few, most = (sum(max(bound[end], 0) for bound in bounds) for end in (0, 1))
            if any(high < max(low, 0) for low, high in bounds) or not few <= free <= most:
                found.add(label)
        return found

    def gain(self, change: Change) -> float:
        """How much cheaper a change makes the board, in images."""
        changed: dict[str, dict[SplitName, int]] = {}
        for labels, source, target in change:
            for label, count in labels:
                counts = changed.setdefault(label, dict(self.counts[label]))
                counts[source] -= count
                counts[target] += count
        return sum(self._costs[label] - self.cost(label, counts) for label, counts in changed.items())

    def apply(self, change: Change) -> None:
        """Make the change."""
        for labels, source, target in change:
            for label, count in labels:
                self.counts[label][source] -= count
                self.counts[label][target] += count
        for label in {label for labels, _, _ in change for label, _ in labels}:
            self._costs[label] = self.cost(label, self.counts[label])


def optimize_splits(
    free: Sequence[Group], units: Sequence[Group], splits: dict[str, SplitName], ratios: Sequence[float], tolerance: float
) -> None:
    """Change `splits` of the `free` units so that fewer categories of all `units` are off by more than `tolerance`."""
    board = SplitCost(units, splits, ratios, tolerance)
    kinds = _Kinds(free, splits)
    _descend(board, kinds)
    hopeless = board.hopeless(kinds)
    tabu_search(board, kinds, hopeless)
    if board.worst(hopeless):
        _repack_all(board, kinds, hopeless)
    splits.update((unit_id, split) for (_, split), unit_ids in kinds.items() for unit_id in unit_ids)


def _descend(board: SplitCost, kinds: _Kinds) -> None:
    """The best exchange for the worst category, again and again, as long as one makes things better."""
    stuck: set[str] = set()
    for _ in range(MAX_STEPS):
        worst = board.worst(stuck)
        if not worst:
            return
        change = max(_changes(worst, kinds), key=board.gain, default=[])
        if not change or board.gain(change) < 1e-9:
            change = _repack(board, worst, kinds)
            stuck.add(worst)
        else:
            stuck.clear()
        _make(change, board, kinds)


def tabu_search(board: SplitCost, kinds: _Kinds, hopeless: Collection[str]) -> None:
    """Go on where no single exchange helps: the least bad one, never straight back, and in the end the best that was met.

    Tabu search (Glover, "Tabu Search - Part I", ORSA Journal on Computing 1989), within a number of exchanges looked at.
    """
    best, back = board.cost_of_all(), []
    barred: dict[tuple[Labels, SplitName], int] = {}
    looked, step = 0, 0
    while looked < MAX_LOOKS and (worst := board.worst(hopeless)):
        step += 1
        ways = [way for way in _changes(worst, kinds) if all(barred.get((one[0], one[2]), 0) < step for one in way)]
        looked += len(ways) + 1
        change = max(ways, key=board.gain, default=[])
        _make(change, board, kinds)
        barred.update(((labels, source), step + TENURE) for labels, source, _ in change)
        back.append(change)
        if (cost := board.cost_of_all()) < best - 1e-9:
            best, back = cost, []
    for change in reversed(back):
        _make([(labels, target, source) for labels, source, target in change], board, kinds)


def _make(change: Change, board: SplitCost, kinds: _Kinds) -> None:
    """Move a group of each kind that the change names."""
    board.apply(change)
    for labels, source, target in change:
        kinds[labels, target].append(kinds[labels, source].pop())


def _repack(board: SplitCost, label: str, kinds: _Kinds) -> Change:
    """The moves of groups of this category alone that bring it within the tolerance; none if there is no way."""
    groups = [(labels, split) for (labels, split), unit_ids in sorted(kinds.items()) for _ in unit_ids]
    groups = sorted((group for group in groups if [name for name, _ in group[0]] == [label]), key=lambda group: -group[0][0][1])
    if len(groups) * board.totals[label] ** 2 > MAX_STATES:
        return []
    fixed = dict(board.counts[label])
    for labels, split in groups:
        fixed[split] -= labels[0][1]
    return _moves(groups, _pack([(labels[0][1],) for labels, _ in groups], [board.bounds(label, fixed)], MAX_STATES))


def _repack_all(board: SplitCost, kinds: _Kinds, hopeless: Collection[str]) -> None:
    """Put every group anew such that all categories but the hopeless ones are within the tolerance, if that makes the whole
    better and a way is found."""
    names = [name for name in sorted(board.counts) if name not in hopeless]
    groups = [(labels, split) for (labels, split), unit_ids in sorted(kinds.items()) for _ in unit_ids]
    groups = [group for group in groups if any(name in names for name, _ in group[0])]
    groups.sort(key=lambda group: -sum(count for _, count in group[0]))
    fixed = {name: dict(board.counts[name]) for name in names}
    items = [tuple(dict(labels).get(name, 0) for name in names) for labels, _ in groups]
    for item, (_, split) in zip(items, groups, strict=True):
        for name, count in zip(names, item, strict=True):
            fixed[name][split] -= count
    change = _moves(groups, _pack(items, [board.bounds(name, fixed[name]) for name in names], MAX_SUMS))
    before = board.cost_of_all()
    _make(change, board, kinds)
    if board.cost_of_all() > before - 1e-9:
        _make([(labels, target, source) for labels, source, target in reversed(change)], board, kinds)


def _moves(groups: Sequence[tuple[Labels, SplitName]], targets: Sequence[int]) -> Change:
    """What has to move for every group to be in its target; nothing where there are no targets."""
    moves = ((labels, source, SPLITS[index]) for (labels, source), index in zip(groups, targets, strict=False))
    return [move for move in moves if move[1] != move[2]]


def _pack(items: Sequence[tuple[int, ...]], bounds: Sequence[Sequence[tuple[int, int]]], limit: int) -> list[int]:
    """A bin for every item such that each bin's sums are within its bounds (fewest, most) in every category.

    `items`: images per category; `bounds`: per category and bin. Empty if there is no way, or after `limit` sums of categories.
    """
    layers: list[dict[Sums, int]] = [{(0,) * len(bounds) * len(SPLITS): -1}]
    rest = [sum(column) for column in zip(*items, strict=True)]
    for item in items:
        rest = [left - count for left, count in zip(rest, item, strict=True)]
        layer: dict[Sums, int] = {}
        for sums in layers[-1]:
            for index in range(len(SPLITS)):
                added = _add(sums, index, item)
                if added not in layer and _may_fit(added, bounds, rest):
                    layer[added] = index
        layers.append(layer)
        limit -= len(layer) * len(bounds)
        if limit < 0:
            return []
    if not layers[-1]:
        return []
    sums, chosen = min(layers[-1]), []
    for item, layer in zip(reversed(items), reversed(layers), strict=False):
        chosen.append(layer[sums])
        sums = _add(sums, layer[sums], [-count for count in item])
    return chosen[::-1]


def _may_fit(sums: Sums, bounds: Sequence[Sequence[tuple[int, int]]], rest: Sequence[int]) -> bool:
    """Whether no bin holds too much, and what is left may suffice for those that hold too little."""
    for place, (limits, left) in enumerate(zip(bounds, rest, strict=True)):
        for index, (fewest, most) in enumerate(limits):
            count = sums[place * len(SPLITS) + index]
            if count > most:
                return False
            left -= max(fewest - count, 0)
        if left < 0:
            return False
    return True


def _add(sums: Sums, index: int, item: Sequence[int]) -> Sums:
    """The sums with the item in one bin."""
    found = list(sums)
    for place, count in enumerate(item):
        found[place * len(SPLITS) + index] += count
    return tuple(found)


def _changes(label: str, kinds: _Kinds) -> Iterator[Change]:
    """Every move of one group that has the label, and every swap of two of which one has it."""
    by_split: dict[SplitName, list[Labels]] = defaultdict(list)
    for labels in kinds.of[label]:
        for split in SPLITS:
            if kinds[labels, split] and len(by_split[split]) < MAX_KINDS:
                by_split[split].append(labels)
    for source in SPLITS:
        for labels in by_split[source]:
            for target in SPLITS:
                if target != source:
                    yield [(labels, source, target)]
                    yield from ([(labels, source, target), (other, target, source)] for other in by_split[target])
