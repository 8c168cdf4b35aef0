"""Pexels: photographs under the Pexels licence. Needs a key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from collect.catalog import Finding
from collect.keys import get_key
from collect.sources import Context, Query
from collect.sources.numbered import first_of, search_pages


def search(query: Query, context: Context) -> Iterator[Finding]:
    """Results in Pexels's order. FototecaError (exit 4) without a key or when Pexels does not answer as it should."""
    urls = context.site("pexels")["urls"]

    def read(item: Mapping[str, Any]) -> Finding:
        return Finding(
            first_of(item["src"], urls),
            "pexels",
            page_url=item.get("url") or "",
            author=item.get("photographer") or "",
            license="LicenseRef-Pexels",
            license_found="Pexels licence, https://www.pexels.com/license/",
        )

    return search_pages("pexels", query, context, read, headers={"Authorization": get_key("pexels")})
