"""Form duplicate groups from verified pairs, with ids that persist, and choose the representative of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from fototeca.collect.catalog import ImageRow
from fototeca.curate.duplicates.verdict import COPY

BAD_COPY = "bad-quality"
"""Reason of a rejection that concerns the copy, not its content: another copy of the group may be accepted."""

LOSSLESS = frozenset({"PNG", "BMP", "TIFF"})
_ID = 12


@dataclass(frozen=True)
class Match:
    """Relation of a member to the center of its group."""

    reason: str
    distance: float
    kind: str = COPY


Group = dict[int, Match]
"""Members with their match to the first, which is the center."""

CENTER = Match("best", 0.0)


def split_component(
    members: Sequence[int],
    rank: Callable[[int], tuple[object, ...]],
    find_matches: Callable[[int, Sequence[int]], Mapping[int, Match]],
) -> list[Group]:
    """Split a connected component into groups around centers, since a chain of pairs may connect different images.

    The best-ranked member forms a group with its matches, then the best-ranked of the rest, and so on.
    `find_matches(center, others)` returns the matches of the center among the others. Members without a match are in no group.
    """
    groups: list[Group] = []
    rest = sorted(members, key=rank)
    while len(rest) > 1:
        center, others = rest[0], rest[1:]
        matches = find_matches(center, others)
        if matches:
            groups.append({center: CENTER, **{other: matches[other] for other in others if other in matches}})
        rest = [other for other in others if other not in matches]
    return groups


@dataclass(frozen=True)
class KeepPriority:
    """Properties besides the file that decide which image represents a group."""

    held_out: bool
    """The image is in the test split of an earlier version."""
    has_source: bool
    """Its author, license or page is known."""


def rank_image(image: ImageRow) -> tuple[object, ...]:
    """Return the sort key that chooses group centers, best first. It uses the file alone, so reviews do not change groups.

    In order: more pixels; lossless; more bytes per pixel (less compressed); the smaller id.
    """
    pixels = image.width * image.height
    return -pixels, image.format not in LOSSLESS, -image.bytes / max(pixels, 1), image.image_id


def rank_copy(image: ImageRow, priority: KeepPriority) -> tuple[object, ...]:
    """Return the sort key that chooses the representative of a group, best first.

    In order: not rejected for its quality; in the test split of an earlier version; decided by a person (reviewed and not set
    aside nor restored, or rejected for its content, which keeps its copies out too); more pixels; lossless; less compressed;
    source known; the smaller id.
    """
    *rank, image_id = rank_image(image)
    return (
        image.rejected == BAD_COPY,
        not priority.held_out,
        not ((image.reviewed and image.is_representative and not image.restored) or image.rejected),
        *rank,
        not priority.has_source,
        image_id,
    )


def name_groups(groups: Sequence[Sequence[str]], before: Mapping[str, str]) -> list[str]:
    """Return an id for each group of image ids.

    A group takes over the id that most of its members had before; of several groups, the one with most members of that id.
    Other groups are named after their smallest image id.
    """
    claims = []
    for number, members in enumerate(groups):
        counts = Counter(before[member] for member in members if member in before)
        claims += [(-count, old, number) for old, count in counts.items()]
    names: dict[int, str] = {}
    assigned: set[str] = set()
    for _, old, number in sorted(claims):
        if old not in assigned and number not in names:
            names[number] = old
            assigned.add(old)
    used = set(names.values()) | set(before.values())
    for number, members in enumerate(groups):
        if number not in names:
            longer = (member[:length] for length in range(_ID, len(members[0]) + 1) for member in sorted(members))
            names[number] = next(name for name in longer if name not in used)
            used.add(names[number])
    return [names[number] for number in range(len(groups))]
