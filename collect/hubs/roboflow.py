"""Roboflow: versions of classification projects, exported as folders by the hub's own client and downloaded by us.

Only the export's URL comes from the client: it unpacks without limits, prints the signed URL when a download fails, and skips
existing folders.
"""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

from fototeca.collect.api.credentials import KEYS, get_key
from fototeca.collect.api.json_fields import get_int, get_path, get_text, require_records
from fototeca.collect.hubs import (
    MAX_RESULTS,
    DatasetInfo,
    HubDataset,
    hub_client,
    invalid_ref_error,
    normalize_license,
)
from fototeca.collect.hubs.transfer import RemoteFile, download_files
from fototeca.collect.sites import Site
from fototeca.collect.sources import SourceContext
from fototeca.core.errors import ExternalError

NAME = "roboflow"
_REF = re.compile(
    r"^(?:https?://(?:universe|app)\.roboflow\.com/)?(\w[\w.-]*)/(\w[\w.-]*?)(?:/(?:dataset/|browse|model/)?(\d+)?)?/?(?:[?#].*)?$"
)


def normalize_ref(ref: str) -> str:
    """Return `WORKSPACE/PROJECT` or `WORKSPACE/PROJECT/VERSION`."""
    match = _REF.match(ref.strip())
    if not match or ref.startswith("10."):
        raise invalid_ref_error(NAME, ref, "WORKSPACE/PROJECT, WORKSPACE/PROJECT/VERSION or the page's URL on Universe")
    return "/".join(filter(None, match.groups()))


def _client(site: Site, context: SourceContext) -> Any:  # noqa: ANN401 - the client is untyped
    context.require_key_host(NAME, site["endpoint"])
    from roboflow.adapters import rfapi

    rfapi.API_URL = site["endpoint"]
    return rfapi


def find_datasets(query: str, context: SourceContext) -> list[HubDataset]:
    """Return classification projects on Universe."""
    site = context.site(NAME)
    key = get_key(NAME, KEYS[NAME])
    with hub_client(NAME, context):
        response = _client(site, context).search_universe(query, api_key=key, project_type="classification", limit=MAX_RESULTS)
        results = require_records(context.client(NAME), response, "results")[:MAX_RESULTS]
        return [dataset for result in results if (dataset := _to_dataset(site, result))]


def _to_dataset(site: Site, result: dict[str, Any]) -> HubDataset | None:
    """Return a dataset whose reference is in the result's URL, or in its workspace and project; None without either."""
    match = re.search(r"roboflow\.com/([\w.-]+/[\w.-]+)", get_text(result, "url"))
    ref = match[1] if match else "/".join(filter(None, (get_text(result, "workspace"), get_text(result, "project"))))
    if "/" not in ref:
        return None
    license_name = get_text(result, "license", "name") or get_text(result, "license")
    return HubDataset(
        hub=NAME,
        ref=ref,
        title=get_text(result, "name") or ref,
        url=site["page"] + ref,
        images=get_int(result, "images"),
        license=normalize_license(site, license_name),
        license_found=license_name,
    )


def download(ref: str, folder: Path, context: SourceContext) -> DatasetInfo:
    """Download the archive of one version below `folder`; the newest if `ref` names none."""
    site, key = context.site(NAME), get_key(NAME, KEYS[NAME])
    workspace, project, version = (*ref.split("/"), "")[:3]
    with hub_client(NAME, context):
        client = _client(site, context)
        response = client.get_project(key, workspace, project)
        version = version or _newest_version(require_records(context.client(NAME), response, "versions"), ref)
        kind = get_text(response, "project", "type")
        if kind and kind not in site["kinds"]:
            raise ExternalError(f"{ref} is a project of {kind}", "choose a classification project; others cannot be exported")
        url = _wait_for_export(client, site, (key, workspace, project, version))
    download_files(NAME, [RemoteFile(url, f"{project}.zip")], folder / version, context.downloader)
    metadata = get_path(response, "project")
    license_name = get_text(metadata, "license", "name") or get_text(metadata, "license")
    return DatasetInfo(
        hub=NAME,
        ref=ref,
        title=get_text(metadata, "name") or project,
        page_url=f"{site['page']}{workspace}/{project}/dataset/{version}",
        folder=version,
        version=version,
        author=workspace,
        license=normalize_license(site, license_name),
        license_found=license_name,
    )


def _newest_version(versions: list[dict[str, Any]], ref: str) -> str:
    numbers = [get_text(row, "id").rpartition("/")[2] for row in versions]
    newest = max((int(number) for number in numbers if number.isdecimal()), default=0)
    if not newest:
        raise ExternalError(f"{ref} has no version to export", "create one on the project's page, or choose another project")
    return str(newest)


def _wait_for_export(client: Any, site: Site, version: tuple[str, str, str, str]) -> str:  # noqa: ANN401 - untyped
    """Return the URL of an export, which the hub may have to make first.

    Args:
        client: the hub's client module.
        site: its site file.
        version: key, workspace, project and version number.
    """
    deadline = time.monotonic() + float(site["max_wait"])
    while time.monotonic() < deadline:
        response = client.get_version_export(*version, site["format"])
        if url := get_text(response, "export", "link"):
            return url
        if response.get("ready") is not False:
            raise ExternalError(f"{NAME} returned no URL for the export", "try again later, or choose another version")
        time.sleep(float(site["poll"]))
    raise ExternalError(f"{NAME} has not finished the export", "run the same command again later")
