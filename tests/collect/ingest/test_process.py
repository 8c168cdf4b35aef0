"""Attempts in the catalog: state, status, received bytes, content type and length."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fototeca.collect.catalog import Catalog, Provenance
from fototeca.collect.catalog.local_urls import LOCAL_SCHEME
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.ingest.pipeline import ingest_provenances
from fototeca.core.workspace import create_workspace
from tests.servers import ReceivedRequest, StubResponse, jpeg, serve

OPTIONS = FetchOptions(allow_loopback=True, min_side=32, timeout=5, per_host=1)
IMAGE_ELEMENT = jpeg(1)
CLOSE = {"Connection": "close"}
RESPONSES = {
    "/declared.jpg": StubResponse(IMAGE_ELEMENT, "text/plain"),
    "/html.jpg": StubResponse(b"<!doctype html><title>Log in</title>", "text/html; charset=utf-8"),
    "/gone.jpg": StubResponse(b"gone", "text/html", 404),
    "/short.jpg": StubResponse(jpeg(2)[:700], "image/jpeg", headers={"Content-Length": "9000", **CLOSE}),
    "/huge.jpg": StubResponse(b"x", "image/jpeg", headers={"Content-Length": "9" * 30, **CLOSE}),
    "/out.jpg": StubResponse(jpeg(3), "image/webp", headers={"X-Robots-Tag": "noai"}),
}


def test_attempts_record_headers_and_received_bytes(tmp_path: Path) -> None:
    """For accepted, rejected and aborted candidates and local files."""

    def respond(request: ReceivedRequest) -> StubResponse:
        return RESPONSES.get(request.path, StubResponse(status=404))

    workspace = create_workspace(tmp_path / "w", ["fox"])
    file = tmp_path / "own.jpg"
    file.write_bytes(jpeg(4))
    with serve(respond) as site:
        ingest_provenances(workspace, [Provenance(site.base + path, "urls", "fox") for path in RESPONSES], OPTIONS)
    ingest_provenances(workspace, [Provenance(LOCAL_SCHEME + file.as_posix(), "folder", "fox")], OPTIONS, local=True)
    with Catalog.open(workspace) as catalog:
        rows = catalog.database.connection.execute(
            "SELECT url, a.state, a.reason, status, bytes, content_type, content_length"
            " FROM attempts a JOIN candidates USING (candidate_id)"
        )
        attempts = {row[0].rpartition("/")[2]: tuple(row)[1:] for row in rows}
    assert attempts == {
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
def test_odd_provenance_values_are_recorded(tmp_path: Path, kind: str) -> None:
    """Lone surrogates, NaN and huge numbers neither end the run nor lose the candidate's row."""
    workspace = create_workspace(tmp_path / "w", ["fox"])
    with serve(lambda request: RESPONSES["/declared.jpg"] if request.path == "/a.jpg" else StubResponse(status=404)) as site:
        facts = {"url": f"{site.base}/a.jpg", "source": "urls", "category": "fox", **ODD[kind]}
        after = Provenance(f"{site.base}/b.jpg", "urls", "fox")
        assert ingest_provenances(workspace, [Provenance(**facts), after], OPTIONS).candidates == 2
    with Catalog.open(workspace) as catalog:
        states = [candidate.state for state in ("accepted", "failed") for candidate in catalog.candidates.in_state(state)]
        places = [place for image in catalog.images.all() for place in catalog.provenance.of_image(image.image_id)]
    assert states == (["failed", "failed"] if kind == "in the address" else ["accepted", "failed"])
    if kind == "half of a character":
        assert (places[0].author, places[0].page_url) == ("Fox ?", "https://e.org/?")
    if "numbers" in kind:
        assert (places[0].width, places[0].height) == (None, None)
