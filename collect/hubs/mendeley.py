"""Mendeley Data: datasets by id or DOI, as a list of files with SHA-256, or as one zip where the list is not whole."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fototeca.collect.api.client import UnansweredError, Web
from fototeca.collect.api.json_fields import count, entries, rows, text
from fototeca.collect.http.responses import FetchError
from fototeca.collect.hubs import RESULTS, Dataset, Facts, no_ref, spdx
from fototeca.collect.hubs.transfer import RemoteFile, download_files, select_files
from fototeca.collect.sites import Site
from fototeca.collect.sources import Context
from fototeca.core.errors import EXIT_OUTSIDE, FototecaError

NAME = "mendeley"

PARTIAL = "http-206"
"""What it answers where a list is not whole."""

_REF = re.compile(
    r"^(?:https?://)?(?:data\.mendeley\.com/datasets/|(?:doi\.org/)?10\.17632/)?([a-z0-9]{10})(?:[./](\d+))?/?(?:[?#].*)?$",
    re.IGNORECASE,
)
_PAGE = re.compile(r"data\.mendeley\.com/datasets/([a-z0-9]{10})")


def canonical(ref: str) -> str:
    """`ID`, or `ID/VERSION`."""
    found = _REF.match(ref.strip())
    if not found:
        raise no_ref(NAME, ref, "a dataset's id (ten letters and digits), its DOI (10.17632/ID.VERSION) or its address")
    return f"{found[1].lower()}/{found[2]}" if found[2] else found[1].lower()


def search(query: str, context: Context) -> list[Dataset]:
    """Datasets of Mendeley Data itself; other repositories' in the same index are left out. Sizes and licences are not told."""
    site, web = context.site(NAME), context.web(NAME)
    _may(context, site["search"])
    answer = web.json(site["search"], {**site.get("parameters", {}), "query": query[:255], "page_size": RESULTS})
    found = []
    for row in rows(web, answer, "records"):
        page = _PAGE.search(text(row, "url"))
        if page:
            found.append(Dataset(NAME, page[1], text(row, "title") or page[1], site["page"] + page[1]))
    return found


def _may(context: Context, address: str) -> None:
    """Stop where robots.txt forbids the address: nothing says that these interfaces are meant for programs."""
    try:
        allowed = context.downloader.robots(address).allows(address)
    except FetchError as error:
        raise FototecaError(
            f"{NAME} cannot be asked: {error.reason}", "check the network and try again later", EXIT_OUTSIDE
        ) from None
    if not allowed:
        raise FototecaError(
            f"the robots.txt of {NAME} forbids this", "search on its pages, and give the dataset's id", EXIT_OUTSIDE
        )


def fetch(ref: str, folder: Path, context: Context) -> Facts:
    """Lay the dataset's images and archives below `folder`."""
    site, web = context.site(NAME), context.web(NAME)
    number, _, version = ref.partition("/")
    address = f"{site['endpoint']}/datasets/{number}"
    _may(context, address)
    dataset = web.json(address, {"version": version} if version else None)
    version = version or str(count(dataset, "version") or "")
    if not version:
        raise web.changed("a dataset without version")
    download_files(NAME, _files(context, web, site, number, version), folder / version, context.downloader)
    found = text(dataset, "data_licence", "url") or text(dataset, "data_licence", "short_name")
    license_id = spdx(site, found) if spdx(site, found) != "unknown" else spdx(site, text(dataset, "data_licence", "short_name"))
    people = [f"{text(person, 'first_name')} {text(person, 'last_name')}" for person in entries(dataset, "contributors")]
    author = "; ".join(people[:3]) + (" et al." if people[3:] else "")
    return Facts(
        NAME,
        ref,
        text(dataset, "name") or number,
        f"{site['page']}{number}/{version}",
        version,
        version,
        author,
        license_id,
        found,
    )


def _files(context: Context, web: Web, site: Site, number: str, version: str) -> list[RemoteFile]:
    """The files of all folders; one zip where they are many, or told in part only (206: over 1,000 in a folder)."""
    try:
        listed = list(_listed(context, web, f"{site['endpoint']}/datasets/{number}", version))
    except UnansweredError as error:
        if error.reason != PARTIAL:
            raise
        listed = []
    if listed and len(files := select_files(NAME, listed)) <= site["most_files"]:
        return files
    address = f"{site['endpoint']}/zip/{number}/download/{version}"
    _may(context, address)
    return [RemoteFile(address, f"{number}-{version}.zip")]


def _listed(context: Context, web: Web, address: str, version: str) -> Iterator[RemoteFile]:
    for inside in (f"{address}/folders/{version}", f"{address}/files"):
        _may(context, inside)
    folders = {text(row, "id"): row for row in rows(web, web.json(f"{address}/folders/{version}"))}
    for place in ("root", *folders):
        for row in rows(web, web.json(f"{address}/files", {"folder_id": place, "version": version})):
            url, name = text(row, "content_details", "download_url"), text(row, "filename")
            if not url or not name:
                raise web.changed("a file without name or address")
            _may(context, url)
            digest = text(row, "content_details", "sha256_hash")
            size = count(row, "size") or count(row, "content_details", "size")
            yield RemoteFile(url, _path(folders, place) + name, size, f"sha256:{digest}" if digest else "")


def _path(folders: dict[str, dict[str, Any]], place: str) -> str:
    """The names of a folder and of those above it; a circle ends."""
    names: list[str] = []
    while place in folders and len(names) < 50:
        names.insert(0, text(folders[place], "name").replace("/", "-"))
        place = text(folders[place], "parent_id")
    return "".join(f"{name}/" for name in names)
