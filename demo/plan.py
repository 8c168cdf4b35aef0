"""What the gallery holds: which images are drawn, and what is planted among them. All of it follows from one seed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fototeca.demo.signs import CATEGORIES

SEED = 7
EACH = 122
"""Distinct images under each query."""

EXACT, WRONG = 3, 4
"""Per query: copies byte for byte, and images of another sign."""

EDITS = ("smaller", "recompressed", "brighter", "flat", "cropped", "mirrored", "framed", "webp", "grey", "soft")
"""Per query one edited copy of each kind."""

LICENSES = (
    "https://creativecommons.org/licenses/by/4.0/",
    "https://creativecommons.org/licenses/by-sa/4.0/",
    "https://creativecommons.org/publicdomain/zero/1.0/",
    "",
)
BROKEN = {"truncated": "truncated", "html": "not-an-image", "opted-out": "opted-out", "robots": "robots"}
"""What is planted broken or forbidden, and the reason that it should be refused for."""


@dataclass(frozen=True)
class Entry:
    """One tile of the gallery.

    `queries`: under which it is shown; `sign`: what is on it; `kind`: original, exact, edited, wrong-label, two-labels, limited
    (429 the first time) or one of BROKEN; `origin`: the entry it is a copy of; `hidden`: its tile must be clicked.
    """

    name: str
    queries: tuple[str, ...]
    sign: str
    kind: str
    number: int
    file: str
    origin: str = ""
    edit: str = ""
    author: str = ""
    license: str = ""
    hidden: bool = False

    @property
    def address(self) -> str:
        """Path of the full image on the site."""
        return f"/{'private' if self.kind == 'robots' else 'images'}/{self.file}"


def plan_entries() -> list[Entry]:
    """Every tile, each query's in the order in which they are shown."""
    return [entry for name in CATEGORIES for entry in _shuffled(name)]


def _shuffled(sign: str) -> list[Entry]:
    rng = np.random.default_rng([SEED, *sign.encode()])
    entries = list(_entries(sign, rng))
    order = rng.permutation(len(entries)).tolist()
    return [entries[index] for index in order]


def _entries(sign: str, rng: np.random.Generator) -> Iterator[Entry]:
    signs = list(CATEGORIES)
    following = signs[(signs.index(sign) + 1) % len(signs)]
    for number in range(EACH):
        kind = "two-labels" if number == 0 and sign == signs[0] else "limited" if number == 1 else "original"
        queries = (sign, following) if kind == "two-labels" else (sign,)
        yield _entry(sign, kind, number, rng, queries=queries)
    originals = rng.choice(np.arange(2, EACH), EXACT + len(EDITS), replace=False).tolist()
    for number in originals[:EXACT]:
        yield _entry(sign, "exact", number, rng, origin=name_of(sign, number))
    for edit, number in zip(EDITS, originals[EXACT:], strict=True):
        yield _entry(sign, "edited", number, rng, origin=name_of(sign, number), edit=edit)
    for place in range(WRONG):
        other = str(rng.choice([name for name in signs if name != sign]))
        yield _entry(other, "wrong-label", EACH + 100 * signs.index(sign) + place, rng, queries=(sign,))
    for place, kind in enumerate(BROKEN):
        yield _entry(sign, kind, EACH + 50 + place, rng)


def name_of(sign: str, number: int) -> str:
    """The name of an original."""
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
    name = f"{name_of(sign, number)}{'-' + (edit or kind) if origin or kind in BROKEN or kind == 'wrong-label' else ''}"
    ending = {"webp": "webp", "grey": "png"}.get(edit, "jpg")
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
