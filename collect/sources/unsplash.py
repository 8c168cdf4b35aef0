"""Unsplash: photographs under the Unsplash license. Needs a key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fototeca.collect.api.credentials import Key
from fototeca.collect.api.json_fields import get_path, get_text, require_first_text
from fototeca.collect.catalog import Provenance
from fototeca.collect.sources import Query, SourceContext
from fototeca.collect.sources.metadata import SourceInfo
from fototeca.collect.sources.paginated import search_pages

INFO = SourceInfo(
    "unsplash",
    "API",
    "UNSPLASH_ACCESS_KEY",
    "50 requests an hour in demo mode, 30 images each",
    "LicenseRef-Unsplash: free, commercial use allowed",
    "unsplash.com/api-terms: read its rules on model training and attribution",
    key=Key("UNSPLASH_ACCESS_KEY", "https://unsplash.com/developers"),
)


def search(query: Query, context: SourceContext) -> Iterator[Provenance]:
    """Yield results in Unsplash's order. FototecaError (exit 4) without a key or if a request fails."""
    urls = context.site("unsplash")["urls"]

    def read(item: Mapping[str, Any]) -> Provenance:
        return Provenance(
            require_first_text(get_path(item, "urls"), urls),
            "unsplash",
            page_url=get_text(item, "links", "html"),
            author=get_text(item, "user", "name"),
            license="LicenseRef-Unsplash",
            license_found="Unsplash license, https://unsplash.com/license",
        )

    headers = {"Authorization": f"Client-ID {INFO.get_key()}", "Accept-Version": "v1"}
    return search_pages("unsplash", query, context, read, headers=headers)
