"""Lists of URLs."""

from __future__ import annotations

from pathlib import Path

import pytest

from fototeca.collect.catalog import Catalog
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.ingest.url_list import collect_urls, read_url_list
from fototeca.core.errors import FototecaError
from fototeca.core.passed_over import PassedOver
from fototeca.core.workspace import create_workspace
from tests.servers import ReceivedRequest, StubResponse, jpeg, serve


def test_read_url_list_licenses_and_multi_label_categories(tmp_path: Path) -> None:
    """The license column becomes an SPDX id beside the original text; categories of a multi-label task are joined."""
    workspace = create_workspace(tmp_path / "w", ["cat", "dog"], task="multi", target=1)
    file = tmp_path / "urls.csv"
    file.write_text("url,category,license\nhttp://e.org/1,dog|cat,CC BY 4.0\nhttp://e.org/2,,all rights reserved\n")
    first, second = read_url_list(file, "", workspace.settings, PassedOver()).places
    assert (first.category, first.license, first.license_found) == ("cat|dog", "CC-BY-4.0", "CC BY 4.0")
    assert (second.category, second.license, second.license_found) == ("", "unknown", "all rights reserved")


def test_row_with_a_delimiter_in_its_url_is_malformed(tmp_path: Path) -> None:
    """Such a row would fetch another address."""
    (tmp_path / "a.csv").write_text("url,author\nhttps://example.org/a,1.jpg,Ana\nhttps://example.org/2.jpg,Ana\n")
    settings = create_workspace(tmp_path / "w", ["cat"]).settings
    places = read_url_list(tmp_path / "a.csv", "", settings, passed_over := PassedOver()).places
    assert [place.url for place in places] == ["https://example.org/2.jpg"]
    assert passed_over.text() == ["1 row-malformed: line 2"]


def test_parquet_lists_of_urls_are_read(tmp_path: Path) -> None:
    """The columns of a parquet file have the usual names in any case; rows without URL are counted."""
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    file = tmp_path / "part-0.parquet"
    rows = {"URL": ["https://example.org/1.jpg", None], "label": ["cat", "cat"], "raw": [b"\xff", b""]}
    parquet.write_table(pyarrow.table(rows), file)
    passed_over = PassedOver()
    settings = create_workspace(tmp_path / "w", ["cat"]).settings
    places = read_url_list(file, "", settings, passed_over).places
    assert [(place.url, place.category) for place in places] == [("https://example.org/1.jpg", "cat")]
    assert passed_over.total == 1


@pytest.mark.parametrize(
    ("group_by", "groups"),
    [
        ("Patient", ["web/7", "web/7", "web/9", ""]),
        (r"/(p\d)/", ["web/p1", "web/p2", "web/p2", ""]),
        ("folder", ["web/s/cat/p1", "web/s/dog/p2", "web/s/cat/p2", "web/s"]),
    ],
)
def test_groups_of_a_list_of_urls(tmp_path: Path, group_by: str, groups: list[str]) -> None:
    """A column, a regular expression or the folder of the URL says what shares a split."""
    work = create_workspace(tmp_path / "w", ["tabby", "pug"])
    paths = ["s/cat/p1/a.jpg", "s/dog/p2/b.jpg", "s/cat/p2/c.jpg", "s/d.jpg"]

    def respond(request: ReceivedRequest) -> StubResponse:
        name = request.path.removeprefix("/")
        return StubResponse(jpeg(paths.index(name)), "image/jpeg") if name in paths else StubResponse(status=404)

    with serve(respond) as site:
        rows = [f"{site.base}/{path};{patient}" for path, patient in zip(paths, ("7", "7", "9", ""), strict=True)]
        (tmp_path / "list.csv").write_text("URL;patient\n" + "\n".join(rows))
        options = FetchOptions(allow_loopback=True, min_side=8)
        collect_urls(work, tmp_path / "list.csv", "pug", options, group_by=group_by, source_name="web")
    with Catalog.open(work) as catalog:
        found = {row.url: row.split_group for row in catalog.provenance.of_images_until("9999")}
    assert [found[f"{site.base}/{path}"] for path in paths] == groups


@pytest.mark.parametrize(("group_by", "message"), [("exif-time", "needs local images"), ("patient", "has no group")])
def test_groups_that_a_list_of_urls_cannot_have(tmp_path: Path, group_by: str, message: str) -> None:
    """The error comes before anything is fetched."""
    work = create_workspace(tmp_path / "w", ["pug"])
    (tmp_path / "list.txt").write_text("http://127.0.0.1:9/a.jpg\n")
    with pytest.raises(FototecaError, match=message):
        collect_urls(work, tmp_path / "list.txt", "pug", FetchOptions(), group_by=group_by)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tsv", "a cat on a mat\thttps://example.org/1.jpg\ncat\thttps://example.org/2.jpg\n"),
        ("a.csv", "https://example.org/1.jpg,cat\r\nhttps://example.org/2.jpg,cat\r\n"),
        ("a.csv", "id,photo address,Especie\n1,https://example.org/1.jpg,cat\n2,https://example.org/2.jpg,cat\n"),
        ("a.txt", "url\tlabel\nhttps://example.org/1.jpg\tcat\nhttps://example.org/2.jpg\tcat\n"),
        ("a", "https://example.org/1.jpg\nhttps://example.org/2.jpg\n"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_lists_without_usual_headers(tmp_path: Path, name: str, content: str, encoding: str) -> None:
    """The column of URLs is recognized by its cells, in any common encoding."""
    (tmp_path / name).write_bytes(content.encode(encoding))
    settings = create_workspace(tmp_path / "w", ["cat"]).settings
    places = read_url_list(tmp_path / name, "", settings, passed_over := PassedOver()).places
    assert [place.url for place in places] + ["skipped"] * passed_over.total == [
        f"https://example.org/{number}.jpg" for number in ((1, 2) if "mat" not in content else (2,))
    ] + ["skipped"] * ("mat" in content)
