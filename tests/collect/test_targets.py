"""Targets: what counts as one image while collecting, and what is said to be missing."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fototeca.collect.catalog import Actor, Catalog, Edit, ImageRow, Provenance
from fototeca.collect.cli.options import close
from fototeca.collect.files.local_files import LabelSource
from fototeca.collect.http.client import FetchOptions
from fototeca.collect.ingest.folder import collect_folder
from fototeca.collect.ingest.targets import ALIKE, Targets
from fototeca.collect.status import short_categories, workspace_status
from fototeca.core.workspace import Workspace, create_workspace
from tests.servers import jpeg


def add(catalog: Catalog, number: int, phash: int) -> str:
    """An accepted image of the category fox with this pHash."""
    image = ImageRow(f"{number:064x}", f"data/images/{number}.jpg", "JPEG", 99, 99, "RGB", 1, f"{phash:016x}")
    candidate = catalog.candidates.add(Provenance(f"http://e.org/{number}", "urls", "fox"), f"http://e.org/{number}")
    catalog.candidates.record(candidate.candidate_id, "accepted", image=image)
    catalog.decisions.add(image.image_id, Edit.relabel("fox"), by=Actor.source("urls"), reason="found as fox")
    return image.image_id


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([0, 0x0F0F0F0F0F0F0F0F]), st.sets(st.integers(0, 63), max_size=9)), max_size=12))
def test_what_counts_once_is_what_is_near_an_earlier_one(
    tmp_path_factory: pytest.TempPathFactory, looks: list[tuple[int, set[int]]]
) -> None:
    """As comparing each with all before it: up to four bits of difference are a copy, wherever they lie."""
    hashes = [base ^ sum(1 << bit for bit in flipped) for base, flipped in looks]
    kept: list[int] = []
    for value in hashes:
        if all((value ^ other).bit_count() > ALIKE for other in kept):
            kept.append(value)
    with Catalog(tmp_path_factory.mktemp("w") / "catalog.sqlite") as catalog:
        for number, value in enumerate(hashes):
            add(catalog, number, value)
        targets = Targets(catalog, 5)
    assert targets.distinct("fox") == len(kept)
    assert targets.missing("fox") == max(5 - len(kept), 0)


def test_no_more_is_asked_for_while_enough_is_on_its_way(tmp_path: Path) -> None:
    """Enough is what is missing by now; less than that, or nothing, is no reason to wait."""
    with Catalog(tmp_path / "catalog.sqlite") as catalog:
        for accepted, waits in {0: [False, False, False, True], 1: [False, False, True], 3: [False, True]}.items():
            for number in range(accepted):
                add(catalog, number, (1 << 16 * number) * 0xFFFF)
            targets = Targets(catalog, 3)
            for pending, expected in enumerate(waits):
                targets.pending["fox"] = pending
                assert targets.on_the_way("fox") is expected, (accepted, pending)


def test_what_dedup_kept_counts_whatever_it_looks_like(tmp_path: Path) -> None:
    """Two images of one pHash that dedup compared and kept are two; one that it has not seen yet is none of its own."""
    with Catalog(tmp_path / "catalog.sqlite") as catalog:
        for number in (7, 8, 9):
            image_id = add(catalog, number, 42)
            if number > 7:
                catalog.duplicate_cache.save_signatures(1, [(image_id, b"\0")])
        assert Targets(catalog, 9).distinct("fox") == 2


def recompressed(folder: Path, *qualities: int) -> None:
    """One image, saved anew at each quality."""
    folder.mkdir()
    for quality in qualities:
        Image.open(io.BytesIO(jpeg(1, 200))).save(folder / f"{quality}.jpg", quality=quality)


def test_copies_do_not_fill_a_target(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two saves of one image are two accepted images and one towards the target: the rest is stated, with exit code 3."""
    workspace: Workspace = create_workspace(tmp_path / "w", ["fox"], target=2)
    recompressed(tmp_path / "photos", 95, 80)
    summary = collect_folder(workspace, tmp_path / "photos", LabelSource("fox"), FetchOptions())
    assert workspace_status(workspace)["categories"]["fox"]["accepted"] == 2
    assert short_categories(workspace) == {"fox": 1}
    with pytest.raises(typer.Exit) as stopped:
        close(workspace, summary)
    assert stopped.value.exit_code == 3
    assert "target of 2 accepted images that do not look alike: fox 1" in capsys.readouterr().err
