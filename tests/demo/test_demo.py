"""Demo: drawings and ground truth, the gallery site, and collecting what was planted."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fototeca.collect.catalog import Catalog
from fototeca.collect.files.folder_options import FolderOptions
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.ingest.folder import collect_folder
from fototeca.collect.search import SearchOptions, preview_search, search_sources
from fototeca.core.workspace import Workspace, create_workspace
from fototeca.curate.duplicates import dedup
from fototeca.demo.gallery import build_gallery
from fototeca.demo.images import draw_image
from fototeca.demo.pipeline import _review
from fototeca.demo.plan import EDITS, EXACT_COPIES, EXPECTED_REASONS, IMAGES_PER_QUERY, WRONG_LABELS, Entry, plan_entries
from fototeca.demo.signs import CATEGORIES
from fototeca.demo.site import serve_gallery
from fototeca.demo.truth import copy_masks, count_false_groups, read_results, render_planted_table

pytestmark = pytest.mark.xdist_group("demo")
FiftyOne = Any  # it ships no types


@pytest.fixture(scope="module")
def entries() -> list[Entry]:
    """Part of the tiles of one query: everything planted, the originals, and some tiles that need a click."""
    shown = [entry for entry in plan_entries() if "stop" in entry.queries]
    planted = [entry for entry in shown if entry.kind != "original"]
    origins = {entry.origin for entry in planted}
    others = [entry for entry in shown if entry.kind == "original" and entry.name not in origins]
    hidden = [entry for entry in others if entry.hidden][:4]
    chosen = {entry.name for entry in (*planted, *hidden, *others[:12])} | origins
    return [entry for entry in shown if entry.name in chosen]


@pytest.fixture(scope="module")
def gallery(entries: list[Entry], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the drawn files of the entries."""
    folder = tmp_path_factory.mktemp("gallery")
    build_gallery(folder, entries)
    return folder


@pytest.fixture(scope="module")
def site(gallery: Path, entries: list[Entry]) -> Iterator[str]:
    """Base URL of the served gallery."""
    with serve_gallery(gallery, entries) as base_url:
        yield base_url


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace with one category more than the gallery serves."""
    return create_workspace(tmp_path / "w", ["stop", "yield"], target=150, contact="demo@example.org")


def test_plan_is_deterministic_and_complete() -> None:
    """Six categories with 120 or more images, every kind planted, equal entries each time."""
    entries = plan_entries()
    assert entries == plan_entries()
    assert len({entry.name for entry in entries}) == len(entries)
    for sign in CATEGORIES:
        shown = [entry for entry in entries if sign in entry.queries]
        kinds = Counter(entry.kind for entry in shown)
        assert kinds["original"] + kinds["limited"] + kinds["two-labels"] >= IMAGES_PER_QUERY >= 120
        assert (kinds["exact"], kinds["edited"], kinds["wrong-label"]) == (EXACT_COPIES, len(EDITS), WRONG_LABELS)
        assert all(kinds[kind] == 1 for kind in EXPECTED_REASONS)
        assert all(entry.sign != sign for entry in shown if entry.kind == "wrong-label")
    assert [len(entry.queries) for entry in entries if entry.kind == "two-labels"] == [2]


def test_drawn_image_has_mask_and_box() -> None:
    """The mask fills its box, and equal arguments give equal bytes."""
    image = draw_image("yield", 3, 5)
    assert image.jpeg == draw_image("yield", 3, 5).jpeg != draw_image("yield", 3, 6).jpeg
    mask = np.asarray(image.mask) > 0
    left, top, right, bottom = image.box
    assert mask[top:bottom, left:right].sum() == mask.sum()
    assert 0.005 < mask.mean() < 0.6
    assert Image.open(io.BytesIO(image.jpeg)).size == (image.width, image.height) == image.mask.size


def fetch(url: str) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body."""
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), error.read()


def test_site_behaves_as_documented(site: str, entries: list[Entry]) -> None:
    """robots.txt, pages of 24 tiles, an opt-out, a 429 at the first request, an empty result page."""
    assert b"Disallow: /private/" in fetch(f"{site}/robots.txt")[2]
    page = fetch(f"{site}/search?q=stop")[2].decode()
    assert page.count('class="tile"') == 24
    assert 'aria-modal="true" id="consent"' in page
    more = fetch(f"{site}/search/more?q=stop&offset=24")[2].decode()
    assert more.count('class="tile"') == min(24, len(entries) - 24)
    assert '<p class="empty">' in fetch(f"{site}/search?q=nothing")[2].decode()
    by_kind = {entry.kind: entry for entry in entries}
    assert fetch(site + by_kind["opted-out"].url_path)[1]["X-Robots-Tag"] == "noai"
    limited = site + by_kind["limited"].url_path
    status, headers, _ = fetch(limited)
    assert (status, headers["Retry-After"]) == (429, "1")
    assert fetch(limited)[0] == 200
    assert fetch(site + by_kind["html"].url_path)[2].startswith(b"<!doctype html>")
    assert fetch(f"{site}/images/none.jpg")[0] == 404


def test_collecting_finds_everything_planted(site: str, gallery: Path, entries: list[Entry], workspace: Workspace) -> None:
    """A real browser dismisses the dialog, scrolls and clicks; every copy, fault and refusal is found, nothing else."""
    options = SearchOptions(("gallery",), ("stop",), url=site + "/search?q={query}")
    summary = search_sources(workspace, options, FetchOptions(allow_loopback=True))
    assert summary.candidates == len(entries)
    dedup(workspace)
    results = read_results(workspace, entries)
    assert set(results) == {entry.name for entry in entries}, "a tile behind a click was taken as its thumbnail"
    table = render_planted_table(workspace, entries, [])
    counts = {" ".join(line.split()[:-2]): line.split()[-2:] for line in table.splitlines()[1:-1]}
    assert counts.pop("wrong labels, among as many label issues") == [str(WRONG_LABELS), "0"]
    assert counts.pop("one image under two labels") == ["1", "0"], "only one of its two queries was searched"
    assert all(planted == number for planted, number in counts.values()), table
    assert count_false_groups(entries, results)[0] == 0
    copy_masks(workspace, entries, gallery)
    originals = {results[entry.name].image for entry in entries if not entry.origin}
    assert {path.stem for path in workspace.data.glob("masks/*.png")} == {image.image_id for image in originals if image}
    with Catalog.open(workspace) as catalog:
        provenances = [place for image in catalog.images.all() for place in catalog.provenance.of_image(image.image_id)]
    assert all(place.author.startswith("demo author ") for place in provenances)
    assert {"CC-BY-4.0", "CC-BY-SA-4.0", "CC0-1.0", "unknown"} == {place.license for place in provenances}
    again = search_sources(workspace, options, FetchOptions(allow_loopback=True))
    assert (again.candidates, again.already_known) == (len(entries), len(entries))


def test_dry_run_counts_candidates_and_fetches_nothing(site: str, entries: list[Entry], workspace: Workspace) -> None:
    """The limit applies, no image is stored, and a query without results is not an error."""
    fetch_options = FetchOptions(allow_loopback=True)
    previews = preview_search(workspace, SearchOptions(("gallery",), limit=30, url=site + "/search?q={query}"), fetch_options)
    assert previews["stop"].candidates == 30
    assert "yield" not in previews
    assert not list(workspace.images.rglob("*.jpg"))


def test_pipeline_pushes_images_to_fiftyone(
    fo: FiftyOne, workspace: Workspace, gallery: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Uses the database of the tests."""
    collect_folder(workspace, gallery, FolderOptions(category="stop"), FetchOptions())
    assert fo.list_datasets() == [], "the database of the tests starts empty"
    _review(workspace)
    (name,) = fo.list_datasets()
    assert name == f"fototeca-{workspace.settings.name}"
    assert f"dataset {name} with {len(fo.load_dataset(name))} samples" in capsys.readouterr().out
    fo.delete_dataset(name)


def test_pipeline_continues_without_a_database(workspace: Workspace) -> None:
    """It prints a line and exits 0."""
    script = (
        "import sys; from pathlib import Path; from fototeca.demo.pipeline import _review;"
        " from fototeca.core.workspace import Workspace; _review(Workspace(Path(sys.argv[1])))"
    )
    command = [sys.executable, "-c", script, str(workspace.root)]
    unreachable = "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=200"
    environment = {**os.environ, "FIFTYONE_DATABASE_URI": unreachable}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "not pushed: FiftyOne's database does not answer" in done.stdout
