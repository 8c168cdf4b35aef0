"""A signed URL is fetched as it is given, and stored, frozen and published without its secrets."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlencode

from fototeca.collect.catalog import Catalog
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.ingest.url_list import collect_urls
from fototeca.collect.status import write_attribution
from fototeca.core.workspace import create_workspace
from tests.servers import ReceivedRequest, StubResponse, jpeg, serve


def test_secrets_are_sent_and_not_stored(tmp_path: Path) -> None:
    """Nothing in the workspace has them; a new signature is a known candidate, another key is another image."""
    asked: list[str] = []

    def respond(request: ReceivedRequest) -> StubResponse:
        address = f"{request.path}?{urlencode(request.query)}"
        asked.append(address)
        if "HUSH" not in address:
            return StubResponse(status=404)
        return StubResponse(jpeg(len(asked)), "image/jpeg")

    workspace = create_workspace(tmp_path / "w", ["pug"])
    options = FetchOptions(allow_loopback=True, min_side=8)

    def collect(*urls: str) -> int:
        rows = [f"{url},https://ana:HUSH@example.org/p?token=HUSH,by https://e.org/?key=HUSH" for url in urls]
        (tmp_path / "list.csv").write_text("url,page_url,author\n" + "\n".join(rows))
        return collect_urls(workspace, tmp_path / "list.csv", "pug", options).accepted

    with serve(respond) as site:
        assert collect(f"{site.base}/a.jpg?w=1&X-Amz-Signature=HUSH") == 1
        assert "/a.jpg?w=1&X-Amz-Signature=HUSH" in asked
        assert collect(f"{site.base}/a.jpg?w=1&X-Amz-Signature=HUSH2") == 0
        assert collect(f"{site.base}/b?key=HUSH3", f"{site.base}/b?key=HUSH4") == 2
        collect(f"{site.base}/none.jpg?sig=HUS")
    write_attribution(workspace, workspace.root / "attribution.csv")
    for path in workspace.root.rglob("*"):
        assert not path.is_file() or path.suffix == ".jpg" or b"HUS" not in path.read_bytes(), path
    with Catalog.open(workspace) as catalog:
        urls = {candidate.url.removeprefix(site.base) for candidate in catalog.candidates.all()}
    assert urls == {"/a.jpg?w=1", "/b", "/none.jpg"}
