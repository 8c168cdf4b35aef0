"""Original file names: stored with each place, and given by image id."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fototeca.collect.catalog import Catalog, ImageRow, Provenance
from fototeca.collect.catalog.provenance import file_name_of_url
from fototeca.core.workspace import Workspace


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://a.org/d%C3%ADa/perro%20peque%C3%B1o.jpg?w=200#top", "perro pequeño.jpg"),
        ("https://a.org/photo%2Fb.jpg", "photo/b.jpg"),
        ("https://a.org/", ""),
        ("https://a.org", ""),
        ("https://[broken", ""),
        ("https://a.org/%FF%0Aa.jpg", "\ufffd_a.jpg"),
    ],
)
def test_last_part_of_a_url_is_its_file_name(url: str, name: str) -> None:
    """Decoded, without query; characters that a terminal would obey are replaced."""
    assert file_name_of_url(url) == name


@given(st.text())
def test_any_url_has_a_printable_name(url: str) -> None:
    """URLs come from strangers."""
    assert file_name_of_url(url).isprintable()


def test_first_place_names_an_image(workspace: Workspace) -> None:
    """A later place of the same image does not rename it; places without a name get that of their URL."""
    image = ImageRow("0" * 64, f"data/images/00/{'0' * 64}.jpg", "JPEG", 9, 9, "RGB", 9, "0" * 16)
    places = [Provenance("file:///x/1.jpg", "folder", file_name="cat/1.jpg"), Provenance("https://a.org/2.jpg", "urls")]
    with Catalog.open(workspace) as catalog:
        for place in places:
            candidate = catalog.candidates.add(place, place.url)
            catalog.candidates.record(candidate.candidate_id, "accepted", image=image)
        assert catalog.provenance.file_names() == {image.image_id: "cat/1.jpg"}
        assert [place.file_name for place in catalog.provenance.of_image(image.image_id)] == ["cat/1.jpg", "2.jpg"]
