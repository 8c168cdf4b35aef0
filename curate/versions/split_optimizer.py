"""Move groups between splits so that the categories come closer to their ratios.

Categories that share groups form a component, and components are independent. In a component, groups with the same images per
category and the same allowed splits are interchangeable, so the unknowns are the numbers of groups of each kind in each split.
A component with few kinds is solved exactly as a mixed-integer linear program (`scipy.optimize.milp`, HiGHS); one with many
kinds by tabu search (Glover, "Tabu Search - Part I", ORSA Journal on Computing 1989). Both are deterministic for a seed. With
1,000 images of 300 categories, three labels each, the exact solver improves nothing in 30 s, the search takes 2 s.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fototeca.curate.manifest import SPLITS, SplitName
from fototeca.curate.union_find import UnionFind

MAX_KINDS = 100
"""Kinds of groups in a component that is solved exactly: 0.1 s on average, 2 s at most."""

MOVE_COST = 1e-4
"""Cost of a moved group in images beyond the tolerance: of equally good splits, the closest to the stratified one is taken."""

MAX_NODES = 300
"""Branch-and-bound nodes of the exact solver; a limit in seconds would make results depend on the machine."""

MAX_MOVES = 20_000
"""Moves of one tabu search: about 4 s."""

PATIENCE = 3000
"""Moves without an improvement after which the tabu search stops."""

TENURE = 7
"""Moves for which a group may not return to the split it left, unless that gives the lowest cost so far."""

_EPSILON = 1e-9

Labels = tuple[tuple[str, int], ...]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class Group(Protocol):
    """Images that stay together."""

    @property
    def group_id(self) -> str:
        """Its id."""

    @property
    def labels(self) -> Labels:
        """Images per category."""

    @property
    def allowed(self) -> tuple[SplitName, ...]:
        """Splits that it may be assigned to."""


class SplitCost:
    """Images per category and split of one component, and the cost of their deviation from the ratios.

    N free groups, M labels per group at most, L categories. Index L is a category without cost, which pads `labels`.
    """

    def __init__(
        self, free: Sequence[Group], held: Mapping[str, Mapping[SplitName, int]], ratios: Sequence[float], tolerance: float
    ) -> None:
        """`held`: images per category and split of the groups that may not move."""
        names = sorted({label for group in free for label, _ in group.labels})
        index = {name: number for number, name in enumerate(names)}
        width = max(len(group.labels) for group in free)
        self.labels: Integers = np.full((len(free), width), len(names))
        """(N, M) category of each entry of a group."""
        self.amounts: Floats = np.zeros((len(free), width))
        """(N, M) images of that category in the group."""
        self.barred = np.array([[split not in group.allowed for split in SPLITS] for group in free])
        """(N, 3) True where a group may not be assigned to a split."""
        for row, group in enumerate(free):
            for column, (label, count) in enumerate(group.labels):
                self.labels[row, column], self.amounts[row, column] = index[label], count
        self.held: Floats = np.zeros((len(names) + 1, len(SPLITS)))
        """(L + 1, 3) images that do not move."""
        for name in names:
            self.held[index[name]] = [held[name][split] if name in held else 0 for split in SPLITS]
        self.totals = self.held.sum(axis=1)
        np.add.at(self.totals, self.labels, self.amounts)
        self.wanted = self.totals[:, None] * np.asarray(ratios)
        self.slack = np.repeat(tolerance * self.totals[:, None] + _EPSILON, len(SPLITS), axis=1)
        self.empty = np.repeat(2 * self.totals[:, None], len(SPLITS), axis=1)
        """(L + 1, 3) cost of an empty split, which exceeds that of any other deviation."""

    def __len__(self) -> int:
        return len(self.held) - 1

    def count(self, assignment: Integers) -> Floats:
        """Images per category and split (L + 1, 3) where group n is in split `assignment[n]`."""
        counts = self.held.copy()
        np.add.at(counts, (self.labels, assignment[:, None]), self.amounts)
        return counts

    def cost(self, labels: Integers, splits: Integers, counts: Floats) -> Floats:
        """Images beyond the tolerance, plus the cost of empty splits, for categories, splits and counts of one shape."""
        beyond = np.maximum(np.abs(counts - self.wanted[labels, splits]) - self.slack[labels, splits], 0)
        cost: Floats = np.where(labels < len(self), beyond + np.where(counts < 0.5, self.empty[labels, splits], 0), 0.0)
        return cost

    def cost_table(self, counts: Floats) -> Floats:
        """Cost of every category in every split, (L + 1, 3)."""
        labels, splits = (np.arange(size) for size in counts.shape)
        return self.cost(labels[:, None], splits[None, :], counts)

    def total_cost(self, assignment: Integers) -> float:
        """Cost of the whole component."""
        return float(self.cost_table(self.count(assignment)).sum())


def optimize_splits(
    free: Sequence[Group],
    groups: Sequence[Group],
    splits: dict[str, SplitName],
    ratios: Sequence[float],
    tolerance: float,
    seed: int = 0,
) -> None:
    """Change `splits` of the `free` groups so that fewer categories of all `groups` deviate by more than `tolerance`.

    `ratios`: shares of train, val and test. `seed`: of the tabu search. Components that no change improves stay as they are.
    """
    movable = {group.group_id for group in free}
    held: dict[str, dict[SplitName, int]] = defaultdict(lambda: dict.fromkeys(SPLITS, 0))
    for group in groups:
        if group.group_id not in movable:
            for label, count in group.labels:
                held[label][splits[group.group_id]] += count
    for component in _components(free):
        cost = SplitCost(component, held, ratios, tolerance)
        start = np.array([SPLITS.index(splits[group.group_id]) for group in component])
        if cost.total_cost(start) < _EPSILON:
            continue
        kinds: dict[tuple[Labels, tuple[SplitName, ...]], list[int]] = defaultdict(list)
        for number, group in enumerate(component):
            kinds[group.labels, group.allowed].append(number)
        exact = solve_exactly(cost, [kinds[kind] for kind in sorted(kinds)], start) if len(kinds) <= MAX_KINDS else None
        found = tabu_search(cost, start, seed) if exact is None else exact
        if cost.total_cost(found) < cost.total_cost(start) - _EPSILON:
            splits.update((group.group_id, SPLITS[split]) for group, split in zip(component, found.tolist(), strict=True))


def _components(free: Sequence[Group]) -> Iterator[list[Group]]:
    """Groups whose categories are connected by groups that have several, in the order of the categories."""
    names = sorted({label for group in free for label, _ in group.labels})
    index = {name: number for number, name in enumerate(names)}
    sets = UnionFind(len(names))
    for group in free:
        for label, _ in group.labels[1:]:
            sets.union(index[group.labels[0][0]], index[label])
    members: dict[int, list[Group]] = defaultdict(list)
    roots = sets.roots(np.arange(len(names))).tolist()
    for group in free:
        members[roots[index[group.labels[0][0]]]].append(group)
    for root in sorted(members):
        yield members[root]


def solve_exactly(cost: SplitCost, kinds: Sequence[Sequence[int]], start: Integers) -> Integers | None:
    """Return the assignment (N,) with the lowest cost, the closest to `start` of several; None where the solver gave up.

    `kinds`: the groups of each kind. Unknowns per split are the groups of each kind (integers), the images of each category
    beyond the tolerance, the images that an empty split lacks, and the groups of each kind that come from another split.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp

    count, parts, cells = len(kinds), len(SPLITS), len(cost) * len(SPLITS)
    amounts = np.zeros((count, len(cost) + 1))
    for number, members in enumerate(kinds):
        np.add.at(amounts[number], cost.labels[members[0]], cost.amounts[members[0]])
    images = np.kron(np.eye(parts), amounts[:, :-1].T)
    held, wanted, slack, empty = (values[:-1].T.ravel() for values in (cost.held, cost.wanted, cost.slack, cost.empty))
    sizes = np.array([len(members) for members in kinds])
    most = np.where(cost.barred[[members[0] for members in kinds]], 0, sizes[:, None]).T.ravel()
    before = np.array([np.bincount(start[list(members)], minlength=parts) for members in kinds]).T.ravel()
    one, none, unmoved = np.eye(cells), np.zeros((cells, cells)), np.zeros((cells, parts * count))
    identity, zeros = np.eye(parts * count), np.zeros((parts * count, 2 * cells))
    placed = np.hstack([np.tile(np.eye(count), parts), np.zeros((count, 2 * cells + parts * count))])
    result = milp(
        np.concatenate([np.zeros(parts * count), np.ones(cells), empty, np.full(parts * count, MOVE_COST)]),
        integrality=np.repeat([1, 0], [parts * count, 2 * cells + parts * count]),
        bounds=Bounds(0, np.concatenate([most, np.full(2 * cells + parts * count, np.inf)])),
        constraints=[
            LinearConstraint(placed, sizes, sizes),
            LinearConstraint(np.hstack([images, -one, none, unmoved]), ub=wanted + slack - held),
            LinearConstraint(np.hstack([images, one, none, unmoved]), lb=wanted - slack - held),
            LinearConstraint(np.hstack([images, none, one, unmoved]), lb=1 - held),
            LinearConstraint(np.hstack([identity, zeros, -identity]), ub=before),
        ],
        options={"node_limit": MAX_NODES, "mip_rel_gap": 0},
    )
    if result.status != 0:
        return None
    placements = np.rint(result.x[: parts * count]).astype(np.int64).reshape(parts, count)
    assignment = start.copy()
    for number, members in enumerate(kinds):
        _place_kind(assignment, members, placements[:, number])
    return assignment


def _place_kind(assignment: Integers, members: Sequence[int], placements: Integers) -> None:
    """Move as few groups of one kind as possible so that each split has its number of `placements` (3,)."""
    left, moving = placements.copy(), []
    for member in members:
        if left[assignment[member]] > 0:
            left[assignment[member]] -= 1
        else:
            moving.append(member)
    assignment[moving] = np.repeat(np.arange(len(left)), left)


def tabu_search(cost: SplitCost, start: Integers, seed: int) -> Integers:
    """Return the best assignment (N,) met by moving one group at a time, from `start`.

    Each move takes a random category that deviates, and the best allowed move of a group that has it, even one that raises the
    cost. A group may not return to its former split for `TENURE` moves.
    """
    chance = np.random.default_rng(seed)
    members = [np.flatnonzero((cost.labels == label).any(axis=1)) for label in range(len(cost))]
    assignment, counts = start.copy(), cost.count(start)
    table = cost.cost_table(counts)
    total = lowest = float(table.sum())
    best, idle = start, 0
    barred = np.zeros((len(start), len(SPLITS)), np.int64)
    for step in range(1, MAX_MOVES + 1):
        deviating = np.flatnonzero(table.sum(axis=1) > _EPSILON)
        if not len(deviating) or idle >= PATIENCE:
            break
        idle += 1
        groups = members[chance.choice(deviating)]
        gains = _gains(cost, counts, table, groups, assignment[groups])
        gains[cost.barred[groups] | ((barred[groups] >= step) & (total - gains >= lowest - _EPSILON))] = -np.inf
        row, target = np.unravel_index(gains.argmax(), gains.shape)
        if gains[row, target] == -np.inf:
            continue
        group, source = groups[row], assignment[groups[row]]
        labels, amounts = cost.labels[group], cost.amounts[group]
        counts[labels, source] -= amounts
        counts[labels, target] += amounts
        for split in (source, target):
            table[labels, split] = cost.cost(labels, np.full(len(labels), split), counts[labels, split])
        assignment[group], barred[group, source] = target, step + TENURE
        total -= float(gains[row, target])
        if total < lowest - _EPSILON:
            best, lowest, idle = assignment.copy(), total, 0
    return best


def _gains(cost: SplitCost, counts: Floats, table: Floats, groups: Integers, sources: Integers) -> Floats:
    """Reduction of the cost (G, 3) by moving each group from its source to each split; -inf where it is already."""
    labels, amounts = cost.labels[groups], cost.amounts[groups]
    old = np.broadcast_to(sources[:, None], labels.shape)
    leaving = (table[labels, old] - cost.cost(labels, old, counts[labels, old] - amounts)).sum(axis=1)
    wide = np.repeat(labels[:, :, None], len(SPLITS), axis=2)
    new = np.broadcast_to(np.arange(len(SPLITS)), wide.shape)
    entering = (table[wide, new] - cost.cost(wide, new, counts[wide, new] + amounts[:, :, None])).sum(axis=1)
    gains: Floats = leaving[:, None] + entering
    gains[np.arange(len(groups)), sources] = -np.inf
    return gains
