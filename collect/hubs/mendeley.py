"""Mendeley Data: datasets by id or DOI, as single files with SHA-256, or as one zip if their list is incomplete."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fototeca.collect.api.client import RequestFailedError, ServiceClient
from fototeca.collect.api.json_fields import get_int, get_records, get_text, require_records
from fototeca.collect.http.responses import FetchError
from fototeca.collect.hubs import MAX_RESULTS, DatasetInfo, HubDataset, invalid_ref_error, join_authors, normalize_license
from fototeca.collect.hubs.transfer import RemoteFile, download_files, select_files
from fototeca.collect.sites import Site
from fototeca.collect.sources import SourceContext
from fototeca.core.errors import ExternalError
from fototeca.core.passed_over import PassedOver

NAME = "mendeley"

PARTIAL = "http-206"
"""Reason of the request for a list that the service truncates (over 1,000 files in a folder)."""

_MAX_DEPTH = 50
_REF = re.compile(
    r"^(?:https?://)?(?:data\.mendeley\.com/datasets/|(?:doi\.org/)?10\.17632/)?([a-z0-9]{10})(?:[./](\d+))?/?(?:[?#].*)?$",
    re.IGNORECASE,
)
_PAGE = re.compile(r"data\.mendeley\.com/datasets/([a-z0-9]{10})")


def normalize_ref(ref: str) -> str:
    """Return `ID` or `ID/VERSION`."""
    match = _REF.match(ref.strip())
    if not match:
        expected = "a dataset's id (ten letters and digits), its DOI (10.17632/ID.VERSION) or its URL"
        raise invalid_ref_error(NAME, ref, expected)
    return f"{match[1].lower()}/{match[2]}" if match[2] else match[1].lower()


def find_datasets(query: str, context: SourceContext) -> list[HubDataset]:
    """Return datasets of Mendeley Data itself, without those of other repositories in its index.

    The search states neither sizes nor licenses.
    """
    site, client = context.site(NAME), context.client(NAME)
    _check_robots(context, site["search"])
    parameters = {**site.get("parameters", {}), "query": query[:255], "page_size": MAX_RESULTS}
    datasets = []
    for record in require_records(client, client.fetch_json(site["search"], parameters), "records"):
        page = _PAGE.search(get_text(record, "url"))
        if page:
            datasets.append(HubDataset(NAME, page[1], get_text(record, "title") or page[1], site["page"] + page[1]))
    return datasets


def _check_robots(context: SourceContext, url: str) -> None:
    """Raise FototecaError if robots.txt forbids the URL; no terms permit programs to use this undocumented API."""
    try:
        is_allowed = context.downloader.robots(url).allows(url)
    except FetchError as error:
        raise ExternalError(f"{NAME} request failed: {error.reason}", "check the network and try again later") from None
    if not is_allowed:
        raise ExternalError(f"the robots.txt of {NAME} forbids this request", "search on the website, then pass the dataset's id")


def download(ref: str, folder: Path, context: SourceContext) -> DatasetInfo:
    """Download the dataset's images and archives below `folder`."""
    site, client = context.site(NAME), context.client(NAME)
    dataset_id, _, version = ref.partition("/")
    url = f"{site['endpoint']}/datasets/{dataset_id}"
    _check_robots(context, url)
    dataset = client.fetch_json(url, {"version": version} if version else None)
    version = version or str(get_int(dataset, "version") or "")
    if not version:
        raise client.unexpected_response("a dataset without version")
    download_files(NAME, _select(context, client, site, dataset_id, version), folder / version, context.downloader)
    license_url, license_name = (get_text(dataset, "data_licence", name) for name in ("url", "short_name"))
    people = get_records(dataset, "contributors")
    return DatasetInfo(
        hub=NAME,
        ref=ref,
        title=get_text(dataset, "name") or dataset_id,
        page_url=f"{site['page']}{dataset_id}/{version}",
        folder=version,
        version=version,
        author=join_authors([f"{get_text(person, 'first_name')} {get_text(person, 'last_name')}" for person in people]),
        license=normalize_license(site, license_url or license_name, license_name),
        license_found=license_url or license_name,
    )


def _select(context: SourceContext, client: ServiceClient, site: Site, dataset_id: str, version: str) -> list[RemoteFile]:
    """Return the images and archives of all folders; one zip of the dataset if they are many or their list is truncated."""
    try:
        listed = list(_list_files(context, client, f"{site['endpoint']}/datasets/{dataset_id}", version))
    except RequestFailedError as error:
        if error.reason != PARTIAL:
            raise
        listed = []
    if listed and len(files := select_files(NAME, listed, passed_over := PassedOver())) <= site["max_files"]:
        context.passed_over.merge(passed_over)
        return files
    url = f"{site['endpoint']}/zip/{dataset_id}/download/{version}"
    _check_robots(context, url)
    return [RemoteFile(url, f"{dataset_id}-{version}.zip")]


def _list_files(context: SourceContext, client: ServiceClient, url: str, version: str) -> Iterator[RemoteFile]:
    folders_url, files_url = f"{url}/folders/{version}", f"{url}/files"
    for listing_url in (folders_url, files_url):
        _check_robots(context, listing_url)
    folders = {get_text(row, "id"): row for row in require_records(client, client.fetch_json(folders_url))}
    for folder_id in ("root", *folders):
        parameters = {"folder_id": folder_id, "version": version}
        for row in require_records(client, client.fetch_json(files_url, parameters)):
            file_url, name = get_text(row, "content_details", "download_url"), get_text(row, "filename")
            if not file_url or not name:
                raise client.unexpected_response("a file without name or URL")
            _check_robots(context, file_url)
            digest = get_text(row, "content_details", "sha256_hash")
            size = get_int(row, "size") or get_int(row, "content_details", "size")
            yield RemoteFile(file_url, _folder_path(folders, folder_id) + name, size, f"sha256:{digest}" if digest else "")


def _folder_path(folders: dict[str, dict[str, Any]], folder_id: str) -> str:
    """Return the names of a folder and its parents, each followed by `/`; at most `_MAX_DEPTH`, in case of a cycle."""
    names: list[str] = []
    while folder_id in folders and len(names) < _MAX_DEPTH:
        names.insert(0, get_text(folders[folder_id], "name").replace("/", "-"))
        folder_id = get_text(folders[folder_id], "parent_id")
    return "".join(f"{name}/" for name in names)
