"""Count the images that each category still needs while candidates are being fetched."""

from __future__ import annotations

from collections import Counter, defaultdict

from fototeca.collect.catalog import Catalog, ImageRow
from fototeca.core.settings import LABEL_SEPARATOR

MAX_COPY_DISTANCE = 4
"""Largest Hamming distance of two pHashes (bits of 64) at which the later image counts as a copy of the earlier one."""


_BANDS = tuple((13 * number, 13 if number < MAX_COPY_DISTANCE else 12) for number in range(MAX_COPY_DISTANCE + 1))
"""(offset, width) of bit bands that cover 64 bits: hashes that differ in at most MAX_COPY_DISTANCE bits share one band."""


class Targets:
    """Count the distinct accepted images of each category and the candidates in flight.

    An image whose pHash is near that of an earlier one is not counted: `curate dedup` will probably set it aside, and the
    target should hold afterwards. Images that dedup has compared and kept count as distinct even with equal pHashes.
    """

    def __init__(self, catalog: Catalog, target: int) -> None:
        self.catalog = catalog
        self.target = target
        self.pending: Counter[str] = Counter()
        """Candidates in flight by category."""
        self._distinct: Counter[str] = Counter()
        self._hashes_by_band: defaultdict[tuple[str, int, int], list[int]] = defaultdict(list)
        self._counted: set[tuple[str, str]] = set()
        deduplicated = catalog.duplicate_cache.signed_ids()
        for image in sorted(catalog.images.all("accepted"), key=lambda image: image.image_id not in deduplicated):
            self._count(image, is_distinct=image.image_id in deduplicated)

    def distinct(self, category: str) -> int:
        """Return the number of accepted images of the category, near-duplicates counted once."""
        return self._distinct[category]

    def missing(self, category: str) -> int:
        """Return the number of images that the category lacks to its target."""
        return max(self.target - self.distinct(category), 0)

    def is_reached(self, category: str) -> bool:
        """Return True if the category has its target."""
        return not self.missing(category)

    def may_be_reached_by_pending(self, category: str) -> bool:
        """Return True if the category reaches its target if all pending candidates are accepted."""
        return self.pending[category] > 0 and self.pending[category] >= self.missing(category)

    def update(self, image_id: str) -> None:
        """Count an image that was accepted or labeled just now."""
        image = self.catalog.images.get(image_id)
        if image is not None and image.status == "accepted":
            self._count(image)

    def _count(self, image: ImageRow, *, is_distinct: bool = False) -> None:
        value = int(image.phash, 16)
        for category in filter(None, image.label.split(LABEL_SEPARATOR)):
            if (category, image.image_id) in self._counted:
                continue
            self._counted.add((category, image.image_id))
            bands = [(category, offset, value >> offset & (1 << width) - 1) for offset, width in _BANDS]
            neighbors = (other for band in bands for other in self._hashes_by_band[band])
            if is_distinct or all((value ^ other).bit_count() > MAX_COPY_DISTANCE for other in neighbors):
                self._distinct[category] += 1
                for band in bands:
                    self._hashes_by_band[band].append(value)
