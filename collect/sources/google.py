"""Google Images in a real browser: every tile opened for its full image, scrolled until nothing new comes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

from fototeca.collect.catalog import Provenance
from fototeca.collect.sources import Context, Query
from fototeca.collect.sources.browser_page import ResultsPage
from fototeca.collect.sources.metadata import ENGINE, SEARCHING, SourceInfo

INFO = SourceInfo(
    "google",
    "browser",
    "nothing",
    "a few hundred images a query; stops when Google asks to prove that a person is there",
    ENGINE,
    f"Google Images; {SEARCHING}",
)

_SITE = """
const tiles = site => {
  for (const selector of site.tiles) {
    const found = [...document.querySelectorAll(selector)];
    if (found.length) return found;
  }
  return [];
};
const within = (box, selectors) => {
  for (const selector of selectors) {
    const found = box.querySelector(selector);
    if (found) return found;
  }
  return null;
};
const site = arguments[0], tile = tiles(site)[arguments[1]];
"""
_COUNT = _SITE + "return tiles(site).length;"
_FACTS = (
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
# After a click: the tile's link may have come to life, or the panel shows an image that is not one of an earlier tile come late.
_OPENED = (
    _SITE
    + """
const link = tile ? within(tile, site.links) : null;
const shown = [...document.querySelectorAll(site.full.join(','))].find(img => img.getClientRects().length
  && img.src.startsWith('http') && !arguments[2].includes(img.src));
const around = shown ? shown.closest('a[href]') : null;
return {link: link ? link.href : '', full: shown ? shown.src : '', page: around ? around.href : ''};
"""
)


def search(query: Query, context: Context) -> Iterator[Provenance]:
    """Results in Google's order. FototecaError (exit 4) when none is shown though some should be, or a person is asked for."""
    page = ResultsPage("google", query, context)
    page.open()
    taken = 0
    known: list[str] = []
    while taken < page.site["most"]:
        count = int(page.script(_COUNT, page.site))
        if not count and not taken and (error := page.nothing()):
            raise error
        for index in range(taken, min(count, page.site["most"])):
            finding = _tile(page, index, known)
            if finding:
                known.append(finding.url)
                yield finding
            elif not known and index + 1 >= page.site["tries"]:
                raise page.changed("no tile has an address")
        taken = max(taken, count)
        if not _more(page, taken):
            break
    if taken and not known:
        raise page.changed("no tile has an address")


def _tile(page: ResultsPage, index: int, known: list[str]) -> Provenance | None:
    """A tile as a finding: by its link, by what a click shows, or only its thumbnail."""
    site = page.site
    facts = page.script(_FACTS, site, index) or {"link": "", "thumb": ""}
    opened: dict[str, Any] = {"link": facts["link"], "full": "", "page": ""}
    if not facts["link"]:
        page.script(_CLICK, site, index)
        deadline = time.monotonic() + float(site["click"])
        while not (opened["link"] or opened["full"]) and time.monotonic() < deadline:
            opened = page.script(_OPENED, site, index, known)
            time.sleep(0 if opened["link"] or opened["full"] else 0.05)
        page.check_stop()
    return _finding(page.query, index, opened, facts["thumb"])


def _finding(query: Query, index: int, opened: dict[str, Any], thumb: str) -> Provenance | None:
    told = {name: values[0] for name, values in parse_qs(urlsplit(opened["link"]).query).items()}
    full = told.get("imgurl") or opened["full"]
    if not full and not thumb.startswith("http"):
        return None  # a thumbnail inside the page has no address
    return Provenance(
        full or thumb,
        "google",
        query.category,
        query=query.text,
        rank=index,
        page_url=told.get("imgrefurl") or opened["page"],
        width=_pixels(told.get("w")),
        height=_pixels(told.get("h")),
        thumbnail=not full,
    )


def _pixels(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() and len(text) < 10 else None


def _more(page: ResultsPage, taken: int) -> bool:
    """Scroll to the end, or press the button for more, and wait; False when nothing came."""
    page.pause()
    deadline = time.monotonic() + float(page.site["settle"])
    while time.monotonic() < deadline:
        page.script("window.scrollTo(0, document.body.scrollHeight)")
        if int(page.script(_COUNT, page.site)) > taken:
            return True
        page.press(page.site["more"])
        time.sleep(0.1)
    page.check_stop()
    return False
