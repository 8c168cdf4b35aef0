"""Unsplash: photographs under the Unsplash licence. Needs a key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from collect.catalog import Finding
from collect.keys import get_key
from collect.sources import Context, Query
from collect.sources.numbered import first_of, search_pages


def search(query: Query, context: Context) -> Iterator[Finding]:
    """Results in Unsplash's order. FototecaError (exit 4) without a key or when Unsplash does not answer as it should."""
    urls = context.site("unsplash")["urls"]

    def read(item: Mapping[str, Any]) -> Finding:
        return Finding(
            first_of(item["urls"], urls),
            "unsplash",
            page_url=(item.get("links") or {}).get("html") or "",
            author=(item.get("user") or {}).get("name") or "",
            license="LicenseRef-Unsplash",
            license_found="Unsplash licence, https://unsplash.com/license",
        )

    headers = {"Authorization": f"Client-ID {get_key('unsplash')}", "Accept-Version": "v1"}
    return search_pages("unsplash", query, context, read, headers=headers)
