"""Properties of the separation of images that people declared apart."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from fototeca.curate.duplicates.clustering import Match, split_component
from fototeca.curate.duplicates.separate import Separator
from fototeca.curate.union_find import UnionFind

IMAGES = 7
PAIRS = list(combinations(range(IMAGES), 2))
Pairs = set[tuple[int, int]]
pairs = st.sets(st.sampled_from(PAIRS))


def make_separator(alike: Pairs, apart: Pairs) -> Separator:
    """Return a separator over images with distinct pixels, which knows a spanning forest of the pairs that are alike."""
    partners: dict[str, frozenset[str]] = {
        str(index): frozenset(str(other) for pair in apart for other in pair if index in pair and other != index)
        for index in range(IMAGES)
    }
    forest, ties = UnionFind(IMAGES), []
    for a, b in sorted(alike):
        if forest.roots().tolist()[a] != forest.roots().tolist()[b]:
            forest.union(a, b)
            ties.append((a, b))

    def find_matches(center: int, others: Sequence[int]) -> dict[int, Match]:
        return {other: Match("near", 1.0) for other in others if (min(center, other), max(center, other)) in alike}

    ids = [str(index) for index in range(IMAGES)]
    return Separator(ids, partners, [[index] for index in range(IMAGES)], ties, find_matches)


@given(pairs, pairs)
def test_parts_are_the_components_without_dissolved_pairs(alike: Pairs, apart: Pairs) -> None:
    """Images share a part exactly if pairs that are alike and not apart connect them."""
    expected = UnionFind(IMAGES)
    for a, b in alike - apart:
        expected.union(a, b)
    roots = expected.roots().tolist()
    parts = make_separator(alike, apart).split(range(IMAGES))
    assert {frozenset(part) for part in parts} == {
        frozenset(index for index in range(IMAGES) if roots[index] == root) for root in set(roots)
    }


@given(pairs, pairs)
def test_no_group_has_images_that_are_apart(alike: Pairs, apart: Pairs) -> None:
    """No two members of a group are apart, every member is alike to the center, and without `apart` nothing changes."""
    separator = make_separator(alike, apart)
    for part in separator.split(range(IMAGES)):
        for group in split_component(part, lambda index: (index,), separator.find_matches):
            center = next(iter(group))
            assert not {*combinations(sorted(group), 2)} & apart
            assert all((center, other) in alike for other in group if other != center)
    assert separator.concerns(range(IMAGES)) == bool(apart)
