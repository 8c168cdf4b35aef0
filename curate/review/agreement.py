"""How far two reviewers agree: the share, Cohen's kappa (Cohen 1960), and the images on which they do not.

Compared is what each of them last said and has not taken back: a label, or that the image is rejected, whatever for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from itertools import combinations
from typing import TypedDict

from fototeca.collect.catalog import REJECT, Catalog
from fototeca.core.errors import FototecaError
from fototeca.core.settings import LABEL_SEPARATOR
from fototeca.core.workspace import Workspace
from fototeca.curate.review.queues import last_said


class Disagreement(TypedDict):
    """One image and what each said, in the order of `reviewers`."""

    image_id: str
    said: tuple[str, str]


class Agreement(TypedDict):
    """Two people over the images that both have decided on."""

    reviewers: tuple[str, str]
    images: int
    agreed: float
    """Share of the images about which they say the same."""
    kappa: float | None
    """Agreement beyond chance: 1 all, 0 as by chance; None where both always say one and the same thing."""
    categories: dict[str, float | None]
    """Kappa of each category against all else; rejected images count as in none."""
    disagreements: list[Disagreement]


def measure_agreement(workspace: Workspace) -> list[Agreement]:
    """Every two people who have decided on the same images, most images first. FototecaError when there are none."""
    with Catalog.open(workspace) as catalog:
        said = last_said(catalog.decisions())
    people = sorted({who for words in said.values() for who in words})
    found = []
    for first, second in combinations(people, 2):
        words = {key: (both[first], both[second]) for key, both in sorted(said.items()) if {first, second} <= both.keys()}
        if words:
            found.append(_compare((first, second), words, workspace.settings.names))
    if not found:
        hint = "let a second one decide too: FOTOTECA_USER=NAME fototeca curate review --simple"
        raise FototecaError("no two people have decided on the same image", hint)
    return sorted(found, key=lambda row: -row["images"])


def _compare(people: tuple[str, str], words: dict[str, tuple[str, str]], categories: Sequence[str]) -> Agreement:
    first, second = zip(*words.values(), strict=True)
    return Agreement(
        reviewers=(people[0].partition(":")[2], people[1].partition(":")[2]),
        images=len(words),
        agreed=sum(a == b for a, b in words.values()) / len(words),
        kappa=cohen_kappa(first, second),
        categories={name: cohen_kappa(_bears(first, name), _bears(second, name)) for name in categories},
        disagreements=[Disagreement(image_id=image_id, said=both) for image_id, both in words.items() if both[0] != both[1]],
    )


def _bears(words: Sequence[str], category: str) -> list[bool]:
    return [category in word.split(LABEL_SEPARATOR) for word in words]


def cohen_kappa(first: Sequence[Hashable], second: Sequence[Hashable]) -> float | None:
    """Cohen's kappa of two people's words on the same things; None when chance alone would make them agree on all."""
    count = len(first)
    ours, theirs = Counter(first), Counter(second)
    chance = sum(ours[word] * theirs[word] for word in ours)
    if chance == count * count:
        return None
    agreed = sum(a == b for a, b in zip(first, second, strict=True))
    return (agreed * count - chance) / (count * count - chance)


def agreement_table(rows: Sequence[Agreement], limit: int) -> str:
    """The figures for people, and the first disagreements of each two."""
    lines = []
    for row in rows:
        both = " and ".join(row["reviewers"])
        lines.append(f"{both}: {row['images']} images, {row['agreed']:.1%} agreed, kappa {_shown(row['kappa'])}")
        lines += [f"  {_shown(value):>6}  {name}" for name, value in row["categories"].items()]
        for disagreement in row["disagreements"][:limit]:
            words = " / ".join({REJECT: "rejected", "": "(none)"}.get(word, word) for word in disagreement["said"])
            lines.append(f"  {disagreement['image_id'][:12]}  {words}")
        left = len(row["disagreements"]) - limit
        lines += [f"  and {left} more"] if left > 0 else []
    return "\n".join(lines)


def _shown(kappa: float | None) -> str:
    return "–" if kappa is None else f"{kappa:.3f}"
