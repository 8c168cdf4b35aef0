"""Categories of a label, and renamed categories.

Renaming a category writes a decision for every image that was ever labeled with it, so that an image's own decisions contain its
whole history.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from itertools import groupby

from fototeca.collect.catalog import Catalog, Decision
from fototeca.core.settings import LABEL_SEPARATOR


def split_label(label: str) -> list[str]:
    """Return the categories of a label."""
    return label.split(LABEL_SEPARATOR) if label else []


def differing_labels(labels: Iterable[str]) -> list[str]:
    """Return the labels that contradict each other, sorted; empty if none do.

    A crop may show less than the whole image, so a label whose categories another one contains contradicts nothing.
    """
    sets = {frozenset(split_label(label)) for label in labels if label}
    widest = [names for names in sets if not any(names < other for other in sets)]
    return sorted(LABEL_SEPARATOR.join(sorted(names)) for names in widest) if len(widest) > 1 else []


def list_renames(catalog: Catalog) -> list[tuple[str, str]]:
    """Return the old and the new name of each renamed category, in order."""
    renames = [(decision.old_label, decision.new_label) for decision in catalog.decisions.all() if decision.action == "rename"]
    return [names for names, _ in groupby(renames)]


def categories_by_image(decisions: Iterable[Decision]) -> dict[str, set[str]]:
    """Return every category that each image was ever labeled with, under its current name."""
    categories: dict[str, set[str]] = defaultdict(set)
    for decision in decisions:
        names = categories[decision.image_id]
        if decision.action == "rename":
            names.discard(decision.old_label)
            names.add(decision.new_label)
        elif decision.action == "label":
            names.update(split_label(decision.new_label))
    return categories
