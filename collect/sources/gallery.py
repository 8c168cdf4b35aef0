"""Any page of images, as a person would use it: consent, scrolling to the end, the full image instead of the thumbnail."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urljoin

from fototeca.collect.api.client import SourceStop
from fototeca.collect.catalog import Provenance
from fototeca.collect.http.responses import FetchError
from fototeca.collect.licenses import to_spdx
from fototeca.collect.sources import Context, Query
from fototeca.collect.sources.browser_page import Page
from fototeca.collect.sources.metadata import SourceInfo
from fototeca.core.errors import EXIT_OUTSIDE, FototecaError

INFO = SourceInfo(
    "gallery",
    "browser",
    "--url with the page's address; {query} in it stands for the query",
    "none of its own",
    "as the page says beside each picture (rel=license), else unknown",
    "the page's own terms; robots.txt is honoured for the page and for every picture",
    page=True,
)

STEP_SECONDS = 0.3
"""That a page may take to draw the next screen of what it holds already."""

_SITE = """
const site = arguments[0];
const furniture = site.furniture.join(','), image = new RegExp(site.image, 'i');
const images = () => [...document.querySelectorAll('img')].filter(img => !img.closest(furniture));
const within = (box, selectors) => selectors.map(selector => box.querySelector(selector)).find(Boolean);
const text = (box, selectors) => ((within(box, selectors) || {}).innerText || '').trim();
const href = (box, selectors) => (within(box, selectors) || {}).href || '';
const largest = img => {
  const sets = (img.getAttribute('srcset') || '').split(',').map(s => s.trim().split(/\\s+/)).filter(s => s[0]);
  sets.sort((a, b) => parseFloat(b[1] || '1') - parseFloat(a[1] || '1'));
  return sets.length ? sets[0][0] : '';
};
"""

# A dialog's button that lets one go on; the least that is asked for comes first.
_CONSENT = (
    _SITE
    + """
const says = (button, words) => words.test((button.innerText || button.value || '').trim()) && button.getClientRects().length;
for (const box of document.querySelectorAll(site.consent_boxes.join(','))) {
  const buttons = [...box.querySelectorAll('button, [role=button], input[type=submit]')];
  const fitting = site.consent.flatMap(words => buttons.filter(button => says(button, new RegExp(words, 'i'))));
  if (fitting.length) { fitting[0].click(); return true; }
}
return false;
"""
)

_COUNT = _SITE + "return pictures().length;"

# Every tile from the given one on: an image inside a link or with data of its own, and plain large images.
_TILES = (
    _SITE
    + """
return images().slice(arguments[1], arguments[2]).map((img, index) => {
  const link = img.closest('a[href]'), holder = img.closest(site.full.map(name => `[${name}]`).join(','));
  const told = name => (holder && holder.getAttribute(name)) || '';
  const figure = img.closest('figure, article, li, a, div') || img;
  const linked = link && image.test(link.href), clickable = Boolean(link || img.closest('button, [role=button]'));
  const thumb = [img.currentSrc, img.src, img.dataset.src].find(src => src && !/^(data|blob):/.test(src)) || '';
  const full = site.full.map(told).find(Boolean) || (linked ? link.href : '') || largest(img) || (clickable ? '' : thumb);
  const page = link && !linked ? link.href : '';
  return {
    index: arguments[1] + index, thumb, clickable, full, page,
    key: full || (page.split('#')[0] !== location.href.split('#')[0] ? page : '') || thumb,
    author: told('data-author') || text(figure, site.author),
    license: href(figure, site.license) || told('data-license'),
    width: parseInt(told('data-width')) || null, height: parseInt(told('data-height')) || null,
  };
});
"""
)

# One screen further down; whether there is none.
_STEP = "const before = scrollY; scrollBy(0, innerHeight * 0.8); return scrollY === before;"

# A click as the page's own scripts see it; a link that they leave alone is not followed, but told, so that the page stays.
_CLICK = (
    _SITE
    + """
const target = images()[arguments[1]];
if (!target) return '';
let followed = '';
const stay = event => {
  if (event.defaultPrevented) return;
  event.preventDefault();
  followed = (event.target.closest('a[href]') || {}).href || '';
};
addEventListener('click', stay);
(target.closest('a, button, [role=button]') || target).click();
removeEventListener('click', stay);
const bare = address => address.split('#')[0];
return /^https?:/.test(followed) && bare(followed) !== bare(location.href) ? followed : '';
"""
)

# The overlay that a click opened: its largest image and what stands beside it.
_OVERLAY = (
    _SITE
    + """
const boxes = [...document.querySelectorAll(site.overlays.join(','))].filter(box => box.getClientRects().length);
const box = boxes.find(box => box.querySelector('img[src]'));
if (!box) return null;
const full = within(box, site.large) || [...box.querySelectorAll('img[src]')].pop();
return {full: full.src, author: text(box, site.author), license: href(box, site.license), page: href(box, site.page)};
"""
)

# The page of one image: what it calls large, else its largest image, else what it gives others to show.
_DETAIL = (
    _SITE
    + """
const size = img => img.naturalWidth * img.naturalHeight;
const shown = images().filter(img => img.src.startsWith('http') && img.getClientRects().length);
const named = shown.find(img => site.large.some(selector => img.matches(selector)));
const img = named || shown.sort((a, b) => size(b) - size(a))[0];
const link = img && img.closest('a[href]');
const preview = within(document, site.preview) || {};
const full = img ? (link && image.test(link.href) ? link.href : largest(img) || img.src) : preview.content || preview.href;
return full && {full: new URL(full, location.href).href, page: location.href,
                author: text(document, site.author), license: href(document, site.license)};
"""
)

_CLOSE = (
    _SITE
    + """
document.dispatchEvent(new KeyboardEvent('keydown', {key: 'Escape', bubbles: true}));
const close = within(document, site.close);
if (close && close.offsetParent !== null) close.click();
"""
)


def search(query: Query, context: Context) -> Iterator[Provenance]:
    """Every image of the page, in its order; more are asked for only as they are taken.

    FototecaError (exit 4) when the page does not load, when robots.txt forbids it or where it leads, when it asks for a
    person, or when it shows no image at all.
    """
    page = Page("gallery", query, context)
    address = _open(page, query.url.replace("{query}", quote(query.text)))
    taken = found = 0
    for tile in _tiles(page):
        finding = _finding(page, address, tile, rank=taken)
        taken += 1
        if finding is not None:
            found += 1
            yield finding
    if not found and (error := page.changed("no picture has an address") if taken else page.nothing()):
        raise error


def _tiles(page: Page) -> Iterator[dict[str, Any]]:
    """The tiles of the page in its order, as many as it may have: those at its end as they come, and those that it shows only
    where one has scrolled to."""
    seen: set[str] = set()
    taken, most = 0, page.site["most"]
    while taken < most:
        tiles = page.script(_TILES, page.site, taken, most)
        yield from tiles
        taken += len(tiles)
        seen.update(tile["key"] for tile in tiles)
        if not _more(page, taken):
            break
    if seen <= {tile["key"] for tile in page.script(_TILES, page.site, 0, most)}:
        return
    page.script("scrollTo(0, 0)")  # it takes away what is out of sight: screen after screen, then
    at_end = False
    while taken < most:
        fresh = _unseen(page, seen, page.site["settle"] if at_end else STEP_SECONDS)
        yield from fresh[: most - taken]
        taken += len(fresh)
        if at_end and not fresh:
            break
        at_end = not fresh and page.script(_STEP)


def _unseen(page: Page, seen: set[str], seconds: float) -> list[dict[str, Any]]:
    """The tiles on the screen that were not there before, once they are; `seen` has them from here on."""
    deadline = time.monotonic() + seconds
    fresh: list[dict[str, Any]] = []
    while not fresh and time.monotonic() < deadline:
        tiles = page.script(_TILES, page.site, 0, page.site["most"])
        fresh = list({tile["key"]: tile for tile in tiles if tile["key"] and tile["key"] not in seen}.values())
        time.sleep(0 if fresh else 0.1)
    seen.update(tile["key"] for tile in fresh)
    return fresh


def _open(page: Page, address: str) -> str:
    """Load the page and answer its dialogs; where it is then."""
    _check_permitted(address, page.context)
    page.load(address)
    for _ in range(3):  # a page may ask twice
        if not page.script(_CONSENT, page.site):
            break
        time.sleep(0.3)
    page.check_stop()
    _check_permitted(page.window.url, page.context)  # a redirect may have led elsewhere
    return page.window.url


def _permitted(address: str, context: Context) -> bool:
    """Whether robots.txt allows the page; FetchError when it cannot be asked, for instance at a private address."""
    return context.downloader.robots(address).allows(address)


def _check_permitted(address: str, context: Context) -> None:
    """robots.txt and the private-address rule hold for the page as for its images."""
    try:
        allowed = _permitted(address, context)
    except FetchError as error:
        hint = "pass --allow-loopback to fetch from this machine" if error.reason == "private-address" else "check the address"
        raise FototecaError(f"{address} cannot be asked: {error.reason}", hint, EXIT_OUTSIDE) from None
    if not allowed:
        raise FototecaError(f"robots.txt forbids {address}", "choose another page", EXIT_OUTSIDE)


def _more(page: Page, taken: int) -> bool:
    """Scroll to the end and wait for new tiles; False when nothing came."""
    deadline = time.monotonic() + float(page.site["settle"])
    while time.monotonic() < deadline:
        page.script("window.scrollTo(0, document.body.scrollHeight)")
        if page.script(_COUNT, page.site) > taken:
            return True
        time.sleep(0.1)
    page.check_stop()
    return False


def _finding(page: Page, address: str, tile: dict[str, Any], rank: int) -> Provenance | None:
    """A tile as a finding: its full image, by a click where the tile does not tell, else its thumbnail, marked as such."""
    if not tile["full"] and tile["clickable"]:
        tile = {**tile, **_opened(page, tile["index"])}
    url = tile["full"] or tile["thumb"]
    if not url or url.startswith(("data:", "blob:")):
        return None
    return Provenance(
        urljoin(address, url),
        "gallery",
        page.query.category,
        query=page.query.text,
        rank=rank,
        page_url=urljoin(address, tile["page"] or ""),
        author=tile["author"],
        license=to_spdx(tile["license"]),
        license_found=tile["license"],
        width=tile["width"],
        height=tile["height"],
        thumbnail=not tile["full"],
    )


def _opened(page: Page, index: int) -> dict[str, Any]:
    """What a click on a tile shows, over the page or on a page of its own; the page is left as it was."""
    before = page.window.url
    followed = page.script(_CLICK, page.site, index)
    shown: dict[str, Any] = {}
    if followed:
        shown = _beside(page, followed)
    else:
        deadline = time.monotonic() + float(page.site["click"])
        while not shown and time.monotonic() < deadline and page.window.url == before and page.window.tabs == 1:
            shown = page.script(_OVERLAY, page.site) or {}
            time.sleep(0 if shown else 0.02)
        if page.window.tabs > 1:
            shown = _beside(page)
        elif page.window.url != before:
            shown = _read(page)
            page.window.back()
        else:
            page.script(_CLOSE, page.site)
    return {key: value for key, value in shown.items() if value}


def _beside(page: Page, address: str = "") -> dict[str, Any]:
    """The image of another page, in a tab of its own: the one at the address, or the one that a click has opened."""
    with page.window.tab():
        return _read(page, address)


def _read(page: Page, address: str = "") -> dict[str, Any]:
    """The image of the page at the address, or of the one that is shown; one that does not come leaves the thumbnail."""
    try:
        if address:
            if not _permitted(address, page.context):
                return {}
            page.pause()
            with page.context.downloader.hosts[address].slot():
                page.load(address)
        return _detail(page)
    except SourceStop:
        raise
    except (FetchError, FototecaError):
        return {}


def _detail(page: Page) -> dict[str, Any]:
    """The image of the page that is shown, once it is there; nothing where robots.txt forbids the page."""
    deadline = time.monotonic() + float(page.site["click"])
    shown: dict[str, Any] = {}
    while not shown and time.monotonic() < deadline:
        shown = page.script(_DETAIL, page.site) or {}
        time.sleep(0 if shown else 0.05)
    page.check_stop()
    return shown if _permitted(page.window.url, page.context) else {}
