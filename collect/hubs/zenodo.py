"""Zenodo: records by number or DOI, with MD5 checksums (https://developers.zenodo.org)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from fototeca.collect.api.client import SourceStop, Web
from fototeca.collect.api.json_fields import count, entries, rows, text
from fototeca.collect.hubs import RESULTS, Dataset, Facts, no_ref, spdx
from fototeca.collect.hubs.transfer import RemoteFile, download_files, select_files
from fototeca.collect.sites import Site
from fototeca.collect.sources import Context
from fototeca.core.errors import EXIT_OUTSIDE, FototecaError

NAME = "zenodo"
_REF = re.compile(r"(?:^|zenodo\.org/records?/|10\.5281/zenodo\.)(\d+)(?:[/?#].*)?$", re.IGNORECASE)


def canonical(ref: str) -> str:
    """The number of a record."""
    found = _REF.search(ref.strip())
    if not found:
        raise no_ref(NAME, ref, "a record's number, its DOI (10.5281/zenodo.NUMBER) or its address")
    return found[1]


def search(query: str, context: Context) -> list[Dataset]:
    """Open records of the type dataset."""
    site, web = context.site(NAME), context.web(NAME)
    parameters = {**site.get("parameters", {}), "q": query, "size": RESULTS}
    hits = rows(web, web.json(site["endpoint"], parameters), "hits", "hits")
    return [_dataset(site, hit) for hit in hits if text(hit, "id")]


def _dataset(site: Site, record: dict[str, Any]) -> Dataset:
    ref, found = text(record, "id"), _license(record)
    size = sum(count(file, "size") or 0 for file in entries(record, "files")) or None
    title = text(record, "metadata", "title") or ref
    return Dataset(NAME, ref, title, site["page"] + ref, size, None, spdx(site, found), found)


def _license(record: dict[str, Any]) -> str:
    return text(record, "metadata", "license", "id") or text(record, "metadata", "license")


def fetch(ref: str, folder: Path, context: Context) -> Facts:
    """Lay the record's images and archives below `folder`."""
    site, web = context.site(NAME), context.web(NAME)
    record = _record(web, site, ref)
    access = text(record, "metadata", "access_right") or "open"
    if access != "open":
        raise FototecaError(f"record {ref} of {NAME} is {access}", "only the files of open records can be fetched", EXIT_OUTSIDE)
    number = count(record, "id") or int(ref)
    files = select_files(NAME, [_file(web, row) for row in rows(web, record, "files")])
    download_files(NAME, files, folder / str(number), context.downloader)
    found = _license(record)
    creators = rows(web, record, "metadata", "creators")
    return Facts(
        NAME,
        ref,
        text(record, "metadata", "title") or ref,
        f"{site['page']}{number}",
        str(number),
        text(record, "metadata", "version") or str(number),
        "; ".join(filter(None, (text(creator, "name") for creator in creators[:3]))) + (" et al." if creators[3:] else ""),
        spdx(site, found),
        found,
    )


def _record(web: Web, site: Site, ref: str) -> Any:  # noqa: ANN401 - whatever the service answers
    """The record; for the number that stands for all its versions, the newest one."""
    try:
        return web.json(f"{site['endpoint']}/{ref}")
    except SourceStop:
        raise
    except FototecaError as error:
        hits = rows(web, web.json(site["endpoint"], {"q": f"conceptrecid:{ref}", "size": 1}), "hits", "hits")
        if not hits:
            raise error from None
        return hits[0]


def _file(web: Web, row: dict[str, Any]) -> RemoteFile:
    name = text(row, "key") or text(row, "filename")
    address = text(row, "links", "content") or text(row, "links", "self")
    if not name or not address:
        raise web.changed("a file without name or address")
    return RemoteFile(address, name, count(row, "size"), text(row, "checksum"))
