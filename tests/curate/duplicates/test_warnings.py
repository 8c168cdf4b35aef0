"""Tests for the warnings after a search for duplicates."""

from __future__ import annotations

import pytest

from fototeca.collect.catalog import ImageRow
from fototeca.core.settings import Category, Settings
from fototeca.curate.duplicates.warnings import dedup_warnings
from fototeca.curate.labels.categories import differing_labels


def make_images(label: str, kept: int, aside: int, group: str = "") -> list[ImageRow]:
    """Return accepted images and images set aside, with ids that begin with the label."""
    return [
        ImageRow(f"{label}{number:03}", "", "PNG", 1, 1, "RGB", 1, "", label=label, group=group, is_representative=number < kept)
        for number in range(kept + aside)
    ]


def warnings(images: list[ImageRow], target: int = 100) -> list[str]:
    """Return the warnings in a workspace with three categories."""
    categories = tuple(Category(name, (name,)) for name in ("cat", "dog", "fox"))
    return dedup_warnings(images, Settings("test", "single", target, "", categories))


def test_nothing_to_warn_about() -> None:
    """A fifth set aside, groups of one label and rejected images cause no warning."""
    rejected = [ImageRow("r", "", "PNG", 1, 1, "RGB", 1, "", label="dog", rejected="blurry", group="g")]
    assert warnings([*make_images("cat", 8, 2, "g"), *rejected]) == []


def test_category_that_loses_more_than_a_fifth() -> None:
    """The line states numbers and share of the category."""
    (line,) = warnings([*make_images("cat", 1, 39), *make_images("dog", 10, 1)])
    assert "39 of 40 images of cat (98%)" in line


@pytest.mark.parametrize(("kept", "aside", "warned"), [(9, 1, True), (10, 1, False), (8, 1, False)])
def test_category_that_falls_below_its_target(kept: int, aside: int, warned: bool) -> None:
    """Only a category that had its target before is reported."""
    lines = [line for line in warnings(make_images("cat", kept, aside), target=10) if "below its target" in line]
    assert bool(lines) == warned
    assert not lines or "target of 10: 9 images are left of 10" in lines[0]


def test_groups_that_span_categories() -> None:
    """The largest groups are listed with an image of each label; the others are counted."""
    images = []
    for number in range(5):
        group = f"group{number}"
        images += make_images("cat", 1 + number, 0, group) + make_images("dog", 1, 0, group)
    (line,) = warnings(images, target=1000)
    assert "5 groups of copies span several categories" in line
    assert "cat 5 (cat000), dog 1 (dog000)" in line and line.count("dog000") == 3 and "and 2 more" in line
    (line,) = warnings([*make_images("cat", 2, 0, "g"), *make_images("dog", 1, 0, "g")])
    assert "1 group of copies spans several categories" in line


def test_labels_within_each_other_do_not_differ() -> None:
    """A crop may show less than the whole."""
    assert differing_labels(["cat", "cat|dog", "", "dog"]) == []
    assert differing_labels(["cat", "dog"]) == ["cat", "dog"]
    assert differing_labels(["cat|dog", "dog|fox", "dog"]) == ["cat|dog", "dog|fox"]
