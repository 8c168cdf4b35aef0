"""Pixabay: photographs under the Pixabay content licence. Needs a key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fototeca.collect.api.credentials import Key
from fototeca.collect.api.json_fields import first_needed, text
from fototeca.collect.catalog import Provenance
from fototeca.collect.sources import Context, Query
from fototeca.collect.sources.metadata import SourceInfo
from fototeca.collect.sources.paginated import search_pages

INFO = SourceInfo(
    "pixabay",
    "interface",
    "PIXABAY_API_KEY",
    "100 requests a minute, 500 images a query",
    "LicenseRef-Pixabay: free, commercial use too",
    "pixabay.com/service/terms: read what it says of training models",
    key=Key("PIXABAY_API_KEY", "https://pixabay.com/api/docs/"),
)


def search(query: Query, context: Context) -> Iterator[Provenance]:
    """Results in Pixabay's order. FototecaError (exit 4) without a key or when Pixabay does not answer as it should."""
    urls = context.site("pixabay")["urls"]

    def read(item: Mapping[str, Any]) -> Provenance:
        return Provenance(
            first_needed(item, urls),
            "pixabay",
            page_url=text(item, "pageURL"),
            author=text(item, "user"),
            license="LicenseRef-Pixabay",
            license_found="Pixabay content licence, https://pixabay.com/service/license-summary/",
        )

    return search_pages("pixabay", query, context, read, params={"key": INFO.secret()})
