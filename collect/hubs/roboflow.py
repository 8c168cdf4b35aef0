"""Roboflow: versions of classification projects, exported as folders by the hub's own client and downloaded by us.

The client unpacks without caps, prints the signed address when a download fails, and skips a folder that exists; so it is
asked for the export's address only.
"""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

from fototeca.collect.api.credentials import KEYS, get_key
from fototeca.collect.api.json_fields import count, dig, rows, text
from fototeca.collect.hubs import RESULTS, Dataset, Facts, client_of, no_ref, spdx
from fototeca.collect.hubs.transfer import RemoteFile, download_files
from fototeca.collect.sites import Site
from fototeca.collect.sources import Context
from fototeca.core.errors import EXIT_OUTSIDE, FototecaError

NAME = "roboflow"
_REF = re.compile(
    r"^(?:https?://(?:universe|app)\.roboflow\.com/)?(\w[\w.-]*)/(\w[\w.-]*?)(?:/(?:dataset/|browse|model/)?(\d+)?)?/?(?:[?#].*)?$"
)


def canonical(ref: str) -> str:
    """`WORKSPACE/PROJECT`, or `WORKSPACE/PROJECT/VERSION`."""
    found = _REF.match(ref.strip())
    if not found or ref.startswith("10."):
        raise no_ref(NAME, ref, "WORKSPACE/PROJECT, WORKSPACE/PROJECT/VERSION or the page's address on Universe")
    return "/".join(filter(None, found.groups()))


def _client(site: Site) -> Any:  # noqa: ANN401 - the client is untyped
    from roboflow.adapters import rfapi

    rfapi.API_URL = site["endpoint"]
    return rfapi


def search(query: str, context: Context) -> list[Dataset]:
    """Classification projects on Universe."""
    site, web = context.site(NAME), context.web(NAME)
    key = get_key(NAME, KEYS[NAME])
    with client_of(NAME):
        answer = _client(site).search_universe(query, api_key=key, project_type="classification", limit=RESULTS)
        return [found for row in rows(web, answer, "results")[:RESULTS] if (found := _dataset(site, row))]


def _dataset(site: Site, row: dict[str, Any]) -> Dataset | None:
    """One result; the reference is in its address, or in its workspace and project."""
    address = text(row, "url")
    place = re.search(r"roboflow\.com/([\w.-]+/[\w.-]+)", address)
    ref = place[1] if place else "/".join(filter(None, (text(row, "workspace"), text(row, "project"))))
    if "/" not in ref:
        return None
    found = text(row, "license", "name") or text(row, "license")
    title = text(row, "name") or ref
    return Dataset(NAME, ref, title, site["page"] + ref, None, count(row, "images"), spdx(site, found), found)


def fetch(ref: str, folder: Path, context: Context) -> Facts:
    """Lay the archive of one version below `folder`; the newest where none is named."""
    site, key = context.site(NAME), get_key(NAME, KEYS[NAME])
    workspace, project, version = (*ref.split("/"), "")[:3]
    with client_of(NAME):
        client = _client(site)
        answer = client.get_project(key, workspace, project)
        version = version or _newest(rows(context.web(NAME), answer, "versions"), ref)
        kind = text(answer, "project", "type")
        if kind and kind not in site["kinds"]:
            raise FototecaError(f"{ref} is a project of {kind}", "only classification projects come as folders", EXIT_OUTSIDE)
        link = _link(client, site, (key, workspace, project, version))
    download_files(NAME, [RemoteFile(link, f"{project}.zip")], folder / version, context.downloader)
    facts = dig(answer, "project")
    found = text(facts, "license", "name") or text(facts, "license")
    page = f"{site['page']}{workspace}/{project}/dataset/{version}"
    return Facts(NAME, ref, text(facts, "name") or project, page, version, version, workspace, spdx(site, found), found)


def _newest(versions: list[dict[str, Any]], ref: str) -> str:
    numbers = [text(row, "id").rpartition("/")[2] for row in versions]
    found = max((int(number) for number in numbers if number.isdecimal()), default=0)
    if not found:
        raise FototecaError(f"{ref} has no version to export", "make one on its page, or choose another project", EXIT_OUTSIDE)
    return str(found)


def _link(client: Any, site: Site, place: tuple[str, str, str, str]) -> str:  # noqa: ANN401 - the client is untyped
    """The address of the export, which the hub may first have to make."""
    until = time.monotonic() + float(site["longest"])
    while time.monotonic() < until:
        answer = client.get_version_export(*place, site["format"])
        if link := text(answer, "export", "link"):
            return link
        if answer.get("ready") is not False:
            raise FototecaError(
                f"{NAME} gives no address for the export", "try again later, or choose another version", EXIT_OUTSIDE
            )
        time.sleep(float(site["poll"]))
    raise FototecaError(f"{NAME} has not made the export yet", "run the same command again later", EXIT_OUTSIDE)
