"""Flickr: photographs with their owners and licences. Needs a key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from collect.catalog import Finding
from collect.keys import get_key
from collect.licenses import to_spdx
from collect.sources import Context, Query
from collect.sources.numbered import first_of, search_pages


def search(query: Query, context: Context) -> Iterator[Finding]:
    """Results by relevance. FototecaError (exit 4) without a key or when Flickr does not answer as it should."""
    site = context.site("flickr")

    def read(item: Mapping[str, Any]) -> Finding:
        url = first_of(item, site["urls"])
        size = next(name for name in site["urls"] if item.get(name)).removeprefix("url_")
        found = site["licenses"].get(str(item["license"]), "")
        return Finding(
            url,
            "flickr",
            page_url=f"https://www.flickr.com/photos/{item['owner']}/{item['id']}",
            author=item.get("ownername") or "",
            license=to_spdx(found),
            license_found=found,
            width=_pixels(item.get(f"width_{size}")),
            height=_pixels(item.get(f"height_{size}")),
        )

    return search_pages("flickr", query, context, read, params={"api_key": get_key("flickr")})


def _pixels(value: object) -> int | None:
    return int(str(value)) if str(value or "").isdigit() else None
