"""Confusion matrices of many classes."""

from __future__ import annotations

import numpy as np
import pytest

from fototeca.analysis.evaluation.metrics import row_fractions
from fototeca.analysis.plots.confusion import MAX_DETAIL, cluster_order, confusion_overview, most_confused
from fototeca.analysis.plots.export import render_png
from fototeca.analysis.plots.svg import shorten


def matrix(classes: int) -> np.ndarray:
    """Return counts with 20 right images of each class; class k is confused with its partner far away, the first ones most."""
    counts = np.eye(classes, dtype=np.int64) * 20
    for index in range(classes // 2):
        counts[index, classes - 1 - index] = 10 if index < 5 else 1
    return counts


def test_overview_of_300_classes_is_small_and_clustered() -> None:
    """Confused classes are neighbors; the data has the cells that are not 0; it is drawn as PNG too."""
    counts = matrix(300)
    fractions = row_fractions(counts)
    order = cluster_order(fractions)
    assert sorted(order) == list(range(300))
    assert all(abs(order.index(index) - order.index(299 - index)) == 1 for index in range(150))
    names = [f"class {index}" for index in range(300)]
    figure = confusion_overview("m", names, counts, fractions, ("true", "predicted"), "a matrix")
    assert len(figure.svg) < 60_000 and len(figure.rows) == np.count_nonzero(counts)
    assert render_png(figure.svg).startswith(b"\x89PNG")


def test_most_confused_classes_are_chosen() -> None:
    """At most MAX_DETAIL, the most frequent pairs first and whole; none without errors."""
    counts = matrix(300)
    chosen = most_confused(counts, row_fractions(counts))
    assert len(chosen) == MAX_DETAIL and {*range(5), *range(295, 300)} <= {*chosen}
    assert all(299 - index in chosen for index in chosen)
    assert most_confused(np.eye(50, dtype=np.int64), np.eye(50)) == []


@pytest.mark.parametrize(
    ("label", "most", "short"),
    [
        ("beagle", 10, "beagle"),
        ("Granny Smith apples, green", 15, "Granny…, green"),
        ("juice of oranges, without pulp", 13, "juice…t pulp"),
    ],
)
def test_names_are_cut_in_the_middle(label: str, most: int, short: str) -> None:
    """Beginning and end stay."""
    assert shorten(label, most) == short and len(short) <= most
