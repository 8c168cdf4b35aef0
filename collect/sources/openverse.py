"""Openverse: images under Creative Commons licences and in the public domain, each with its rights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fototeca.collect.api.json_fields import count, needed, text
from fototeca.collect.catalog import Provenance
from fototeca.collect.licenses import to_spdx
from fototeca.collect.sources import Context, Query
from fototeca.collect.sources.metadata import SourceInfo
from fototeca.collect.sources.paginated import search_pages

INFO = SourceInfo(
    "openverse",
    "interface",
    "nothing",
    "240 images a query, one request a second",
    "each image's own: Creative Commons or public domain, filtered by --license commercial at the source",
    "openverse.org/terms: no scraping beyond its interface; verify a licence before you rely on it",
)


def search(query: Query, context: Context) -> Iterator[Provenance]:
    """Results in Openverse's order. FototecaError (exit 4) when it does not answer as it should."""
    return search_pages("openverse", query, context, _read)


def _read(item: Mapping[str, Any]) -> Provenance:
    found = text(item, "license_url") or f"cc-{needed(item, 'license')} {text(item, 'license_version')}".strip()
    return Provenance(
        needed(item, "url"),
        "openverse",
        page_url=text(item, "foreign_landing_url"),
        author=text(item, "creator"),
        license=to_spdx(found),
        license_found=found,
        width=count(item, "width"),
        height=count(item, "height"),
    )
