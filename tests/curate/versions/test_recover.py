"""A lost catalog: what git and the image store keep brings it back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fototeca.collect.catalog import Catalog, Decision, ImageRow, Provenance
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace
from fototeca.curate.labels.decisions import label_images, reject_images, restore_images
from fototeca.curate.review.undo import undo_decisions
from fototeca.curate.versions.freeze import freeze_version
from fototeca.curate.versions.rebuild import rebuild_version
from fototeca.curate.versions.recover import recover_catalog
from fototeca.vision.hashes import phash
from fototeca.vision.image import decode

AddImages = Callable[..., list[str]]


def known(workspace: Workspace) -> tuple[dict[str, tuple[Any, ...]], list[Decision]]:
    """What the catalog says of every image, and every decision."""
    with Catalog.open(workspace) as catalog:
        images = {row.image_id: (row.path, row.label, row.rejected, row.reviewed, row.restored) for row in catalog.images.all()}
        return images, catalog.decisions.all()


def lose(workspace: Workspace) -> None:
    """Delete the catalog."""
    for path in workspace.data.glob("catalog.sqlite*"):
        path.unlink()


@pytest.fixture
def ids(workspace: Workspace, add_images: AddImages) -> list[str]:
    """Images with decisions of a person, frozen twice: relabelled, rejected, agreed with, rejected and restored."""
    ids = add_images(workspace, ["cat"] * 10 + ["dog"] * 10)
    with Catalog.open(workspace) as catalog:
        for image in catalog.images.all():
            looks = phash(decode(workspace.root / image.path).convert("L"))
            catalog.database.connection.execute("UPDATE images SET phash = ? WHERE image_id = ?", (looks, image.image_id))
    label_images(workspace, [ids[0]], "dog", comment="it barks")
    freeze_version(workspace)
    reject_images(workspace, [ids[1]], "drawing")
    label_images(workspace, [ids[2]], "cat")
    reject_images(workspace, [ids[3]], "blurry")
    restore_images(workspace, [ids[3]])
    freeze_version(workspace)
    return ids


def test_a_lost_catalog_comes_back(workspace: Workspace, ids: list[str]) -> None:
    """Labels, rejections, reviews, and who decided what and when; the next version has nothing new, and twice is once."""
    before = known(workspace)
    lose(workspace)
    counts = recover_catalog(workspace).to_json()
    assert counts == {"images": 20, "broken": 0, "decisions": 25, "unknown": 0, "older": 0}
    assert known(workspace) == before
    assert not freeze_version(workspace).new
    assert recover_catalog(workspace).to_json() == dict.fromkeys(counts, 0)


def test_what_was_taken_back_comes_back_unreviewed(workspace: Workspace, add_images: AddImages) -> None:
    """Nobody's word is left on the image: the next version says so, too."""
    ids = add_images(workspace, ["cat"] * 6 + ["dog"] * 6)
    (decision,) = label_images(workspace, ids[:1], "dog")
    undo_decisions(workspace, [decision.decision_id])
    freeze_version(workspace)
    before = known(workspace)
    lose(workspace)
    recover_catalog(workspace)
    assert known(workspace)[0][ids[0]][1:] == before[0][ids[0]][1:] == ("cat", "", False, False)


def test_places_and_rights_come_back(workspace: Workspace, ids: list[str]) -> None:
    """As the manifest says them, under the address by which a later search knows them."""
    lose(workspace)
    recover_catalog(workspace)
    with Catalog.open(workspace) as catalog:
        place = catalog.provenance.of_image(ids[0])[0]
        assert (place.url, place.source, place.author, place.license) == (
            *("https://example.org/0.png", "site"),
            *("author A", "CC-BY-4.0"),
        )
        assert (
            catalog.candidates.add(Provenance("https://EXAMPLE.org/0.png", "site"), "https://example.org/0.png").state
            == "accepted"
        )


def test_decisions_after_it_go_into_the_next_version(workspace: Workspace, ids: list[str]) -> None:
    """Also where files are gone, so that fewer decisions are known than there were."""
    lose(workspace)
    for image_id in ids[:2]:
        next(workspace.images.glob(f"*/{image_id}.png")).unlink()
    next(workspace.images.glob(f"*/{ids[4]}.png")).write_bytes(b"other bytes")
    result = recover_catalog(workspace)
    assert (result.images, result.broken, result.unknown) == (17, 1, 5)
    label_images(workspace, [ids[5]], "dog")
    freeze_version(workspace)
    lines = (workspace.manifests / "v003.decisions.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines[1:]] == [ids[5]]


def test_what_was_decided_since_is_not_overwritten(workspace: Workspace, ids: list[str]) -> None:
    """A catalog that was begun anew keeps its newer decisions."""
    lose(workspace)
    with Catalog.open(workspace) as catalog:
        path = next(workspace.images.glob(f"*/{ids[0]}.png"))
        row = ImageRow(ids[0], workspace.relative(path), "PNG", 64, 48, "RGB", 9, "0" * 16)
        catalog.candidates.readmit(row, Provenance("https://example.org/0.png", "site"))
    reject_images(workspace, [ids[0]], "off-topic")
    assert recover_catalog(workspace).older == 2
    assert known(workspace)[0][ids[0]][2] == "off-topic"


def test_a_version_older_than_the_catalog_is_not_made_again(workspace: Workspace, ids: list[str]) -> None:
    """Which images were there at its time is what was lost: one line says so."""
    lose(workspace)
    recover_catalog(workspace)
    with pytest.raises(FototecaError, match="v001 cannot be rebuilt: the catalog has 0 images from before") as error:
        rebuild_version(workspace, "v001")
    assert "fototeca curate verify" in error.value.hint


def test_edited_decisions_are_refused(workspace: Workspace, ids: list[str]) -> None:
    """Nothing is followed that is not what was frozen."""
    lose(workspace)
    path = workspace.manifests / "v002.decisions.csv"
    path.write_text(path.read_text().replace("drawing", "nothing"))
    with pytest.raises(
        FototecaError, match=r"v002\.decisions\.csv was changed after it was frozen: its digest differs; restore it: git checkout"
    ):
        recover_catalog(workspace)
    assert not known(workspace)[1]
