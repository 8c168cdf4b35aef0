"""Agreement between reviewers: share, Cohen's kappa (Cohen 1960), and the images on which they disagree.

Compared is each person's latest annotation that is not undone: a label, or that the image is rejected, for any reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from fototeca.collect.catalog import Catalog
from fototeca.core.errors import FototecaError
from fototeca.core.results import Result
from fototeca.core.settings import LABEL_SEPARATOR
from fototeca.core.tables import render_table
from fototeca.core.workspace import Workspace
from fototeca.curate.review.queues import Annotation, latest_annotations


@dataclass(frozen=True)
class Disagreement(Result):
    """An image with both annotations, in the order of `reviewers`."""

    image_id: str
    annotations: tuple[Annotation, Annotation]


@dataclass(frozen=True)
class Agreement(Result):
    """Agreement of two people on the images that both have annotated.

    `agreed`: share of the images with equal annotations. `kappa`: agreement beyond chance, 1 for complete agreement and 0 for
    agreement as expected by chance; None if both always give one and the same annotation. `categories`: kappa of each category
    against all others; rejected images count as in none.
    """

    reviewers: tuple[str, str]
    images: int
    agreed: float
    kappa: float | None
    categories: Mapping[str, float | None]
    disagreements: tuple[Disagreement, ...]


def measure_agreement(workspace: Workspace) -> list[Agreement]:
    """Return the agreement of every two people who have annotated the same images, most images first.

    FototecaError if there are none.
    """
    with Catalog.open(workspace) as catalog:
        by_image = latest_annotations(catalog.decisions.all())
    people = sorted({person for annotations in by_image.values() for person in annotations})
    results = []
    for first, second in combinations(people, 2):
        common = {
            image_id: (annotations[first], annotations[second])
            for image_id, annotations in sorted(by_image.items())
            if {first, second} <= annotations.keys()
        }
        if common:
            results.append(_compare((first, second), common, workspace.settings.names))
    if not results:
        hint = "let a second person decide too: FOTOTECA_USER=NAME fototeca curate review --web"
        raise FototecaError("no two people have decided on the same image", hint)
    return sorted(results, key=lambda result: -result.images)


def _compare(
    reviewers: tuple[str, str], annotations: Mapping[str, tuple[Annotation, Annotation]], categories: Sequence[str]
) -> Agreement:
    first, second = zip(*annotations.values(), strict=True)
    return Agreement(
        reviewers=reviewers,
        images=len(annotations),
        agreed=sum(a == b for a, b in annotations.values()) / len(annotations),
        kappa=cohen_kappa(first, second),
        categories={name: cohen_kappa(_has_category(first, name), _has_category(second, name)) for name in categories},
        disagreements=tuple(Disagreement(image_id, both) for image_id, both in annotations.items() if both[0] != both[1]),
    )


def _has_category(annotations: Sequence[Annotation], category: str) -> list[bool]:
    return [category in annotation.label.split(LABEL_SEPARATOR) for annotation in annotations]


def cohen_kappa(first: Sequence[Hashable], second: Sequence[Hashable]) -> float | None:
    """Return Cohen's kappa of two people's annotations of the same items; None if chance alone gives complete agreement."""
    num_items = len(first)
    first_counts, second_counts = Counter(first), Counter(second)
    chance = sum(first_counts[annotation] * second_counts[annotation] for annotation in first_counts)
    if chance == num_items * num_items:
        return None
    num_agreed = sum(a == b for a, b in zip(first, second, strict=True))
    return (num_agreed * num_items - chance) / (num_items * num_items - chance)


def agreement_table(results: Sequence[Agreement], limit: int) -> str:
    """Return the figures of every two reviewers, with their first `limit` disagreements."""
    lines = []
    for result in results:
        both = " and ".join(result.reviewers)
        lines.append(f"{both}: {result.images} images, {result.agreed:.1%} agreed, kappa {_format_kappa(result.kappa)}")
        rows = [(name, _format_kappa(kappa)) for name, kappa in result.categories.items()]
        lines.append(render_table(("category", "kappa"), rows, right=("kappa",), indent=2))
        shown = result.disagreements[:limit]
        if shown:
            columns = ("image", *result.reviewers)
            cells = [(row.image_id[:12], *(_format_annotation(one) for one in row.annotations)) for row in shown]
            lines.append(render_table(columns, cells, indent=2))
        num_left = len(result.disagreements) - limit
        lines += [f"  and {num_left} more"] if num_left > 0 else []
    return "\n".join(lines)


def _format_annotation(annotation: Annotation) -> str:
    return "rejected" if annotation.rejected else annotation.label or "(none)"


def _format_kappa(kappa: float | None) -> str:
    return "–" if kappa is None else f"{kappa:.3f}"
