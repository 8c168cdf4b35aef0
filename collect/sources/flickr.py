"""Flickr: photographs with their owners and licenses. Needs a key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fototeca.collect.api.client import ServiceClient
from fototeca.collect.api.credentials import Key
from fototeca.collect.api.json_fields import get_text, require_first_text, require_text
from fototeca.collect.catalog import Provenance
from fototeca.collect.licenses import to_spdx
from fototeca.collect.sources import Query, SourceContext
from fototeca.collect.sources.metadata import SourceInfo
from fototeca.collect.sources.paginated import search_pages
from fototeca.core.errors import ExternalError

INFO = SourceInfo(
    "flickr",
    "API",
    "FLICKR_API_KEY",
    "3,600 requests an hour, 4,000 images a query",
    "each image's own, all rights reserved included (recorded as unknown)",
    "flickr.com/services/api/tos: non-commercial use of the API unless agreed otherwise",
    key=Key("FLICKR_API_KEY", "https://www.flickr.com/services/api/misc.api_keys.html"),
)


def search(query: Query, context: SourceContext) -> Iterator[Provenance]:
    """Yield results by relevance. FototecaError (exit 4) without a key or if a request fails."""
    site = context.site("flickr")

    def read(item: Mapping[str, Any]) -> Provenance:
        url = require_first_text(item, site["urls"])
        size = next(name for name in site["urls"] if get_text(item, name)).removeprefix("url_")
        license_name = site["licenses"].get(require_text(item, "license"), "")
        return Provenance(
            url,
            "flickr",
            page_url=f"https://www.flickr.com/photos/{require_text(item, 'owner')}/{require_text(item, 'id')}",
            author=get_text(item, "ownername"),
            license=to_spdx(license_name),
            license_found=license_name,
            width=_pixels(get_text(item, f"width_{size}")),
            height=_pixels(get_text(item, f"height_{size}")),
        )

    def check(client: ServiceClient, document: object) -> None:
        if get_text(document, "stat") != "fail":
            return
        code = get_text(document, "code")
        if code in site["access_denied_codes"]:
            raise client.access_denied()
        raise ExternalError(f"flickr request failed: error {code}", "try again later")

    return search_pages("flickr", query, context, read, params={"api_key": INFO.get_key()}, check=check)


def _pixels(value: str) -> int | None:
    return int(value) if value.isdecimal() and len(value) < 10 else None
