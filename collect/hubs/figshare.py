"""figshare and the institutions' portals on it: items by number or DOI, with MD5 checksums (https://docs.figshare.com)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fototeca.collect.api.client import Web
from fototeca.collect.api.json_fields import count, rows, text
from fototeca.collect.hubs import RESULTS, Dataset, Facts, no_ref, spdx
from fototeca.collect.hubs.transfer import RemoteFile, download_files, select_files
from fototeca.collect.sites import Site
from fototeca.collect.sources import Context

NAME = "figshare"
_REF = re.compile(r"(?:^|/|\.)(\d{4,})(?:(?:/|\.v)(\d+))?/?(?:[?#].*)?$", re.IGNORECASE)


def canonical(ref: str) -> str:
    """`NUMBER`, or `NUMBER/VERSION`."""
    found = _REF.search(ref.strip())
    if not found:
        raise no_ref(NAME, ref, "an item's number, its DOI (10.6084/m9.figshare.NUMBER) or its address")
    return f"{found[1]}/{found[2]}" if found[2] else found[1]


def search(query: str, context: Context) -> list[Dataset]:
    """Items of the type dataset. The search tells neither sizes nor licences."""
    site, web = context.site(NAME), context.web(NAME)
    body = {**site.get("parameters", {}), "search_for": query, "page_size": RESULTS}
    found = rows(web, web.json(f"{site['endpoint']}/search", body=body))
    return [
        Dataset(NAME, text(row, "id"), text(row, "title") or text(row, "id"), _page(site, row))
        for row in found
        if text(row, "id")
    ]


def _page(site: Site, row: dict[str, Any]) -> str:
    return text(row, "url_public_html") or text(row, "figshare_url") or site["page"] + text(row, "id")


def fetch(ref: str, folder: Path, context: Context) -> Facts:
    """Lay the item's images and archives below `folder`."""
    site, web = context.site(NAME), context.web(NAME)
    number, _, version = ref.partition("/")
    address = f"{site['endpoint']}/{number}" + (f"/versions/{version}" if version else "")
    item = web.json(address)
    if not text(item, "id"):
        raise web.changed("an item without id")
    version = version or str(count(item, "version") or "")
    if not version:
        raise web.changed("an item without version")
    files = select_files(NAME, _files(web, site, f"{site['endpoint']}/{number}/versions/{version}", item))
    download_files(NAME, files, folder / version, context.downloader)
    found = text(item, "license", "url") or text(item, "license", "name")
    authors = [text(author, "full_name") for author in rows(web, item, "authors")]
    author = "; ".join(authors[:3]) + (" et al." if authors[3:] else "")
    license_id = spdx(site, found) if spdx(site, found) != "unknown" else spdx(site, text(item, "license", "name"))
    return Facts(NAME, ref, text(item, "title") or number, _page(site, item), version, version, author, license_id, found)


def _files(web: Web, site: Site, address: str, item: dict[str, Any]) -> Iterator[RemoteFile]:
    """Every file, page after page: the item itself lists only the first ones."""
    size, page = int(site.get("page_size", 100)), 1
    seen: set[str] = set()
    while True:
        listed = rows(web, web.json(f"{address}/files", {"page": page, "page_size": size}))
        fresh = {text(row, "id") for row in listed} - seen
        if listed and not fresh:
            raise web.changed("a page of files that was there before")
        seen |= fresh
        for row in listed:
            if row.get("is_link_only"):
                continue
            place, name = text(item, "folder_structure", text(row, "id")), text(row, "name")
            checksum = text(row, "computed_md5") or text(row, "supplied_md5")
            if not name or not text(row, "download_url"):
                raise web.changed("a file without name or address")
            path = f"{place.strip('/')}/{name}" if place else name
            yield RemoteFile(text(row, "download_url"), path, count(row, "size"), f"md5:{checksum}" if checksum else "")
        if len(listed) < size:
            return
        page += 1
