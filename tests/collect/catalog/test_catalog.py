"""The catalog: candidates, images and places are unique, decisions are only added, and errors are one line."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from fototeca.collect.catalog import Actor, Catalog, Edit, FetchAttempt, GroupRow, ImageRow, Provenance
from fototeca.core.errors import FototecaError

IMAGE_ELEMENT = ImageRow("a" * 64, f"data/images/aa/{'a' * 64}.jpg", "JPEG", 640, 480, "RGB", 1234, "0" * 16)


ANA, SOURCE = Actor.person("ana"), Actor.source("test")


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    """An empty catalog."""
    with Catalog(tmp_path / "data" / "catalog.sqlite") as opened:
        yield opened


def accept(catalog: Catalog, url: str, image: ImageRow = IMAGE_ELEMENT, category: str = "cat") -> str:
    """Find an image at a URL, fetch it, record it; return the candidate's state."""
    candidate = catalog.candidates.add(Provenance(url, "test", category), url)
    return catalog.candidates.record(candidate.candidate_id, "accepted", image=image, attempt=FetchAttempt(size=1234))


def test_same_bytes_at_many_urls_are_one_image(catalog: Catalog) -> None:
    """The same bytes at ten URLs: one image, ten places, nine candidates rejected as duplicates."""
    states = [accept(catalog, f"http://x/{number}") for number in range(10)]
    assert states == ["accepted"] + ["rejected"] * 9
    assert len(catalog.images.all()) == 1
    assert len(catalog.provenance.of_image(IMAGE_ELEMENT.image_id)) == 10
    assert len(catalog.candidates.in_state("rejected", ["duplicate"])) == 9


def test_same_place_twice_is_one_row(catalog: Catalog) -> None:
    """Collecting again adds no rows and keeps the state."""
    accept(catalog, "http://x/1")
    again = catalog.candidates.add(Provenance("http://x/1", "test", "cat"), "http://x/1")
    assert again.state == "accepted"
    assert len(catalog.provenance.of_image(IMAGE_ELEMENT.image_id)) == 1


def test_status_follows_groups_and_decisions(catalog: Catalog) -> None:
    """Set aside, restored, rejected, relabeled: a source's label does not undo a review, and a rejection ends a restoration."""
    accept(catalog, "http://x/1")
    image_id = IMAGE_ELEMENT.image_id
    catalog.groups.replace([GroupRow(image_id, "g", False, "phash", 3.0)])
    edits = [
        (Edit.relabel("cat"), SOURCE),
        (Edit.restore(), ANA),
        (Edit.reject("blurry"), ANA),
        (Edit.restore(), ANA),
        (Edit.relabel("dog"), ANA),
        (Edit.relabel("cat"), SOURCE),
        (Edit.reject("blurry"), ANA),
        (Edit.relabel("dog"), ANA),
    ]
    states = []
    for edit, by in edits:
        catalog.decisions.add(image_id, edit, by=by, reason="looked at it")
        image = catalog.images.get(image_id)
        assert image is not None
        states.append((image.status, image.label, image.reviewed))
    assert states == [
        ("duplicate", "cat", False),
        ("accepted", "cat", True),
        ("rejected", "cat", True),
        ("accepted", "cat", True),
        ("accepted", "dog", True),
        ("accepted", "cat", True),
        ("rejected", "cat", True),
        ("duplicate", "dog", True),
    ]
    assert [(decision.edit, decision.by) for decision in catalog.decisions.all(image_id)] == edits


def test_confirmation_is_written_for_people_only(catalog: Catalog) -> None:
    """Confirming a label is a review by a person and nothing by a source."""
    accept(catalog, "http://x/1")
    assert catalog.decisions.add(IMAGE_ELEMENT.image_id, Edit.relabel("cat"), by=SOURCE, reason="found") is not None
    assert catalog.decisions.add(IMAGE_ELEMENT.image_id, Edit.relabel("cat"), by=SOURCE, reason="found") is None
    assert catalog.decisions.add(IMAGE_ELEMENT.image_id, Edit.relabel("cat"), by=ANA, reason="agreed") is not None


def test_failed_transaction_leaves_nothing(catalog: Catalog) -> None:
    """Everything of a recorded attempt is stored, or nothing."""
    with pytest.raises(RuntimeError), catalog.transaction():
        accept(catalog, "http://x/1")
        raise RuntimeError("killed")
    assert catalog.images.all() == []
    assert catalog.candidates.get("http://x/1") is None


def test_newer_schema_is_refused(tmp_path: Path) -> None:
    """A newer schema is refused with one line, and the file stays unchanged."""
    path = tmp_path / "catalog.sqlite"
    with Catalog(path):
        pass
    with sqlite3.connect(path) as sql:
        sql.execute("PRAGMA user_version = 99")
    before = path.read_bytes()
    with pytest.raises(FototecaError, match="newer fototeca"):
        Catalog(path)
    assert path.read_bytes() == before


def test_other_file_is_refused(tmp_path: Path) -> None:
    """A file that is not a database gives one line and stays."""
    path = tmp_path / "catalog.sqlite"
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(FototecaError, match="cannot be read"):
        Catalog(path)


def test_first_result_of_a_candidate_is_kept(catalog: Catalog) -> None:
    """Two processes fetch one candidate: the later result neither makes it a duplicate nor removes its image."""
    assert accept(catalog, "http://x/1") == "accepted"
    candidate = catalog.candidates.get("http://x/1")
    assert candidate is not None
    assert catalog.candidates.record(candidate.candidate_id, "accepted", image=IMAGE_ELEMENT) == "accepted"
    assert catalog.candidates.record(candidate.candidate_id, "failed", "timeout") == "accepted"
    assert len(catalog.provenance.of_image(IMAGE_ELEMENT.image_id)) == 1
    assert catalog.database.connection.execute("SELECT count(*) FROM attempts").fetchone()[0] == 3


def test_full_disk(catalog: Catalog) -> None:
    """A full disk rolls the transaction back, gives one line, and writing works again with space."""
    pages = catalog.database.connection.execute("PRAGMA page_count").fetchone()[0]
    catalog.database.connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(FototecaError, match="full; free some disk space") as caught, catalog.transaction():
        for number in range(2000):
            accept(catalog, f"http://x/{number}")
    assert caught.value.exit_code == 4
    catalog.database.connection.execute("PRAGMA max_page_count = 100000")
    assert catalog.candidates.in_state("accepted") == []
    assert accept(catalog, "http://x/1") == "accepted"


def test_locked_catalog(catalog: Catalog) -> None:
    """A catalog locked by another process gives one line and exit code 4."""
    catalog.database.connection.execute("PRAGMA busy_timeout = 10")
    refused = pytest.raises(FototecaError, match="locked; free some disk space, or end what else")
    with Catalog(catalog.path) as other, other.transaction(), refused as caught:
        accept(catalog, "http://x/1")
    assert caught.value.exit_code == 4


def test_planned_transaction_computes_without_a_lock(catalog: Catalog) -> None:
    """Others write while a plan is computed; it is computed again, and under the lock only if they never stop."""
    accept(catalog, "http://x/1")
    image_id = IMAGE_ELEMENT.image_id
    seen: list[str] = []

    def plan(labels: list[str]) -> str:
        image = catalog.images.get(image_id)
        assert image is not None
        seen.append(image.label)
        if labels:
            other.decisions.add(image_id, Edit.relabel(labels.pop()), by=ANA)
        return image.label

    with Catalog(catalog.path) as other:
        other.database.connection.execute("PRAGMA busy_timeout = 0")
        with catalog.planned_transaction(lambda: plan([])) as label:
            assert label == "" and len(seen) == 1
        two = ["dog", "cat"]
        with catalog.planned_transaction(lambda: plan(two)) as label:
            assert label == "dog" and seen == ["", "", "cat", "dog"]
        many = ["cat", "dog"] * 3
        with pytest.raises(FototecaError, match="locked"), catalog.planned_transaction(lambda: plan(many)):
            pass
    assert len(seen) == 8, "the last plan is computed under the lock, where nobody else can write"
