"""Split connected sets of images at the pairs that people declared apart: see `curate.labels.apart`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations, product

from fototeca.curate.duplicates.clustering import Match
from fototeca.curate.labels.apart import Partners
from fototeca.curate.union_find import UnionFind

PIXELS = "pixels"
"""Reason of a match whose pixels are all equal."""

FindMatches = Callable[[int, Sequence[int]], Mapping[int, Match]]
"""Returns the matches of an item among others, by index."""


class Separator:
    """Ties between images, given as indices, without those that people dissolved.

    Args:
        ids: image ids, by index of an image.
        partners: images that are apart, by id.
        classes: images with equal pixels, by index of a class.
        ties: pairs of classes that connect them; not necessarily all that match.
        find_matches: compares classes.
    """

    def __init__(
        self,
        ids: Sequence[str],
        partners: Partners,
        classes: Sequence[Sequence[int]],
        ties: Sequence[tuple[int, int]],
        find_matches: FindMatches,
    ) -> None:
        place = {image_id: index for index, image_id in enumerate(ids)} if partners else {}
        known = {place[image_id]: others for image_id, others in partners.items() if image_id in place}
        self._partners = {index: frozenset(place[other] for other in others if other in place) for index, others in known.items()}
        self._classes = classes
        self._class_of = {index: number for number, members in enumerate(classes) for index in members} if partners else {}
        self._ties = ties
        self._find_class_matches = find_matches

    def concerns(self, members: Sequence[int]) -> bool:
        """Return True if two images of these classes are apart."""
        images = {index for member in members for index in self._classes[member]}
        return any(self._partners[index] & images for index in images & self._partners.keys())

    def split(self, members: Sequence[int]) -> list[list[int]]:
        """Return the connected sets of the images of some classes; parts stay together if any pair across them matches."""
        images = [index for member in members for index in self._classes[member]]
        place = {index: number for number, index in enumerate(images)}
        sets = UnionFind(len(images))
        inside = {*members}
        ties = [pair for member in members for pair in combinations(self._classes[member], 2)]
        for a, b in self._ties:
            if a in inside and b in inside:
                ties += product(self._classes[a], self._classes[b])
        for first, second in ties:
            if not self._is_apart(first, second):
                sets.union(place[first], place[second])
        for number, image in enumerate(images):
            roots = sets.roots().tolist()
            others = [other for other in images[number + 1 :] if roots[place[other]] != roots[number]]
            for other in self.find_matches(image, others, exclusive=False):
                sets.union(number, place[other])
        parts: dict[int, list[int]] = {}
        for root, image in zip(sets.roots().tolist(), images, strict=True):
            parts.setdefault(root, []).append(image)
        return list(parts.values())

    def find_matches(self, center: int, others: Sequence[int], exclusive: bool = True) -> Mapping[int, Match]:
        """Return the matches of an image among others, without those that are apart from it.

        `exclusive`: of two others that are apart from each other, only the first matches.
        """
        others = [other for other in others if not self._is_apart(center, other)]
        own = self._class_of[center]
        classes = sorted({self._class_of[other] for other in others} - {own})
        found = {**(self._find_class_matches(own, classes) if classes else {}), own: Match(PIXELS, 0.0)}
        matches: dict[int, Match] = {}
        for other in others:
            clashes = exclusive and any(self._is_apart(other, match) for match in matches)
            if self._class_of[other] in found and not clashes:
                matches[other] = found[self._class_of[other]]
        return matches

    def _is_apart(self, first: int, second: int) -> bool:
        return second in self._partners.get(first, ())
