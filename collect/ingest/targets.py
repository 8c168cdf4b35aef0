"""How far each category is from its target, while candidates are still on their way."""

from __future__ import annotations

from collections import Counter, defaultdict

from fototeca.collect.catalog import Catalog, ImageRow
from fototeca.core.settings import LABEL_SEPARATOR

ALIKE = 4
"""Bits of the pHash up to which an image counts as a copy of one that is there: `curate dedup` will look at the pixels."""


_BANDS = tuple((13 * number, 13 if number < ALIKE else 12) for number in range(ALIKE + 1))
"""Places and widths that cut 64 bits into one piece more than bits may differ: what is alike has one piece in common."""


class Targets:
    """Counts the distinct accepted images of each category, and the candidates of each that are being fetched.

    Counting by pHash while collecting leaves room for the copies that dedup will set aside, so that the target still
    holds afterwards. What dedup has looked at and kept is distinct, whatever its pHash.
    """

    def __init__(self, catalog: Catalog, target: int) -> None:
        self.catalog = catalog
        self.target = target
        self.pending: Counter[str] = Counter()
        self._distinct: Counter[str] = Counter()
        self._pieces: defaultdict[tuple[str, int, int], list[int]] = defaultdict(list)
        self._seen: set[tuple[str, str]] = set()
        looked_at = catalog.duplicate_cache.signed_ids()
        for image in sorted(catalog.images.all("accepted"), key=lambda image: image.image_id not in looked_at):
            self._take(image, kept=image.image_id in looked_at)

    def distinct(self, category: str) -> int:
        """Accepted images of the category that do not look like one another."""
        return self._distinct[category]

    def missing(self, category: str) -> int:
        """How many it lacks."""
        return max(self.target - self.distinct(category), 0)

    def reached(self, category: str) -> bool:
        """Whether there are enough."""
        return not self.missing(category)

    def on_the_way(self, category: str) -> bool:
        """Whether there will be enough if all that is being fetched is accepted: then it is better to wait and see."""
        return self.pending[category] > 0 and self.pending[category] >= self.missing(category)

    def refresh(self, image_id: str) -> None:
        """Look again at an image that was accepted or labelled just now."""
        image = self.catalog.images.get(image_id)
        if image is not None and image.status == "accepted":
            self._take(image)

    def _take(self, image: ImageRow, *, kept: bool = False) -> None:
        value = int(image.phash, 16)
        for category in filter(None, image.label.split(LABEL_SEPARATOR)):
            if (category, image.image_id) in self._seen:
                continue
            self._seen.add((category, image.image_id))
            pieces = [(category, place, value >> place & (1 << width) - 1) for place, width in _BANDS]
            near = (other for piece in pieces for other in self._pieces[piece])
            if kept or all((value ^ other).bit_count() > ALIKE for other in near):
                self._distinct[category] += 1
                for piece in pieces:
                    self._pieces[piece].append(value)
