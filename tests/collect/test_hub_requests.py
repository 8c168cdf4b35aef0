"""Requests to hubs: export format, version, links to other sites, titles."""

from __future__ import annotations

import json

import pytest

from fototeca.collect.files.folder_options import FolderOptions
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.hubs.discover import discover
from fototeca.collect.hubs.import_dataset import import_dataset
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace
from tests.collect.hub_server import REFS, Hubs
from tests.servers import ReceivedRequest, Site, json_response

LOCAL = FetchOptions(allow_loopback=True, send_key_to=("127.0.0.1",), min_side=32, timeout=5)


def test_roboflow_export_format_is_folder(workspace: Workspace, site: Site) -> None:
    """The export with one folder per class is requested."""
    with pytest.raises(FototecaError, match="confirm it"):
        import_dataset(workspace, "roboflow", REFS["roboflow"], FolderOptions(), LOCAL)
    assert "/roboflow/alice/pets/2/folder" in [request.path for request in site.requests]


def test_kaggle_downloads_the_recorded_version(workspace: Workspace, site: Site) -> None:
    """A newer version may appear between two requests."""
    for ref, version in (("alice/pets", 7), ("alice/pets/versions/3", 3)):
        with pytest.raises(FototecaError, match="confirm it"):
            import_dataset(workspace, "kaggle", ref, FolderOptions(), LOCAL)
        (request,) = (request for request in site.requests if request.path.endswith("/DownloadDataset"))
        assert json.loads(request.body)["datasetVersionNumber"] == version
        site.requests.clear()


def test_figshare_links_to_other_sites_are_skipped(workspace: Workspace, site: Site, hubs: Hubs) -> None:
    """A linked file is on another site with other rules."""
    files = "/figshare/5678/versions/3/files"
    listed = json.loads(hubs(ReceivedRequest(files, {"page_size": "9", "page": "1"}, {}, b"", site.base)).body)
    listed[0] |= {"is_link_only": True, "download_url": f"{site.base}/elsewhere"}
    hubs.instead[files] = json_response(listed)
    with pytest.raises(FototecaError, match="confirm it"):
        import_dataset(workspace, "figshare", REFS["figshare"], FolderOptions(), LOCAL)
    assert len(list(workspace.cache.rglob("*.jpg"))) == len(listed) - 1
    assert "/elsewhere" not in [request.path for request in site.requests]


@pytest.mark.parametrize("hub", REFS)
def test_title_with_a_lone_surrogate_is_accepted(workspace: Workspace, hubs: Hubs, hub: str) -> None:
    """It is recorded and listed with a question mark instead."""
    hubs.title = "Cats \ud83d"
    with pytest.raises(FototecaError, match="confirm it"):
        import_dataset(workspace, hub, REFS[hub], FolderOptions(), LOCAL)
    assert "Cats ?" in discover(workspace, "cats", (hub,), LOCAL).table()
