"""Bing Images in a real browser."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from fototeca.collect.catalog import Provenance
from fototeca.collect.http.client import FetchOptions
from fototeca.collect.sources import Context, Query
from fototeca.collect.sources.browser_page import ResultsPage, first
from fototeca.collect.sources.metadata import ENGINE, SEARCHING, SourceInfo

INFO = SourceInfo(
    "bing",
    "browser",
    "nothing",
    "about a thousand images a query",
    ENGINE,
    f"Bing Images; {SEARCHING}",
    claims=True,
)

_TILES = """
for (const selector of arguments[0]) {
  const tiles = [...document.querySelectorAll(selector)];
  if (tiles.length) return tiles.map(tile => tile.getAttribute('m'));
}
return [];
"""


def search(query: Query, context: Context) -> Iterator[Provenance]:
    """Results page after page. FototecaError (exit 4) when a page should have some and shows none, or asks for a person."""
    page = ResultsPage("bing", query, context)
    site = page.site
    seen: set[str] = set()
    offset = 0
    while offset < site["most"]:
        page.open({site["first"]: offset + 1, site["filters"]: _filters(site, query, context.fetch.min_side)})
        tiles = page.script(_TILES, site["tiles"])
        if not tiles and not offset and (error := page.nothing()):
            raise error
        found = list(_findings(page, tiles, offset))
        if tiles and not found:
            raise page.changed("no result has an address")
        fresh = [finding for finding in found if finding.url not in seen]
        yield from fresh
        seen.update(finding.url for finding in fresh)
        offset += len(tiles)
        if not fresh:  # past its last page Bing shows the last one again
            return
        page.pause()


def _filters(site: Mapping[str, Any], query: Query, min_side: int) -> str:
    """What narrows the results: the file's own filters, the size where a person wants larger images, and the licence.

    A licence that Bing claims is none: it narrows the search, and is not recorded.
    """
    size = str(site["size"]).format(side=min_side) if min_side > FetchOptions.min_side else ""
    return str(site["parameters"].get(site["filters"], "")) + size + (str(site["commercial"]) if query.commercial else "")


def _findings(page: ResultsPage, tiles: list[str | None], offset: int) -> Iterator[Provenance]:
    site, query = page.site, page.query
    for place, text in enumerate(tiles):
        try:
            facts = json.loads(text or "")
        except (ValueError, RecursionError):
            continue
        if not isinstance(facts, dict):
            continue
        url, thumbnail = first(facts, site["url"]), first(facts, site["thumbnail"])
        if url or thumbnail:
            yield Provenance(
                url or thumbnail,
                "bing",
                query.category,
                query=query.text,
                rank=offset + place,
                page_url=first(facts, site["page_url"]),
                thumbnail=not url,
            )
