"""Pexels: photographs under the Pexels license. Needs a key."""

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
    "pexels",
    "API",
    "PEXELS_API_KEY",
    "200 requests an hour, 20,000 a month",
    "LicenseRef-Pexels: free, commercial use allowed",
    "pexels.com/terms-of-service: read its rules on model training",
    key=Key("PEXELS_API_KEY", "https://www.pexels.com/api/"),
)


def search(query: Query, context: SourceContext) -> Iterator[Provenance]:
    """Yield results in Pexels's order. FototecaError (exit 4) without a key or if a request fails."""
    urls = context.site("pexels")["urls"]

    def read(item: Mapping[str, Any]) -> Provenance:
        return Provenance(
            require_first_text(get_path(item, "src"), urls),
            "pexels",
            page_url=get_text(item, "url"),
            author=get_text(item, "photographer"),
            license="LicenseRef-Pexels",
            license_found="Pexels license, https://www.pexels.com/license/",
        )

    return search_pages("pexels", query, context, read, headers={"Authorization": INFO.get_key()})
