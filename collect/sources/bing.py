"""Bing Images in a real browser."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from fototeca.collect.catalog import Provenance
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.sources import Query, SourceContext
from fototeca.collect.sources.browser_page import ResultsPage, get_first_text
from fototeca.collect.sources.metadata import NO_LICENSE, SEARCH_TERMS, SourceInfo

INFO = SourceInfo(
    "bing",
    "browser",
    "nothing",
    "about a thousand images a query",
    NO_LICENSE,
    f"Bing Images; {SEARCH_TERMS}",
    can_claim_license=True,
)

_TILES = """
for (const selector of arguments[0]) {
  const tiles = [...document.querySelectorAll(selector)];
  if (tiles.length) return tiles.map(tile => tile.getAttribute('m'));
}
return [];
"""


def search(query: Query, context: SourceContext) -> Iterator[Provenance]:
    """Yield results page by page. FototecaError (exit 4) for an unexpectedly empty page or a CAPTCHA."""
    page = ResultsPage("bing", query, context)
    site = page.site
    seen: set[str] = set()
    offset = 0
    while offset < site["max_results"]:
        page.open({site["offset"]: offset + 1, site["filters"]: _filters(site, query, context.fetch.min_side)})
        tiles = page.script(_TILES, site["tiles"])
        if not tiles and not offset and (error := page.no_results()):
            raise error
        results = list(_read_tiles(page, tiles, offset))
        if tiles and not results:
            raise page.changed("no result has a URL")
        new = [provenance for provenance in results if provenance.url not in seen]
        yield from new
        seen.update(provenance.url for provenance in new)
        offset += len(tiles)
        if not new:  # after its last page Bing repeats it
            return
        page.pause()


def _filters(site: Mapping[str, Any], query: Query, min_side: int) -> str:
    """Return the filter parameter: the site file's own filters, a minimum size above the default, and the claimed license.

    The claim narrows the search; it is not recorded as a license.
    """
    size = str(site["size"]).format(side=min_side) if min_side > FetchOptions.min_side else ""
    return str(site["parameters"].get(site["filters"], "")) + size + (str(site["commercial"]) if query.commercial else "")


def _read_tiles(page: ResultsPage, tiles: list[str | None], offset: int) -> Iterator[Provenance]:
    site, query = page.site, page.query
    for position, text in enumerate(tiles):
        try:
            metadata = json.loads(text or "")
        except (ValueError, RecursionError):
            continue
        if not isinstance(metadata, dict):
            continue
        url, thumbnail = get_first_text(metadata, site["url"]), get_first_text(metadata, site["thumbnail"])
        if url or thumbnail:
            yield Provenance(
                url or thumbnail,
                "bing",
                query.category,
                query=query.text,
                rank=offset + position,
                page_url=get_first_text(metadata, site["page_url"]),
                thumbnail=not url,
            )
