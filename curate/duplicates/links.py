"""Ties that set nothing aside: fixed cameras, and the sets of images that share a split."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fototeca.collect.catalog import ImageRow, TieRow
from fototeca.curate.duplicates.verdict import ALTERED, COPY, RESHOT
from fototeca.curate.labels.apart import Partners
from fototeca.curate.labels.categories import differing_labels
from fototeca.curate.union_find import UnionFind

MIN_LINKED, MAX_LINKED_SHARE = 10, 0.05
"""Linked sets of more sets of copies than the larger of the two, the second a share of all images, are no longer linked."""

_FEW_UNITS = 3

Tie = tuple[int, int, str]
"""Two images, by index, and the kind of their tie."""


def find_fixed_cameras(ties: Sequence[Tie], images: Sequence[ImageRow]) -> dict[int, int]:
    """Return the number of the fixed camera or template of each image that belongs to one, by index.

    A fixed camera shows in images of one size that differ in places: ties of `altered` or `reshot` lead to three sets of copies
    or more, or join different labels. Two of its images that look equal are two exposures, not copies.
    """
    inside = [
        (a, b, kind)
        for a, b, kind in ties
        if kind in (COPY, RESHOT, ALTERED) and (images[a].width, images[a].height) == (images[b].width, images[b].height)
    ]
    units, cameras = UnionFind(len(images)), UnionFind(len(images))
    for a, b, kind in inside:
        cameras.union(a, b)
        if kind == COPY:
            units.union(a, b)
    unit_of, camera_of = units.roots().tolist(), cameras.roots().tolist()
    found: dict[int, set[int]] = defaultdict(set)
    across: set[int] = set()
    for a, b, kind in inside:
        found[camera_of[a]] |= {unit_of[a], unit_of[b]}
        if kind != COPY and differing_labels((images[a].label, images[b].label)):
            across.add(camera_of[a])
    fixed = {camera for camera, members in found.items() if len(members) >= _FEW_UNITS} | across
    return {index: camera for index, camera in enumerate(camera_of) if camera in fixed}


@dataclass(frozen=True)
class Links:
    """Components of images that share a split, the ties that do not set aside, and sizes of the sets that are not linked."""

    components: list[list[int]]
    ties: list[TieRow]
    unlinked: tuple[int, ...]


def link_components(
    components: Sequence[Sequence[int]],
    ties: Sequence[Tie],
    images: Mapping[int, ImageRow],
    partners: Partners,
    total: int,
) -> Links:
    """Link components of copies by the ties that set nothing aside.

    A linked set drops these ties if it has different labels, or more components than the larger of MIN_LINKED and
    MAX_LINKED_SHARE of `total`: the exposures of a fixed camera could otherwise never be split.
    """
    number_of = {index: number for number, component in enumerate(components) for index in component}
    wanted = [
        (a, b, kind)
        for a, b, kind in ties
        if number_of[a] != number_of[b] and images[b].image_id not in partners.get(images[a].image_id, ())
    ]
    sets = UnionFind(len(components))
    for a, b, _ in wanted:
        sets.union(number_of[a], number_of[b])
    root_of = sets.roots().tolist()
    linked: dict[int, list[int]] = defaultdict(list)
    for number, root in enumerate(root_of):
        linked[root].append(number)
    limit = max(MIN_LINKED, MAX_LINKED_SHARE * total)
    unlinked: dict[int, int] = {}
    result: list[list[int]] = []
    for root, numbers in linked.items():
        members = [index for number in numbers for index in components[number]]
        labels = differing_labels(images[index].label for index in members if not images[index].rejected)
        if len(numbers) > 1 and (len(numbers) > limit or labels):
            unlinked[root] = len(members)
            result += [list(components[number]) for number in numbers]
        else:
            result.append(members)
    rows = {}
    for a, b, kind in wanted:
        first, second = sorted((images[a].image_id, images[b].image_id))
        rows[first, second] = TieRow(first, second, kind, root_of[number_of[a]] not in unlinked)
    return Links(result, list(rows.values()), tuple(sorted(unlinked.values(), reverse=True)))
