"""Tests for pairs of images that people declared to be no copies."""

from __future__ import annotations

from collections.abc import Callable

from fototeca.collect.catalog import Actor, Catalog, Edit
from fototeca.core.workspace import Workspace
from fototeca.curate.labels.apart import add_apart, all_pairs, read_apart_partners

AddImages = Callable[..., list[str]]
ANA, BEN = Actor.person("ana"), Actor.person("ben")


def test_pair_is_one_event_on_the_smaller_id_and_known_from_both(workspace: Workspace, add_images: AddImages) -> None:
    """A pair is written once, whatever its order, and both images have it in their history."""
    small, large = sorted(add_images(workspace, ["cat", "cat"]))
    with Catalog.open(workspace) as catalog:
        (written,) = add_apart(catalog, [(large, small), (small, large), (small, small)], by=ANA, reason="two boards")
        assert (written.image_id, written.other_image_id, written.reason) == (small, large, "two boards")
        assert add_apart(catalog, [(small, large)], by=ANA) == []
        assert [row.action for row in catalog.decisions.all(small)] == ["label", "apart"]
        assert [row.action for row in catalog.decisions.all(large)] == ["label", "apart"]
        assert read_apart_partners(catalog) == {small: frozenset({large}), large: frozenset({small})}
        state = catalog.images.get(small)
    assert state and (state.label, state.reviewed) == ("cat", False)


def test_pair_stays_until_everybody_who_declared_it_has_undone_it(workspace: Workspace, add_images: AddImages) -> None:
    """Two people may declare one pair; the undo of one leaves the word of the other."""
    first, second = sorted(add_images(workspace, ["cat", "cat"]))
    with Catalog.open(workspace) as catalog:
        events = [event for person in (ANA, BEN) for event in add_apart(catalog, [(first, second)], by=person)]
        catalog.decisions.add(first, Edit.apart(second), by=ANA, undoes=events[0].time)
        assert second in read_apart_partners(catalog)[first]
        catalog.decisions.add(first, Edit.apart(second), by=BEN, undoes=events[1].time)
        assert read_apart_partners(catalog) == {}
        assert len(add_apart(catalog, [(first, second)], by=ANA)) == 1


def test_all_pairs_are_distinct_and_sorted() -> None:
    """Repeated ids make no pairs."""
    assert all_pairs(["b", "a", "b", "c"]) == [("a", "b"), ("a", "c"), ("b", "c")]
