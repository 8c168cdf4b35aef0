"""Openverse: images under Creative Commons licenses and in the public domain, each with its license."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fototeca.collect.api.json_fields import get_int, get_text, require_text
from fototeca.collect.catalog import Provenance
from fototeca.collect.licenses import to_spdx
from fototeca.collect.sources import Query, SourceContext
from fototeca.collect.sources.metadata import SourceInfo
from fototeca.collect.sources.paginated import search_pages

INFO = SourceInfo(
    "openverse",
    "API",
    "nothing",
    "240 images a query, one request a second",
    "each image's own: Creative Commons or public domain, filtered by --license commercial at the source",
    "openverse.org/terms: no scraping outside its API; verify a license before relying on it",
)


def search(query: Query, context: SourceContext) -> Iterator[Provenance]:
    """Yield results in Openverse's order. FototecaError (exit 4) if a request fails."""
    return search_pages("openverse", query, context, _read)


def _read(item: Mapping[str, Any]) -> Provenance:
    license_name = (
        get_text(item, "license_url") or f"cc-{require_text(item, 'license')} {get_text(item, 'license_version')}".strip()
    )
    return Provenance(
        require_text(item, "url"),
        "openverse",
        page_url=get_text(item, "foreign_landing_url"),
        author=get_text(item, "creator"),
        license=to_spdx(license_name),
        license_found=license_name,
        width=get_int(item, "width"),
        height=get_int(item, "height"),
    )
