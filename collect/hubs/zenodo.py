"""Zenodo: records by number or DOI, with MD5 checksums (https://developers.zenodo.org)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from fototeca.collect.api.client import ServiceClient, SourceStoppedError
from fototeca.collect.api.json_fields import get_int, get_records, get_text, require_records
from fototeca.collect.hubs import MAX_RESULTS, DatasetInfo, HubDataset, invalid_ref_error, join_authors, normalize_license
from fototeca.collect.hubs.transfer import RemoteFile, download_files, select_files
from fototeca.collect.sites import Site
from fototeca.collect.sources import SourceContext
from fototeca.core.errors import ExternalError, FototecaError

NAME = "zenodo"
_REF = re.compile(r"(?:^|zenodo\.org/records?/|10\.5281/zenodo\.)(\d+)(?:[/?#].*)?$", re.IGNORECASE)


def normalize_ref(ref: str) -> str:
    """Return the number of a record."""
    match = _REF.search(ref.strip())
    if not match:
        raise invalid_ref_error(NAME, ref, "a record's number, its DOI (10.5281/zenodo.NUMBER) or its URL")
    return match[1]


def find_datasets(query: str, context: SourceContext) -> list[HubDataset]:
    """Return open records of the type dataset."""
    site, client = context.site(NAME), context.client(NAME)
    parameters = {**site.get("parameters", {}), "q": query, "size": MAX_RESULTS}
    records = require_records(client, client.fetch_json(site["endpoint"], parameters), "hits", "hits")
    return [_to_dataset(site, record) for record in records if get_text(record, "id")]


def _to_dataset(site: Site, record: dict[str, Any]) -> HubDataset:
    ref, license_name = get_text(record, "id"), _license_name(record)
    return HubDataset(
        hub=NAME,
        ref=ref,
        title=get_text(record, "metadata", "title") or ref,
        url=site["page"] + ref,
        size=sum(get_int(file, "size") or 0 for file in get_records(record, "files")) or None,
        license=normalize_license(site, license_name),
        license_found=license_name,
    )


def _license_name(record: dict[str, Any]) -> str:
    return get_text(record, "metadata", "license", "id") or get_text(record, "metadata", "license")


def download(ref: str, folder: Path, context: SourceContext) -> DatasetInfo:
    """Download the record's images and archives below `folder`."""
    site, client = context.site(NAME), context.client(NAME)
    record = _fetch_record(client, site, ref)
    access = get_text(record, "metadata", "access_right") or "open"
    if access != "open":
        raise ExternalError(f"record {ref} of {NAME} is {access}", "only the files of open records can be downloaded")
    number = get_int(record, "id") or int(ref)
    files = select_files(NAME, [_to_file(client, row) for row in require_records(client, record, "files")], context.passed_over)
    download_files(NAME, files, folder / str(number), context.downloader)
    license_name = _license_name(record)
    creators = [get_text(creator, "name") for creator in require_records(client, record, "metadata", "creators")]
    return DatasetInfo(
        hub=NAME,
        ref=ref,
        title=get_text(record, "metadata", "title") or ref,
        page_url=f"{site['page']}{number}",
        folder=str(number),
        version=get_text(record, "metadata", "version") or str(number),
        author=join_authors(creators),
        license=normalize_license(site, license_name),
        license_found=license_name,
    )


def _fetch_record(client: ServiceClient, site: Site, ref: str) -> Any:  # noqa: ANN401 - JSON
    """Return the record; for a concept number, which stands for all versions, the newest one."""
    try:
        return client.fetch_json(f"{site['endpoint']}/{ref}")
    except SourceStoppedError:
        raise
    except FototecaError as error:
        response = client.fetch_json(site["endpoint"], {"q": f"conceptrecid:{ref}", "size": 1})
        versions = require_records(client, response, "hits", "hits")
        if not versions:
            raise error from None
        return versions[0]


def _to_file(client: ServiceClient, row: dict[str, Any]) -> RemoteFile:
    name = get_text(row, "key") or get_text(row, "filename")
    url = get_text(row, "links", "content") or get_text(row, "links", "self")
    if not name or not url:
        raise client.unexpected_response("a file without name or URL")
    return RemoteFile(url, name, get_int(row, "size"), get_text(row, "checksum"))
