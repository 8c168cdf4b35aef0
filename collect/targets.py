"""How far each category is from its target, while candidates are still on their way."""

from __future__ import annotations

from collections import Counter

from collect.catalog import Catalog, ImageRow
from workspace import LABEL_SEPARATOR

ALIKE = 4
"""Bits of the pHash up to which an image counts as a copy of one that is there: `curate dedup` will look at the pixels."""


class Targets:
    """Counts the distinct accepted images of each category, and the candidates of each that are being fetched.

    Counting by pHash while collecting leaves room for the copies that dedup will set aside, so that the target still
    holds afterwards.
    """

    def __init__(self, catalog: Catalog, target: int) -> None:
        self.catalog = catalog
        self.target = target
        self.pending: Counter[str] = Counter()
        self._hashes: dict[str, list[int]] = {}
        self._seen: set[tuple[str, str]] = set()
        for image in catalog.images("accepted"):
            self._take(image)

    def distinct(self, category: str) -> int:
        """Accepted images of the category that do not look like one another."""
        return len(self._hashes.get(category, ()))

    def reached(self, category: str) -> bool:
        """Whether there are enough."""
        return self.distinct(category) >= self.target

    def on_the_way(self, category: str) -> bool:
        """Whether there will be enough if all that is being fetched is accepted: then it is better to wait and see."""
        return self.pending[category] > 0 and self.distinct(category) + self.pending[category] >= self.target

    def refresh(self, image_id: str) -> None:
        """Look again at an image that was accepted or labelled just now."""
        image = self.catalog.image(image_id)
        if image is not None and image.status == "accepted":
            self._take(image)

    def _take(self, image: ImageRow) -> None:
        value = int(image.phash, 16)
        for category in filter(None, image.label.split(LABEL_SEPARATOR)):
            if (category, image.image_id) not in self._seen:
                self._seen.add((category, image.image_id))
                hashes = self._hashes.setdefault(category, [])
                if all((value ^ other).bit_count() > ALIKE for other in hashes):
                    hashes.append(value)
