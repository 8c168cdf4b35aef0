"""Pixabay: photographs under the Pixabay content licence. Needs a key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from collect.catalog import Finding
from collect.keys import get_key
from collect.sources import Context, Query
from collect.sources.numbered import first_of, search_pages


def search(query: Query, context: Context) -> Iterator[Finding]:
    """Results in Pixabay's order. FototecaError (exit 4) without a key or when Pixabay does not answer as it should."""
    urls = context.site("pixabay")["urls"]

    def read(item: Mapping[str, Any]) -> Finding:
        return Finding(
            first_of(item, urls),
            "pixabay",
            page_url=item.get("pageURL") or "",
            author=item.get("user") or "",
            license="LicenseRef-Pixabay",
            license_found="Pixabay content licence, https://pixabay.com/service/license-summary/",
        )

    return search_pages("pixabay", query, context, read, params={"key": get_key("pixabay")})
