"""Unsplash: photographs under the Unsplash licence. Needs a key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fototeca.collect.api.credentials import Key
from fototeca.collect.api.json_fields import dig, first_needed, text
from fototeca.collect.catalog import Provenance
from fototeca.collect.sources import Context, Query
from fototeca.collect.sources.metadata import SourceInfo
from fototeca.collect.sources.paginated import search_pages

INFO = SourceInfo(
    "unsplash",
    "interface",
    "UNSPLASH_ACCESS_KEY",
    "50 requests an hour in demo mode, 30 images each",
    "LicenseRef-Unsplash: free, commercial use too",
    "unsplash.com/api-terms: read what it says of training models and of attribution",
    key=Key("UNSPLASH_ACCESS_KEY", "https://unsplash.com/developers"),
)


def search(query: Query, context: Context) -> Iterator[Provenance]:
    """Results in Unsplash's order. FototecaError (exit 4) without a key or when Unsplash does not answer as it should."""
    urls = context.site("unsplash")["urls"]

    def read(item: Mapping[str, Any]) -> Provenance:
        return Provenance(
            first_needed(dig(item, "urls"), urls),
            "unsplash",
            page_url=text(item, "links", "html"),
            author=text(item, "user", "name"),
            license="LicenseRef-Unsplash",
            license_found="Unsplash licence, https://unsplash.com/license",
        )

    headers = {"Authorization": f"Client-ID {INFO.secret()}", "Accept-Version": "v1"}
    return search_pages("unsplash", query, context, read, headers=headers)
