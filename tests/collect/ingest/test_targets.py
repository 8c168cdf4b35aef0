"""Targets: distinct images per category, candidates in flight, and the shortfall."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fototeca.collect.catalog import Actor, Catalog, Edit, ImageRow, Provenance
from fototeca.collect.cli.options import finish
from fototeca.collect.files.folder_options import FolderOptions
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.ingest.folder import collect_folder
from fototeca.collect.ingest.targets import MAX_COPY_DISTANCE, Targets
from fototeca.collect.status import compute_shortfalls, workspace_status
from fototeca.core.workspace import Workspace, create_workspace
from tests.servers import jpeg


def add(catalog: Catalog, number: int, phash: int) -> str:
    """Add an accepted image of the category fox with this pHash; return its id."""
    image = ImageRow(f"{number:064x}", f"data/images/00/{number:064x}.jpg", "JPEG", 99, 99, "RGB", 1, f"{phash:016x}")
    candidate = catalog.candidates.add(Provenance(f"http://e.org/{number}", "urls", "fox"), f"http://e.org/{number}")
    catalog.candidates.record(candidate.candidate_id, "accepted", image=image)
    catalog.decisions.add(image.image_id, Edit.relabel("fox"), by=Actor.source("urls"), reason="found as fox")
    return image.image_id


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([0, 0x0F0F0F0F0F0F0F0F]), st.sets(st.integers(0, 63), max_size=9)), max_size=12))
def test_distinct_equals_greedy_comparison_with_all_earlier_hashes(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, set[int]]]
) -> None:
    """An image within MAX_COPY_DISTANCE bits of a counted one is not counted."""
    hashes = [base ^ sum(1 << bit for bit in flipped) for base, flipped in changes]
    counted: list[int] = []
    for value in hashes:
        if all((value ^ other).bit_count() > MAX_COPY_DISTANCE for other in counted):
            counted.append(value)
    with Catalog(tmp_path_factory.mktemp("w") / "catalog.sqlite") as catalog:
        for number, value in enumerate(hashes):
            add(catalog, number, value)
        targets = Targets(catalog, 5)
    assert targets.distinct("fox") == len(counted)
    assert targets.missing("fox") == max(5 - len(counted), 0)


def test_may_be_reached_by_pending(tmp_path: Path) -> None:
    """True only while the candidates in flight could fill the target."""
    with Catalog(tmp_path / "catalog.sqlite") as catalog:
        for accepted, waits in {0: [False, False, False, True], 1: [False, False, True], 3: [False, True]}.items():
            for number in range(accepted):
                add(catalog, number, (1 << 16 * number) * 0xFFFF)
            targets = Targets(catalog, 3)
            for pending, expected in enumerate(waits):
                targets.pending["fox"] = pending
                assert targets.may_be_reached_by_pending("fox") is expected, (accepted, pending)


def test_images_kept_by_dedup_count_whatever_their_phash(tmp_path: Path) -> None:
    """Images that dedup compared and kept count; an image it has not seen counts by its pHash."""
    with Catalog(tmp_path / "catalog.sqlite") as catalog:
        for number in (7, 8, 9):
            image_id = add(catalog, number, 42)
            if number > 7:
                catalog.duplicate_cache.save_signatures(1, [(image_id, b"\0")])
        assert Targets(catalog, 9).distinct("fox") == 2


def recompressed(folder: Path, *qualities: int) -> None:
    """Save one image at each JPEG quality."""
    folder.mkdir()
    for quality in qualities:
        Image.open(io.BytesIO(jpeg(1, 200))).save(folder / f"{quality}.jpg", quality=quality)


def test_near_duplicates_count_once_towards_the_target(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two encodings of one image are two accepted images and count once; the shortfall ends with exit code 3."""
    workspace: Workspace = create_workspace(tmp_path / "w", ["fox"], target=2)
    recompressed(tmp_path / "photos", 95, 80)
    summary = collect_folder(workspace, tmp_path / "photos", FolderOptions("fox"), FetchOptions())
    assert workspace_status(workspace).categories["fox"].accepted == 2
    assert compute_shortfalls(workspace) == {"fox": 1}
    with pytest.raises(typer.Exit) as stopped:
        finish(workspace, summary)
    assert stopped.value.exit_code == 3
    assert "target of 2 accepted images without near-duplicates: fox 1" in capsys.readouterr().err
