"""Contents of the gallery: images to draw, and the copies, errors and faults planted among them, derived from one seed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fototeca.demo.signs import CATEGORIES

SEED = 7
IMAGES_PER_QUERY = 122
"""Distinct images under each query."""

EXACT_COPIES, WRONG_LABELS = 3, 4
"""Planted per query: exact copies, and images of another sign."""

EDITS = ("smaller", "recompressed", "brighter", "flat", "cropped", "mirrored", "framed", "webp", "gray", "soft")
"""Edits of which one copy each is planted per query."""

LICENSES = (
    "https://creativecommons.org/licenses/by/4.0/",
    "https://creativecommons.org/licenses/by-sa/4.0/",
    "https://creativecommons.org/publicdomain/zero/1.0/",
    "",
)
EXPECTED_REASONS = {"truncated": "truncated", "html": "not-an-image", "opted-out": "opted-out", "robots": "robots"}
"""Kinds of broken and forbidden entries, and the reason that each should get."""


@dataclass(frozen=True)
class Entry:
    """One tile of the gallery."""

    name: str
    queries: tuple[str, ...]
    """Queries whose results include it."""

    sign: str
    """Sign on the image."""

    kind: str
    """original, exact, edited, wrong-label, two-labels, limited (429 at the first request) or one of EXPECTED_REASONS."""

    number: int
    file: str
    origin: str = ""
    """Name of the entry of which it is a copy."""

    edit: str = ""
    author: str = ""
    license: str = ""
    hidden: bool = False
    """URL, author and license are available only after a click on the tile."""

    @property
    def url_path(self) -> str:
        """Return the path of the full image on the site."""
        return f"/{'private' if self.kind == 'robots' else 'images'}/{self.file}"


def plan_entries() -> list[Entry]:
    """Return every tile; those of a query in the order of its results page."""
    return [entry for name in CATEGORIES for entry in _shuffled(name)]


def _shuffled(sign: str) -> list[Entry]:
    rng = np.random.default_rng([SEED, *sign.encode()])
    entries = list(_entries(sign, rng))
    order = rng.permutation(len(entries)).tolist()
    return [entries[index] for index in order]


def _entries(sign: str, rng: np.random.Generator) -> Iterator[Entry]:
    signs = list(CATEGORIES)
    following = signs[(signs.index(sign) + 1) % len(signs)]
    for number in range(IMAGES_PER_QUERY):
        kind = "two-labels" if number == 0 and sign == signs[0] else "limited" if number == 1 else "original"
        queries = (sign, following) if kind == "two-labels" else (sign,)
        yield _entry(sign, kind, number, rng, queries=queries)
    originals = rng.choice(np.arange(2, IMAGES_PER_QUERY), EXACT_COPIES + len(EDITS), replace=False).tolist()
    for number in originals[:EXACT_COPIES]:
        yield _entry(sign, "exact", number, rng, origin=original_name(sign, number))
    for edit, number in zip(EDITS, originals[EXACT_COPIES:], strict=True):
        yield _entry(sign, "edited", number, rng, origin=original_name(sign, number), edit=edit)
    for index in range(WRONG_LABELS):
        other = str(rng.choice([name for name in signs if name != sign]))
        yield _entry(other, "wrong-label", IMAGES_PER_QUERY + 100 * signs.index(sign) + index, rng, queries=(sign,))
    for index, kind in enumerate(EXPECTED_REASONS):
        yield _entry(sign, kind, IMAGES_PER_QUERY + 50 + index, rng)


def original_name(sign: str, number: int) -> str:
    """Return the name of an original."""
    return f"{sign}-{number:03}"


def _entry(
    sign: str,
    kind: str,
    number: int,
    rng: np.random.Generator,
    *,
    queries: tuple[str, ...] = (),
    origin: str = "",
    edit: str = "",
) -> Entry:
    has_suffix = bool(origin) or kind in EXPECTED_REASONS or kind == "wrong-label"
    name = f"{original_name(sign, number)}{'-' + (edit or kind) if has_suffix else ''}"
    ending = {"webp": "webp", "gray": "png"}.get(edit, "jpg")
    author = int(rng.integers(1, 30))
    return Entry(
        name,
        queries or (sign,),
        sign,
        kind,
        number,
        f"{name}.{ending}",
        origin,
        edit,
        f"demo author {author}",
        LICENSES[author % len(LICENSES)],
        bool(rng.random() < 0.1),
    )
