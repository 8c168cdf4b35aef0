"""Tests for the choice of the images of a group that stay in the dataset."""

from __future__ import annotations

import pytest

from fototeca.collect.catalog import ImageRow
from fototeca.curate.duplicates.representatives import choose_representatives


def member(image_id: str, label: str, rejected: str = "") -> ImageRow:
    """Return a member of a group."""
    return ImageRow(image_id, "", "PNG", 1, 1, "RGB", 1, "", label=label, rejected=rejected)


@pytest.mark.parametrize(
    ("members", "pixels", "chosen"),
    [
        ("a:cat b:cat c:cat", "123", "a"),
        ("a:cat b:dog c:cat", "123", "ab"),
        ("a:cat b:dog c:dog d:fox", "1234", "abd"),
        ("a:cat b:dog c:dog", "112", "ac"),
        ("a:cat b:dog", "11", "a"),
        ("a:cat|dog b:cat c:dog", "123", "a"),
        ("a:cat b: c:cat", "123", "a"),
        ("a:cat:drawing b:cat c:dog", "123", "a"),
        ("a:cat:bad-quality b:cat c:dog", "123", "abc"),
        ("a:cat b:dog:drawing c:cat", "123", "a"),
    ],
)
def test_labels_that_contradict_each_other_all_stay(members: str, pixels: str, chosen: str) -> None:
    """The best of each label stays unless a better image has equal pixels or excludes its copies."""
    ranked = [member(*text.split(":")) for text in members.split()]
    digests = {image.image_id: digest.encode() for image, digest in zip(ranked, pixels, strict=True)}
    assert choose_representatives(ranked, digests, (), keep_near=False) == {*chosen}


def test_held_out_images_and_keep_near() -> None:
    """Images held out for test stay; with keep_near all but equal pixels do."""
    ranked = [member(name, "cat") for name in "abc"]
    digests = {"a": b"1", "b": b"1", "c": b"2"}
    assert choose_representatives(ranked, digests, {"b"}, keep_near=False) == {"a", "b"}
    assert choose_representatives(ranked, digests, (), keep_near=True) == {"a", "c"}
