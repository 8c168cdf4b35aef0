"""From verified pairs to groups: connected components, split again where a chain has joined strangers, with lasting ids."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fototeca.collect.catalog import ImageRow
from fototeca.curate.duplicates.hamming_search import Indices

BAD_COPY = "bad-quality"
"""The reason of a rejection that speaks of the copy, not of what it shows: another copy may do."""

LOSSLESS = frozenset({"PNG", "BMP", "TIFF"})
_ID = 12


class Components:
    """Sets of joined indices."""

    def __init__(self, size: int) -> None:
        self._parents = np.arange(size)

    def roots(self, indices: Indices) -> Indices:
        """For each index (M,), the one that stands for its set."""
        found = self._parents[indices]
        while not np.array_equal(above := self._parents[found], found):
            found = above
        self._parents[indices] = found
        return found

    def join(self, a: int, b: int) -> None:
        """Make one set of two."""
        one, other = self.roots(np.array([a, b]))
        self._parents[other] = one

    def joined(self, a: Indices, b: Indices) -> NDArray[np.bool_]:
        """Which pairs of indices are in one set."""
        same: NDArray[np.bool_] = self.roots(a) == self.roots(b)
        return same

    def sets(self) -> list[list[int]]:
        """The sets of two and more, each sorted."""
        members = defaultdict(list)
        for index, root in enumerate(self.roots(np.arange(len(self._parents))).tolist()):
            members[root].append(index)
        return [indices for indices in members.values() if len(indices) > 1]


@dataclass(frozen=True)
class Match:
    """How a member belongs to its group's centre."""

    reason: str
    distance: float


Group = dict[int, Match]
"""Members with their tie to the first, which is the centre."""

CENTRE = Match("best", 0.0)


def split_component(
    members: Sequence[int], rank: Callable[[int], tuple[object, ...]], ties: Callable[[int, Sequence[int]], Mapping[int, Match]]
) -> list[Group]:
    """Groups of one component: the best-ranked member gathers those alike to it, the best of the rest does the same.

    `ties(centre, others)` says which of the others are alike to the centre. Those alike to no centre are in no group.
    """
    groups: list[Group] = []
    rest = sorted(members, key=rank)
    while len(rest) > 1:
        centre, others = rest[0], rest[1:]
        alike = ties(centre, others)
        if alike:
            groups.append({centre: CENTRE, **{other: alike[other] for other in others if other in alike}})
        rest = [other for other in others if other not in alike]
    return groups


@dataclass(frozen=True)
class KeepPriority:
    """What decides which copy is kept, besides the image itself."""

    held_out: bool
    """An earlier version has it in test."""
    sourced: bool
    """Its author, licence or page is known."""


def rank_image(image: ImageRow) -> tuple[object, ...]:
    """The smaller, the better: what groups are built around. Only what the file itself is, so that no review and no freeze
    changes a group.

    In order: more pixels; lossless; more bytes a pixel (less compressed); the smaller id.
    """
    pixels = image.width * image.height
    return -pixels, image.format not in LOSSLESS, -image.bytes / max(pixels, 1), image.image_id


def rank_copy(image: ImageRow, standing: KeepPriority) -> tuple[object, ...]:
    """The smaller, the better: the rule by which the copy that a group keeps is chosen.

    In order: not rejected for its quality; held out for test by an earlier version; decided on by a person, unless it is set
    aside (rejected for what it shows, it keeps its copies out too, set aside or not; brought back, it says nothing against the
    better one beside it); more pixels; lossless; less compressed; source known; the smaller id.
    """
    *facts, image_id = rank_image(image)
    return (
        image.rejected == BAD_COPY,
        not standing.held_out,
        not ((image.reviewed and image.kept and not image.keep) or image.rejected),
        *facts,
        not standing.sourced,
        image_id,
    )


def name_groups(groups: Sequence[Sequence[str]], before: Mapping[str, str]) -> list[str]:
    """An id for each group of image ids: the one that most of its members had before, else one made of its smallest image id.

    An old id goes to the group that has most of its members, and to no other.
    """
    claims = []
    for number, members in enumerate(groups):
        counts = Counter(before[member] for member in members if member in before)
        claims += [(-count, old, number) for old, count in counts.items()]
    names: dict[int, str] = {}
    given: set[str] = set()
    for _, old, number in sorted(claims):
        if old not in given and number not in names:
            names[number] = old
            given.add(old)
    taken = set(names.values()) | set(before.values())
    for number, members in enumerate(groups):
        if number not in names:
            longer = (member[:length] for length in range(_ID, len(members[0]) + 1) for member in sorted(members))
            names[number] = next(name for name in longer if name not in taken)
            taken.add(names[number])
    return [names[number] for number in range(len(groups))]
