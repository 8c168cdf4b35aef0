"""Google Images in a real browser: opens every tile for its full image, and scrolls until no new results appear."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

from fototeca.collect.catalog import Provenance
from fototeca.collect.sources import Query, SourceContext
from fototeca.collect.sources.browser_page import ResultsPage
from fototeca.collect.sources.metadata import NO_LICENSE, SEARCH_TERMS, SourceInfo

INFO = SourceInfo(
    "google",
    "browser",
    "nothing",
    "a few hundred images a query; stops at a CAPTCHA",
    NO_LICENSE,
    f"Google Images; {SEARCH_TERMS}",
)

_SITE = """
const tiles = site => {
  for (const selector of site.tiles) {
    const matches = [...document.querySelectorAll(selector)];
    if (matches.length) return matches;
  }
  return [];
};
const within = (box, selectors) => {
  for (const selector of selectors) {
    const match = box.querySelector(selector);
    if (match) return match;
  }
  return null;
};
const site = arguments[0], tile = tiles(site)[arguments[1]];
"""
_COUNT = _SITE + "return tiles(site).length;"
_READ_TILE = (
    _SITE
    + """
if (!tile) return null;
const link = within(tile, site.links), img = tile.querySelector('img');
return {link: link ? link.href : '', thumb: img ? (img.currentSrc || img.src || img.dataset.src || '') : ''};
"""
)
_CLICK = (
    _SITE
    + """
if (!tile) return false;
tile.scrollIntoView({block: 'center'});
const target = within(tile, site.targets) || tile;
for (const kind of ['mousedown', 'mouseup']) target.dispatchEvent(new MouseEvent(kind, {bubbles: true}));
target.click();
return true;
"""
)
# After a click: the tile's link may have become active, or the panel shows an image; one of an earlier tile may appear late.
_OPENED = (
    _SITE
    + """
const link = tile ? within(tile, site.links) : null;
const full = [...document.querySelectorAll(site.full.join(','))].find(img => img.getClientRects().length
  && img.src.startsWith('http') && !arguments[2].includes(img.src));
const parent = full ? full.closest('a[href]') : null;
return {link: link ? link.href : '', full: full ? full.src : '', page: parent ? parent.href : ''};
"""
)


def search(query: Query, context: SourceContext) -> Iterator[Provenance]:
    """Yield results in Google's order. FototecaError (exit 4) for an unexpectedly empty page or a CAPTCHA."""
    page = ResultsPage("google", query, context)
    page.open()
    max_results = page.site["max_results"]
    num_tiles = 0
    urls: list[str] = []
    while num_tiles < max_results:
        count = int(page.script(_COUNT, page.site))
        if not count and not num_tiles and (error := page.no_results()):
            raise error
        for index in range(num_tiles, min(count, max_results)):
            provenance = _read_tile(page, index, urls)
            if provenance:
                urls.append(provenance.url)
                yield provenance
            elif not urls and index + 1 >= page.site["max_empty_tiles"]:
                raise page.changed("no tile has a URL")
        num_tiles = max(num_tiles, count)
        if not _load_more(page, num_tiles):
            break
    if num_tiles and not urls:
        raise page.changed("no tile has a URL")


def _read_tile(page: ResultsPage, index: int, urls: list[str]) -> Provenance | None:
    """Return a tile as a candidate: from its link, else from what a click shows, else its thumbnail.

    Args:
        page: the page of results.
        index: position of the tile.
        urls: full images of earlier tiles, which may still be on display.
    """
    site = page.site
    tile = page.script(_READ_TILE, site, index) or {"link": "", "thumb": ""}
    details: dict[str, Any] = {"link": tile["link"], "full": "", "page": ""}
    if not tile["link"]:
        page.script(_CLICK, site, index)
        deadline = time.monotonic() + float(site["click"])
        while not (details["link"] or details["full"]) and time.monotonic() < deadline:
            details = page.script(_OPENED, site, index, urls)
            time.sleep(0 if details["link"] or details["full"] else 0.05)
        page.check_captcha()
    return _to_provenance(page.query, index, details, tile["thumb"])


def _to_provenance(query: Query, index: int, details: dict[str, Any], thumbnail: str) -> Provenance | None:
    parameters = {name: values[0] for name, values in parse_qs(urlsplit(details["link"]).query).items()}
    full = parameters.get("imgurl") or details["full"]
    if not full and not thumbnail.startswith("http"):
        return None  # the thumbnail is embedded in the page
    return Provenance(
        full or thumbnail,
        "google",
        query.category,
        query=query.text,
        rank=index,
        page_url=parameters.get("imgrefurl") or details["page"],
        width=_parse_pixels(parameters.get("w")),
        height=_parse_pixels(parameters.get("h")),
        thumbnail=not full,
    )


def _parse_pixels(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() and len(text) < 10 else None


def _load_more(page: ResultsPage, num_tiles: int) -> bool:
    """Scroll to the end or press the button for more, and wait; return False if no new tiles appear."""
    page.pause()
    deadline = time.monotonic() + float(page.site["settle"])
    while time.monotonic() < deadline:
        page.script("window.scrollTo(0, document.body.scrollHeight)")
        if int(page.script(_COUNT, page.site)) > num_tiles:
            return True
        page.press(page.site["load_more"])
        time.sleep(0.1)
    page.check_captcha()
    return False
