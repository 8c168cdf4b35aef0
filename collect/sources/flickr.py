"""Flickr: photographs with their owners and licences. Needs a key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fototeca.collect.api.client import Web
from fototeca.collect.api.credentials import Key
from fototeca.collect.api.json_fields import first_needed, needed, text
from fototeca.collect.catalog import Provenance
from fototeca.collect.licenses import to_spdx
from fototeca.collect.sources import Context, Query
from fototeca.collect.sources.metadata import SourceInfo
from fototeca.collect.sources.paginated import search_pages
from fototeca.core.errors import EXIT_OUTSIDE, FototecaError

INFO = SourceInfo(
    "flickr",
    "interface",
    "FLICKR_API_KEY",
    "3,600 requests an hour, 4,000 images a query",
    "each image's own, all rights reserved included (recorded as unknown)",
    "flickr.com/services/api/tos: non-commercial use of the interface unless agreed otherwise",
    key=Key("FLICKR_API_KEY", "https://www.flickr.com/services/api/misc.api_keys.html"),
)


def search(query: Query, context: Context) -> Iterator[Provenance]:
    """Results by relevance. FototecaError (exit 4) without a key or when Flickr does not answer as it should."""
    site = context.site("flickr")

    def read(item: Mapping[str, Any]) -> Provenance:
        url = first_needed(item, site["urls"])
        size = next(name for name in site["urls"] if text(item, name)).removeprefix("url_")
        found = site["licenses"].get(needed(item, "license"), "")
        return Provenance(
            url,
            "flickr",
            page_url=f"https://www.flickr.com/photos/{needed(item, 'owner')}/{needed(item, 'id')}",
            author=text(item, "ownername"),
            license=to_spdx(found),
            license_found=found,
            width=_pixels(text(item, f"width_{size}")),
            height=_pixels(text(item, f"height_{size}")),
        )

    def check(web: Web, answer: object) -> None:
        if text(answer, "stat") != "fail":
            return
        code = text(answer, "code")
        if code in site["refused"]:
            raise web.refused()
        raise FototecaError(f"flickr cannot be asked: its error {code}", "try again later", EXIT_OUTSIDE)

    return search_pages("flickr", query, context, read, params={"api_key": INFO.secret()}, check=check)


def _pixels(value: str) -> int | None:
    return int(value) if value.isdecimal() and len(value) < 10 else None
