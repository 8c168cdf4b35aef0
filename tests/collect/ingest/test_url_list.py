"""Lists of URLs."""

from __future__ import annotations

from pathlib import Path

import pytest

from fototeca.collect.ingest.url_list import read_url_list
from fototeca.core.passed_over import PassedOver
from fototeca.core.workspace import create_workspace


def test_read_url_list_licenses_and_multi_label_categories(tmp_path: Path) -> None:
    """The license column becomes an SPDX id beside the original text; categories of a multi-label task are joined."""
    workspace = create_workspace(tmp_path / "w", ["cat", "dog"], task="multi", target=1)
    file = tmp_path / "urls.csv"
    file.write_text("url,category,license\nhttp://e.org/1,dog|cat,CC BY 4.0\nhttp://e.org/2,,all rights reserved\n")
    first, second = read_url_list(file, "", workspace.settings, PassedOver())
    assert (first.category, first.license, first.license_found) == ("cat|dog", "CC-BY-4.0", "CC BY 4.0")
    assert (second.category, second.license, second.license_found) == ("", "unknown", "all rights reserved")


def test_parquet_lists_of_urls_are_read(tmp_path: Path) -> None:
    """The columns of a parquet file have the usual names in any case; rows without URL are counted."""
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    file = tmp_path / "part-0.parquet"
    rows = {"URL": ["https://example.org/1.jpg", None], "label": ["cat", "cat"], "raw": [b"\xff", b""]}
    parquet.write_table(pyarrow.table(rows), file)
    passed_over = PassedOver()
    settings = create_workspace(tmp_path / "w", ["cat"]).settings
    places = read_url_list(file, "", settings, passed_over)
    assert [(place.url, place.category) for place in places] == [("https://example.org/1.jpg", "cat")]
    assert passed_over.total == 1
