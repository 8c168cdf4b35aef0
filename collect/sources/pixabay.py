"""Pixabay: photographs under the Pixabay content license. Needs a key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fototeca.collect.api.credentials import Key
from fototeca.collect.api.json_fields import get_text, require_first_text
from fototeca.collect.catalog import Provenance
from fototeca.collect.sources import Query, SourceContext
from fototeca.collect.sources.metadata import SourceInfo
from fototeca.collect.sources.paginated import search_pages

INFO = SourceInfo(
    "pixabay",
    "API",
    "PIXABAY_API_KEY",
    "100 requests a minute, 500 images a query",
    "LicenseRef-Pixabay: free, commercial use allowed",
    "pixabay.com/service/terms: read its rules on model training",
    key=Key("PIXABAY_API_KEY", "https://pixabay.com/api/docs/"),
)


def search(query: Query, context: SourceContext) -> Iterator[Provenance]:
    """Yield results in Pixabay's order. FototecaError (exit 4) without a key or if a request fails."""
    urls = context.site("pixabay")["urls"]

    def read(item: Mapping[str, Any]) -> Provenance:
        return Provenance(
            require_first_text(item, urls),
            "pixabay",
            page_url=get_text(item, "pageURL"),
            author=get_text(item, "user"),
            license="LicenseRef-Pixabay",
            license_found="Pixabay content license, https://pixabay.com/service/license-summary/",
        )

    return search_pages("pixabay", query, context, read, params={"key": INFO.get_key()})
