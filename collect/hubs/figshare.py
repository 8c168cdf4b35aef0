"""figshare and the institutional portals it hosts: items by number or DOI, with MD5 checksums (https://docs.figshare.com)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fototeca.collect.api.client import ServiceClient
from fototeca.collect.api.json_fields import get_int, get_text, require_records
from fototeca.collect.hubs import MAX_RESULTS, DatasetInfo, HubDataset, invalid_ref_error, join_authors, normalize_license
from fototeca.collect.hubs.transfer import RemoteFile, download_files, select_files
from fototeca.collect.sites import Site
from fototeca.collect.sources import SourceContext

NAME = "figshare"
_REF = re.compile(r"(?:^|/|\.)(\d{4,})(?:(?:/|\.v)(\d+))?/?(?:[?#].*)?$", re.IGNORECASE)


def normalize_ref(ref: str) -> str:
    """Return `NUMBER` or `NUMBER/VERSION`."""
    match = _REF.search(ref.strip())
    if not match:
        raise invalid_ref_error(NAME, ref, "an item's number, its DOI (10.6084/m9.figshare.NUMBER) or its URL")
    return f"{match[1]}/{match[2]}" if match[2] else match[1]


def find_datasets(query: str, context: SourceContext) -> list[HubDataset]:
    """Return items of the type dataset. The search states neither sizes nor licenses."""
    site, client = context.site(NAME), context.client(NAME)
    body = {**site.get("parameters", {}), "search_for": query, "page_size": MAX_RESULTS}
    items = require_records(client, client.fetch_json(f"{site['endpoint']}/search", body=body))
    return [
        HubDataset(NAME, get_text(item, "id"), get_text(item, "title") or get_text(item, "id"), _page_url(site, item))
        for item in items
        if get_text(item, "id")
    ]


def _page_url(site: Site, item: dict[str, Any]) -> str:
    return get_text(item, "url_public_html") or get_text(item, "figshare_url") or site["page"] + get_text(item, "id")


def download(ref: str, folder: Path, context: SourceContext) -> DatasetInfo:
    """Download the item's images and archives below `folder`."""
    site, client = context.site(NAME), context.client(NAME)
    number, _, version = ref.partition("/")
    item = client.fetch_json(f"{site['endpoint']}/{number}" + (f"/versions/{version}" if version else ""))
    if not get_text(item, "id"):
        raise client.unexpected_response("an item without id")
    version = version or str(get_int(item, "version") or "")
    if not version:
        raise client.unexpected_response("an item without version")
    files = select_files(
        NAME, _list_files(client, site, f"{site['endpoint']}/{number}/versions/{version}", item), context.passed_over
    )
    download_files(NAME, files, folder / version, context.downloader)
    license_url, license_name = get_text(item, "license", "url"), get_text(item, "license", "name")
    authors = [get_text(author, "full_name") for author in require_records(client, item, "authors")]
    return DatasetInfo(
        hub=NAME,
        ref=ref,
        title=get_text(item, "title") or number,
        page_url=_page_url(site, item),
        folder=version,
        version=version,
        author=join_authors(authors),
        license=normalize_license(site, license_url or license_name, license_name),
        license_found=license_url or license_name,
    )


def _list_files(client: ServiceClient, site: Site, url: str, item: dict[str, Any]) -> Iterator[RemoteFile]:
    """Yield every file, page by page: the item itself lists only the first ones."""
    size, page = int(site.get("page_size", 100)), 1
    seen: set[str] = set()
    while True:
        listed = require_records(client, client.fetch_json(f"{url}/files", {"page": page, "page_size": size}))
        new = {get_text(row, "id") for row in listed} - seen
        if listed and not new:
            raise client.unexpected_response("a page of files repeats an earlier one")
        seen |= new
        for row in listed:
            if row.get("is_link_only"):
                continue
            folder, name = get_text(item, "folder_structure", get_text(row, "id")), get_text(row, "name")
            file_url = get_text(row, "download_url")
            checksum = get_text(row, "computed_md5") or get_text(row, "supplied_md5")
            if not name or not file_url:
                raise client.unexpected_response("a file without name or URL")
            path = f"{folder.strip('/')}/{name}" if folder else name
            yield RemoteFile(file_url, path, get_int(row, "size"), f"md5:{checksum}" if checksum else "")
        if len(listed) < size:
            return
        page += 1
