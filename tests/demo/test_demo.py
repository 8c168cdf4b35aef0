"""The demo's drawings know their truth; its site behaves as image-search pages do; collecting finds what was planted."""

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
from fototeca.collect.files.local_files import LabelSource
from fototeca.collect.http.client import FetchOptions
from fototeca.collect.ingest.folder import collect_folder
from fototeca.collect.search import SearchOptions, preview, search
from fototeca.core.workspace import Workspace, create_workspace
from fototeca.curate.duplicates import dedup
from fototeca.demo.gallery import build_gallery
from fototeca.demo.images import draw_image
from fototeca.demo.pipeline import _review
from fototeca.demo.plan import BROKEN, EACH, EDITS, EXACT, WRONG, Entry, plan_entries
from fototeca.demo.signs import CATEGORIES
from fototeca.demo.site import serve_gallery
from fototeca.demo.truth import keep_masks, outcomes, planted_table, unplanted

pytestmark = pytest.mark.xdist_group("demo")
FiftyOne = Any  # it ships no types


@pytest.fixture(scope="module")
def entries() -> list[Entry]:
    """A part of one query's tiles: everything that is planted, with its originals, and some that are hidden behind a click."""
    shown = [entry for entry in plan_entries() if "stop" in entry.queries]
    planted = [entry for entry in shown if entry.kind != "original"]
    origins = {entry.origin for entry in planted}
    others = [entry for entry in shown if entry.kind == "original" and entry.name not in origins]
    hidden = [entry for entry in others if entry.hidden][:4]
    chosen = {entry.name for entry in (*planted, *hidden, *others[:12])} | origins
    return [entry for entry in shown if entry.name in chosen]


@pytest.fixture(scope="module")
def gallery(entries: list[Entry], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its files."""
    folder = tmp_path_factory.mktemp("gallery")
    build_gallery(folder, entries)
    return folder


@pytest.fixture(scope="module")
def site(gallery: Path, entries: list[Entry]) -> Iterator[str]:
    """Its address."""
    with serve_gallery(gallery, entries) as address:
        yield address


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """One category more than the gallery's part shows images of."""
    return create_workspace(tmp_path / "w", ["stop", "yield"], target=150, contact="demo@example.org")


def test_the_plan_keeps_its_promises() -> None:
    """Five categories or more of at least 120 images, every kind planted, and the same plan each time."""
    entries = plan_entries()
    assert entries == plan_entries()
    assert len({entry.name for entry in entries}) == len(entries)
    for sign in CATEGORIES:
        shown = [entry for entry in entries if sign in entry.queries]
        kinds = Counter(entry.kind for entry in shown)
        assert kinds["original"] + kinds["limited"] + kinds["two-labels"] >= EACH >= 120
        assert (kinds["exact"], kinds["edited"], kinds["wrong-label"]) == (EXACT, len(EDITS), WRONG)
        assert all(kinds[kind] == 1 for kind in BROKEN)
        assert all(entry.sign != sign for entry in shown if entry.kind == "wrong-label")
    assert [len(entry.queries) for entry in entries if entry.kind == "two-labels"] == [2]


def test_a_drawing_knows_where_its_sign_is() -> None:
    """The mask fills its box, is neither empty nor all, and the same numbers draw the same bytes."""
    image = draw_image("yield", 3, 5)
    assert image.jpeg == draw_image("yield", 3, 5).jpeg != draw_image("yield", 3, 6).jpeg
    mask = np.asarray(image.mask) > 0
    left, top, right, bottom = image.box
    assert mask[top:bottom, left:right].sum() == mask.sum()
    assert 0.005 < mask.mean() < 0.6
    assert Image.open(io.BytesIO(image.jpeg)).size == (image.width, image.height) == image.mask.size


def fetch(url: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body."""
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), error.read()


def test_the_site_behaves_as_documented(site: str, entries: list[Entry]) -> None:
    """robots.txt, pages of 24 tiles, an opt-out, a 429 that is over at the second try, a page for an unknown query."""
    assert b"Disallow: /private/" in fetch(f"{site}/robots.txt")[2]
    page = fetch(f"{site}/search?q=stop")[2].decode()
    assert page.count('class="tile"') == 24
    assert 'aria-modal="true" id="consent"' in page
    more = fetch(f"{site}/search/more?q=stop&offset=24")[2].decode()
    assert more.count('class="tile"') == min(24, len(entries) - 24)
    assert '<p class="empty">' in fetch(f"{site}/search?q=nothing")[2].decode()
    by_kind = {entry.kind: entry for entry in entries}
    assert fetch(site + by_kind["opted-out"].address)[1]["X-Robots-Tag"] == "noai"
    limited = site + by_kind["limited"].address
    status, headers, _ = fetch(limited)
    assert (status, headers["Retry-After"]) == (429, "1")
    assert fetch(limited)[0] == 200
    assert fetch(site + by_kind["html"].address)[2].startswith(b"<!doctype html>")
    assert fetch(f"{site}/images/none.jpg")[0] == 404


def test_collecting_finds_all_that_was_planted(site: str, gallery: Path, entries: list[Entry], workspace: Workspace) -> None:
    """A real browser answers the dialog, scrolls to the end and clicks; every copy, fault and refusal is found, nothing else."""
    options = SearchOptions(("gallery",), ("stop",), url=site + "/search?q={query}")
    summary = search(workspace, options, FetchOptions(allow_loopback=True))
    assert summary.found == len(entries)
    dedup(workspace)
    found = outcomes(workspace, entries)
    assert set(found) == {entry.name for entry in entries}, "a tile behind a click was taken as its thumbnail"
    table = planted_table(workspace, entries, [])
    counts = {" ".join(line.split()[:-2]): line.split()[-2:] for line in table.splitlines()[1:-1]}
    assert counts.pop("wrong labels, among as many suggestions") == [str(WRONG), "0"]
    assert counts.pop("one image under two labels") == ["1", "0"], "only one of its two queries was searched"
    assert all(planted == number for planted, number in counts.values()), table
    assert unplanted(entries, found)[0] == 0
    keep_masks(workspace, entries, gallery)
    originals = {found[entry.name].image for entry in entries if not entry.origin}
    assert {path.stem for path in workspace.data.glob("masks/*.png")} == {image.image_id for image in originals if image}
    with Catalog.open(workspace) as catalog:
        places = [place for image in catalog.images.all() for place in catalog.provenance.of_image(image.image_id)]
    assert all(place.author.startswith("demo author ") for place in places)
    assert {"CC-BY-4.0", "CC-BY-SA-4.0", "CC0-1.0", "unknown"} == {place.license for place in places}
    again = search(workspace, options, FetchOptions(allow_loopback=True))
    assert (again.found, again.known) == (len(entries), len(entries))


def test_a_dry_run_counts_and_fetches_nothing(site: str, entries: list[Entry], workspace: Workspace) -> None:
    """Candidates, licences and sizes are told; a limit is kept; no image is stored; a query without images is no error."""
    fetch_options = FetchOptions(allow_loopback=True)
    found = preview(workspace, SearchOptions(("gallery",), limit=30, url=site + "/search?q={query}"), fetch_options)
    assert found["stop"]["candidates"] == 30
    assert "yield" not in found
    assert not list(workspace.images.rglob("*.jpg"))


def test_the_pipeline_shows_its_images(
    fo: FiftyOne, workspace: Workspace, gallery: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In FiftyOne, on the database that belongs to the tests."""
    collect_folder(workspace, gallery, LabelSource(category="stop"), FetchOptions())
    assert fo.list_datasets() == [], "nothing of a person's own is in reach"
    _review(workspace)
    (name,) = fo.list_datasets()
    assert name == f"fototeca-{workspace.settings.name}"
    assert f"dataset {name} with {len(fo.load_dataset(name))} samples" in capsys.readouterr().out
    fo.delete_dataset(name)


def test_the_pipeline_goes_on_without_a_database(workspace: Workspace) -> None:
    """It says so, and ends well."""
    script = (
        "import sys; from pathlib import Path; from fototeca.demo.pipeline import _review;"
        " from fototeca.core.workspace import Workspace; _review(Workspace(Path(sys.argv[1])))"
    )
    command = [sys.executable, "-c", script, str(workspace.root)]
    nobody = "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=200"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "FIFTYONE_DATABASE_URI": nobody}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "not pushed: FiftyOne's database does not answer" in done.stdout
