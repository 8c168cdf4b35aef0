"""What the catalog keeps of every try: what the site declared and announced, and what came."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fototeca.collect.catalog import Catalog, Provenance
from fototeca.collect.files.local_files import LOCAL
from fototeca.collect.http.client import FetchOptions
from fototeca.collect.ingest.pipeline import collect
from fototeca.core.workspace import create_workspace
from tests.servers import ReceivedRequest, StubResponse, jpeg, serve

OPTIONS = FetchOptions(allow_loopback=True, min_side=32, timeout=5, per_host=1)
IMAGE_ELEMENT = jpeg(1)
CLOSE = {"Connection": "close"}
ANSWERS = {
    "/declared.jpg": StubResponse(IMAGE_ELEMENT, "text/plain"),
    "/html.jpg": StubResponse(b"<!doctype html><title>Log in</title>", "text/html; charset=utf-8"),
    "/gone.jpg": StubResponse(b"gone", "text/html", 404),
    "/short.jpg": StubResponse(jpeg(2)[:700], "image/jpeg", headers={"Content-Length": "9000", **CLOSE}),
    "/huge.jpg": StubResponse(b"x", "image/jpeg", headers={"Content-Length": "9" * 30, **CLOSE}),
    "/out.jpg": StubResponse(jpeg(3), "image/webp", headers={"X-Robots-Tag": "noai"}),
}


def test_what_was_said_and_what_came_is_kept(tmp_path: Path) -> None:
    """For images that are accepted, refused, and broken off alike."""

    def respond(request: ReceivedRequest) -> StubResponse:
        return ANSWERS.get(request.path, StubResponse(status=404))

    workspace = create_workspace(tmp_path / "w", ["fox"])
    file = tmp_path / "own.jpg"
    file.write_bytes(jpeg(4))
    with serve(respond) as site:
        collect(workspace, [Provenance(site.base + path, "urls", "fox") for path in ANSWERS], OPTIONS)
    collect(workspace, [Provenance(LOCAL + file.as_posix(), "folder", "fox")], OPTIONS, local=True)
    with Catalog.open(workspace) as catalog:
        rows = catalog.database.connection.execute(
            "SELECT url, a.state, a.reason, status, bytes, content_type, content_length"
            " FROM attempts a JOIN candidates USING (candidate_id)"
        )
        kept = {row[0].rpartition("/")[2]: tuple(row)[1:] for row in rows}
    assert kept == {
        "declared.jpg": ("accepted", "", 200, len(IMAGE_ELEMENT), "text/plain", len(IMAGE_ELEMENT)),
        "html.jpg": ("rejected", "not-an-image", 200, 36, "text/html; charset=utf-8", 36),
        "gone.jpg": ("failed", "http-404", 404, 0, "text/html", 4),
        "short.jpg": ("failed", "incomplete", None, 700, "image/jpeg", 9000),
        "huge.jpg": ("rejected", "too-large", 200, 0, "image/jpeg", None),
        "out.jpg": ("rejected", "opted-out", 200, 0, "image/webp", len(jpeg(3))),
        "own.jpg": ("accepted", "", None, file.stat().st_size, "", None),
    }


ODD: dict[str, dict[str, Any]] = {
    "half of a character": {"author": "Fox \ud83d", "page_url": "https://e.org/\udcff", "query": "\ud83d"},
    "numbers": {"width": 10**30, "height": 1e300, "rank": 10**30},
    "no numbers": {"width": float("nan"), "height": -1, "rank": -(10**30)},
    "a zero": {"author": "a\0b"},
    "in the address": {"url": "http://127.0.0.1:1/\ud83d.jpg"},
}


@pytest.mark.parametrize("kind", ODD)
def test_whatever_a_site_says_of_an_image_can_be_written_down(tmp_path: Path, kind: str) -> None:
    """A title that was cut in the middle of a character, a width without end: the run goes on, and the image has its row."""
    workspace = create_workspace(tmp_path / "w", ["fox"])
    with serve(lambda request: ANSWERS["/declared.jpg"] if request.path == "/a.jpg" else StubResponse(status=404)) as site:
        facts = {"url": f"{site.base}/a.jpg", "source": "urls", "category": "fox", **ODD[kind]}
        after = Provenance(f"{site.base}/b.jpg", "urls", "fox")
        assert collect(workspace, [Provenance(**facts), after], OPTIONS).found == 2
    with Catalog.open(workspace) as catalog:
        states = [candidate.state for state in ("accepted", "failed") for candidate in catalog.candidates.in_state(state)]
        places = [place for image in catalog.images.all() for place in catalog.provenance.of_image(image.image_id)]
    assert states == (["failed", "failed"] if kind == "in the address" else ["accepted", "failed"])
    if kind == "half of a character":
        assert (places[0].author, places[0].page_url) == ("Fox ?", "https://e.org/?")
    if "numbers" in kind:
        assert (places[0].width, places[0].height) == (None, None)
