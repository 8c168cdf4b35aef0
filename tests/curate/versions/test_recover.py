"""Tests for recovering a lost catalog from the versions and the image store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fototeca.collect.catalog import Catalog, Decision, ImageRow, Provenance
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace
from fototeca.curate.labels.decisions import label_images, reject_images
from fototeca.curate.review.apart import restore_images
from fototeca.curate.review.undo import undo_decisions
from fototeca.curate.versions.freeze import freeze_version
from fototeca.curate.versions.rebuild import rebuild_version
from fototeca.curate.versions.recover import recover_catalog
from fototeca.vision.hashes import phash
from fototeca.vision.image import decode

AddImages = Callable[..., list[str]]


def read_catalog(workspace: Workspace) -> tuple[dict[str, tuple[Any, ...]], list[Decision]]:
    """Return the state of each image by id, and all decisions."""
    with Catalog.open(workspace) as catalog:
        images = {row.image_id: (row.path, row.label, row.rejected, row.reviewed, row.restored) for row in catalog.images.all()}
        return images, catalog.decisions.all()


def delete_catalog(workspace: Workspace) -> None:
    """Delete the catalog."""
    for path in workspace.data.glob("catalog.sqlite*"):
        path.unlink()


@pytest.fixture
def ids(workspace: Workspace, add_images: AddImages) -> list[str]:
    """Images frozen twice, after decisions by a person: relabeled, rejected, confirmed, and rejected and restored."""
    ids = add_images(workspace, ["cat"] * 10 + ["dog"] * 10)
    with Catalog.open(workspace) as catalog:
        for image in catalog.images.all():
            perceptual_hash = phash(decode(workspace.root / image.path).convert("L"))
            catalog.database.connection.execute(
                "UPDATE images SET phash = ? WHERE image_id = ?", (perceptual_hash, image.image_id)
            )
    label_images(workspace, [ids[0]], "dog", comment="it barks")
    freeze_version(workspace)
    reject_images(workspace, [ids[1]], "drawing")
    label_images(workspace, [ids[2]], "cat")
    reject_images(workspace, [ids[3]], "blurry")
    restore_images(workspace, [ids[3]])
    freeze_version(workspace)
    return ids


def test_recover_restores_images_and_decisions(workspace: Workspace, ids: list[str]) -> None:
    """Labels, rejections, reviews and decisions are recovered; a second recovery and the next freeze change nothing."""
    before = read_catalog(workspace)
    delete_catalog(workspace)
    counts = recover_catalog(workspace).to_json()
    assert counts == {"images": 20, "broken": 0, "decisions": 25, "unknown": 0, "older": 0, "erased": 0}
    assert read_catalog(workspace) == before
    assert not freeze_version(workspace).new
    assert recover_catalog(workspace).to_json() == dict.fromkeys(counts, 0)


def test_undone_decision_is_recovered_as_unreviewed(workspace: Workspace, add_images: AddImages) -> None:
    """An image whose only review was undone is unreviewed after recovery."""
    ids = add_images(workspace, ["cat"] * 6 + ["dog"] * 6)
    (decision,) = label_images(workspace, ids[:1], "dog")
    undo_decisions(workspace, [decision.decision_id])
    freeze_version(workspace)
    before = read_catalog(workspace)
    delete_catalog(workspace)
    recover_catalog(workspace)
    assert read_catalog(workspace)[0][ids[0]][1:] == before[0][ids[0]][1:] == ("cat", "", False, False)


def test_recover_restores_provenance(workspace: Workspace, ids: list[str]) -> None:
    """Provenance equals the manifest's, and a later search recognizes the address."""
    delete_catalog(workspace)
    recover_catalog(workspace)
    with Catalog.open(workspace) as catalog:
        provenance = catalog.provenance.of_image(ids[0])[0]
        assert (provenance.url, provenance.source, provenance.author, provenance.license) == (
            *("https://example.org/0.png", "site"),
            *("author A", "CC-BY-4.0"),
        )
        assert (
            catalog.candidates.add(Provenance("https://EXAMPLE.org/0.png", "site"), "https://example.org/0.png").state
            == "accepted"
        )


def test_decisions_after_recovery_are_in_the_next_version(workspace: Workspace, ids: list[str]) -> None:
    """The next version's file has the new decisions only, also if images are missing or broken."""
    delete_catalog(workspace)
    for image_id in ids[:2]:
        next(workspace.images.glob(f"*/{image_id}.png")).unlink()
    next(workspace.images.glob(f"*/{ids[4]}.png")).write_bytes(b"other bytes")
    result = recover_catalog(workspace)
    assert (result.images, result.broken, result.unknown) == (17, 1, 5)
    label_images(workspace, [ids[5]], "dog")
    freeze_version(workspace)
    lines = (workspace.manifests / "v003.decisions.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines[1:]] == [ids[5]]


def test_recover_does_not_overwrite_newer_decisions(workspace: Workspace, ids: list[str]) -> None:
    """A new catalog retains decisions that are newer than the versions' decisions."""
    delete_catalog(workspace)
    with Catalog.open(workspace) as catalog:
        path = next(workspace.images.glob(f"*/{ids[0]}.png"))
        row = ImageRow(ids[0], workspace.relative(path), "PNG", 64, 48, "RGB", 9, "0" * 16)
        catalog.candidates.readmit(row, Provenance("https://example.org/0.png", "site"))
    reject_images(workspace, [ids[0]], "off-topic")
    assert recover_catalog(workspace).older == 2
    assert read_catalog(workspace)[0][ids[0]][2] == "off-topic"


def test_version_older_than_the_catalog_cannot_be_rebuilt(workspace: Workspace, ids: list[str]) -> None:
    """The error states that the catalog lacks the version's images and suggests `curate verify`."""
    delete_catalog(workspace)
    recover_catalog(workspace)
    with pytest.raises(FototecaError, match="v001 cannot be rebuilt: the catalog has 0 images from before") as error:
        rebuild_version(workspace, "v001")
    assert "fototeca curate verify" in error.value.hint


def test_edited_decision_file_is_rejected(workspace: Workspace, ids: list[str]) -> None:
    """A decision file whose digest differs is rejected, and nothing is recovered."""
    delete_catalog(workspace)
    path = workspace.manifests / "v002.decisions.csv"
    path.write_text(path.read_text().replace("drawing", "nothing"))
    with pytest.raises(
        FototecaError, match=r"v002\.decisions\.csv was changed after it was frozen: its digest differs; restore it: git checkout"
    ):
        recover_catalog(workspace)
    assert not read_catalog(workspace)[1]
