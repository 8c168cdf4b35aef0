"""Wikimedia Commons: free images with their authors and licenses, through the MediaWiki API."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from fototeca.collect.api.client import ServiceClient
from fototeca.collect.api.json_fields import get_int, get_path, get_text, require_records, require_text
from fototeca.collect.catalog import Provenance
from fototeca.collect.http.client import TRIES
from fototeca.collect.http.throttle import parse_retry_after
from fototeca.collect.licenses import UNKNOWN, to_spdx
from fototeca.collect.sites import Site
from fototeca.collect.sources import Query, SourceContext
from fototeca.collect.sources.metadata import SourceInfo
from fototeca.collect.sources.paginated import read_items
from fototeca.core.errors import ExternalError

INFO = SourceInfo(
    "commons",
    "API",
    "a contact in fototeca.toml (Wikimedia's User-Agent policy)",
    "one request at a time, two images at once; images come 1,280 pixels wide",
    "each image's own: free licenses and public domain, with the author",
    "attribution as each license requires; see: fototeca collect attribution",
    needs_contact=True,
)


def search(query: Query, context: SourceContext) -> Iterator[Provenance]:
    """Yield results by relevance; images wider than the site file's `width` as thumbnails of that width.

    FototecaError (exit 4) if a request fails.
    """
    site, client = context.site("commons"), context.client("commons")
    parameters: dict[str, str | int] = {
        **site["parameters"],
        "iiurlwidth": site["width"],
        site["query"]: site["prefix"] + query.text,
    }
    continuation: Mapping[str, str | int] = {}
    received = 0
    while received < site["max_results"]:
        document = _fetch(client, site, {**parameters, **continuation})
        pages = sorted(_get_pages(client, document), key=lambda page: get_int(page, "index") or 0)
        for _, provenance in read_items(client, pages, _read):
            yield replace(provenance, category=query.category, query=query.text)
        received += len(pages)
        continuation = _get_continuation(document)
        if not continuation or not pages:
            return


def _fetch(client: ServiceClient, site: Site, parameters: Mapping[str, str | int]) -> Any:  # noqa: ANN401 - JSON
    """Return a response; if the servers report to be busy, pause as long as they ask and try again, up to `TRIES` times."""
    for _ in range(TRIES):
        response = client.request_json(site["endpoint"], parameters)
        code = get_text(response.document, "error", "code")
        if code not in site["busy_codes"]:
            break
        retry_after = parse_retry_after(response.headers.get("Retry-After"))
        client.pause_host(site["endpoint"], retry_after or site["busy_wait"])
    else:
        raise ExternalError(f"commons is busy: {code}", "try again later")
    if code:
        raise client.unexpected_response(code)
    return response.document


def _get_pages(client: ServiceClient, document: object) -> list[dict[str, Any]]:
    """Return the file pages of a response; none only if it is marked as complete without any."""
    if get_path(document, "query") is None and get_path(document, "batchcomplete") is True:
        return []
    return require_records(client, document, "query", "pages")


def _get_continuation(document: object) -> dict[str, str | int]:
    """Return the parameters that request the next results; empty at the end."""
    parameters = get_path(document, "continue")
    if not isinstance(parameters, dict):
        return {}
    return {name: value for name, value in parameters.items() if isinstance(value, str | int)}


def _read(page: Mapping[str, Any]) -> Provenance:
    info = get_path(page, "imageinfo", 0)
    metadata = get_path(info, "extmetadata")
    license_name = _get_plain_text(metadata, "LicenseUrl") or _get_plain_text(metadata, "LicenseShortName")
    license_id = to_spdx(license_name)
    has_thumbnail = bool(get_text(info, "thumburl"))
    return Provenance(
        get_text(info, "thumburl") or require_text(info, "url"),
        "commons",
        rank=int(require_text(page, "index")) - 1,
        page_url=get_text(info, "descriptionurl"),
        author=_get_plain_text(metadata, "Artist"),
        license=license_id if license_id != UNKNOWN else to_spdx(_get_plain_text(metadata, "LicenseShortName")),
        license_found=license_name,
        width=get_int(info, "thumbwidth" if has_thumbnail else "width"),
        height=get_int(info, "thumbheight" if has_thumbnail else "height"),
    )


def _get_plain_text(metadata: object, name: str) -> str:
    """Return a field of extmetadata without its HTML."""
    return html.unescape(re.sub(r"<[^>]*>", "", get_text(metadata, name, "value"))).strip()
