"""Pexels: photographs under the Pexels licence. Needs a key."""

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
    "pexels",
    "interface",
    "PEXELS_API_KEY",
    "200 requests an hour, 20,000 a month",
    "LicenseRef-Pexels: free, commercial use too",
    "pexels.com/terms-of-service: read what it says of training models",
    key=Key("PEXELS_API_KEY", "https://www.pexels.com/api/"),
)


def search(query: Query, context: Context) -> Iterator[Provenance]:
    """Results in Pexels's order. FototecaError (exit 4) without a key or when Pexels does not answer as it should."""
    urls = context.site("pexels")["urls"]

    def read(item: Mapping[str, Any]) -> Provenance:
        return Provenance(
            first_needed(dig(item, "src"), urls),
            "pexels",
            page_url=text(item, "url"),
            author=text(item, "photographer"),
            license="LicenseRef-Pexels",
            license_found="Pexels licence, https://www.pexels.com/license/",
        )

    return search_pages("pexels", query, context, read, headers={"Authorization": INFO.secret()})
