"""Join images that ties connect into scenes, none of which makes a split impossible."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

MIN_LARGE = 10
"""Images that a scene may always have."""

LARGE_SHARE = 0.05
"""Largest share of all images in one scene."""

CATEGORY_SHARE = 1 / 3
"""Largest share of a category's images in one scene."""

MIN_GROUPS = 3
"""Groups that every category retains, so that each split can have one."""


@dataclass(frozen=True)
class Tie:
    """Two images, by index, that show one scene; ties with a higher strength are joined first."""

    a: int
    b: int
    strength: float


@dataclass(frozen=True)
class SceneGroups:
    """The scenes, as sorted indices, largest first, and the images that a scene beyond the limits would connect."""

    scenes: list[list[int]]
    oversized: int
    """Images of the largest connected component that was divided; 0 if none was."""


def join_ties(ties: Iterable[Tie], labels: Sequence[Sequence[str]], groups: Sequence[str]) -> SceneGroups:
    """Join images by their ties, the strongest first, and skip a tie whose scene would be too large.

    A scene has at most `LARGE_SHARE` of all images and `CATEGORY_SHARE` of those of a category, or `MIN_LARGE`, and leaves every
    category `MIN_GROUPS` groups. `labels`: categories of each image. `groups`: name of the split group of each image; its
    images are joined from the start.
    """
    state = _Sets(labels, groups)
    whole = _Sets(labels, groups)
    divided: set[int] = set()
    for tie in sorted(ties, key=lambda tie: (-tie.strength, tie.a, tie.b)):
        a, b = state.root(tie.a), state.root(tie.b)
        if a != b and not state.try_join(a, b):
            divided.add(tie.a)
        whole.join(whole.root(tie.a), whole.root(tie.b))
    scenes = sorted((sorted(members) for members in state.members.values() if len(members) > 1), key=lambda s: (-len(s), s[0]))
    return SceneGroups(scenes, max((len(whole.members[whole.root(index)]) for index in divided), default=0))


class _Sets:
    """Disjoint sets of images with the number of images of each category."""

    def __init__(self, labels: Sequence[Sequence[str]], groups: Sequence[str]) -> None:
        self.totals = Counter(label for names in labels for label in names)
        self.limit = max(MIN_LARGE, LARGE_SHARE * len(labels))
        by_group: dict[str, list[int]] = defaultdict(list)
        for index, name in enumerate(groups):
            by_group[name].append(index)
        self.members = {indices[0]: indices for indices in by_group.values()}
        self.root_of = {index: indices[0] for indices in by_group.values() for index in indices}
        self.counts = {root: Counter(label for i in indices for label in labels[i]) for root, indices in self.members.items()}
        self.num_groups = Counter(label for counts in self.counts.values() for label in counts)

    def root(self, index: int) -> int:
        return self.root_of[index]

    def try_join(self, a: int, b: int) -> bool:
        """Join two sets by their roots; return False where that would exceed a limit."""
        shared = self.counts[a].keys() & self.counts[b].keys()
        too_large = len(self.members[a]) + len(self.members[b]) > self.limit
        if too_large or not all(self.num_groups[label] > MIN_GROUPS for label in shared) or self._dominates(a, b):
            return False
        self.join(a, b)
        return True

    def _dominates(self, a: int, b: int) -> bool:
        """Return True if both sets together have too many images of a category."""
        counts: Mapping[str, int] = self.counts[a] + self.counts[b]
        return any(count > max(MIN_LARGE, CATEGORY_SHARE * self.totals[label]) for label, count in counts.items())

    def join(self, a: int, b: int) -> None:
        """Join two sets by their roots; the smaller one is moved."""
        if a == b:
            return
        if len(self.members[a]) < len(self.members[b]):
            a, b = b, a
        for label in self.counts[a].keys() & self.counts[b].keys():
            self.num_groups[label] -= 1
        for index in self.members[b]:
            self.root_of[index] = a
        self.members[a] += self.members.pop(b)
        self.counts[a] += self.counts.pop(b)
