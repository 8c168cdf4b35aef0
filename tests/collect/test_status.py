"""Attribution file."""

from __future__ import annotations

import csv
from pathlib import Path

from fototeca.collect.files.folder_options import FolderOptions
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.ingest.folder import collect_folder
from fototeca.collect.status import write_attribution
from fototeca.core.workspace import create_workspace
from tests.servers import jpeg

LOCAL = FetchOptions(allow_loopback=True, min_side=32, timeout=10)


def test_attribution_omits_local_paths(tmp_path: Path) -> None:
    """The file is published with a dataset."""
    workspace = create_workspace(tmp_path / "w", ["fox"])
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(jpeg(1))
    collect_folder(workspace, tmp_path / "photos", FolderOptions("fox"), LOCAL)
    assert write_attribution(workspace, tmp_path / "ATTRIBUTION.csv") == 1
    with (tmp_path / "ATTRIBUTION.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["source"], row["license"], row["image_url"]) == ("folder", "unknown", "")
    assert str(tmp_path) not in (tmp_path / "ATTRIBUTION.csv").read_text()
