"""Any page of images, used as a person would: consent, scrolling to the end, the full image instead of the thumbnail."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urljoin

from fototeca.collect.api.client import SourceStoppedError
from fototeca.collect.catalog import Provenance
from fototeca.collect.http.responses import FetchError
from fototeca.collect.licenses import to_spdx
from fototeca.collect.sources import Query, SourceContext
from fototeca.collect.sources.browser_page import Page
from fototeca.collect.sources.gallery_scripts import CLICK, CLOSE, CONSENT, COUNT, DETAIL, OVERLAY, STEP, TILES
from fototeca.collect.sources.metadata import SourceInfo
from fototeca.core.errors import ExternalError, FototecaError

INFO = SourceInfo(
    "gallery",
    "browser",
    "--url with the page's URL; {query} in it stands for the query",
    "none of its own",
    "as stated on the page beside each image (rel=license), else unknown",
    "the page's own terms; robots.txt is respected for the page and for every image",
    needs_url=True,
)

STEP_SECONDS = 0.3
"""Time for a page to draw the next screen of content that it has loaded already."""

_MAX_DIALOGS = 3
_DIALOG_SECONDS = 0.3


def search(query: Query, context: SourceContext) -> Iterator[Provenance]:
    """Yield every image of the page in its order; the page is scrolled only as far as results are consumed.

    FototecaError (exit 4) if the page does not load, robots.txt forbids it or the page it leads to, there is a CAPTCHA, or
    the page unexpectedly shows no image.
    """
    page = Page("gallery", query, context)
    base_url = _open(page, query.url.replace("{query}", quote(query.text)))
    num_tiles = num_results = 0
    for tile in _iterate_tiles(page):
        provenance = _read_tile(page, base_url, tile, rank=num_tiles)
        num_tiles += 1
        if provenance is not None:
            num_results += 1
            yield provenance
    if not num_results and (error := page.changed("no image has a URL") if num_tiles else page.no_results()):
        raise error


def _iterate_tiles(page: Page) -> Iterator[dict[str, Any]]:
    """Yield up to `max_results` tiles in the page's order.

    First scrolls to the end for more. If the page removes tiles that are out of sight, starts over at the top and goes
    through it screen by screen.
    """
    seen: set[str] = set()
    num_tiles, max_results = 0, page.site["max_results"]
    while num_tiles < max_results:
        tiles = page.script(TILES, page.site, num_tiles, max_results)
        yield from tiles
        num_tiles += len(tiles)
        seen.update(tile["key"] for tile in tiles)
        if not _load_more(page, num_tiles):
            break
    if seen <= {tile["key"] for tile in page.script(TILES, page.site, 0, max_results)}:
        return
    page.script("scrollTo(0, 0)")
    at_end = False
    while num_tiles < max_results:
        new = _wait_for_new_tiles(page, seen, page.site["settle"] if at_end else STEP_SECONDS)
        yield from new[: max_results - num_tiles]
        num_tiles += len(new)
        if at_end and not new:
            break
        at_end = not new and page.script(STEP)


def _wait_for_new_tiles(page: Page, seen: set[str], seconds: float) -> list[dict[str, Any]]:
    """Return the tiles on the screen whose keys are not in `seen`, and add them to it; empty after `seconds`."""
    deadline = time.monotonic() + seconds
    new: list[dict[str, Any]] = []
    while not new and time.monotonic() < deadline:
        tiles = page.script(TILES, page.site, 0, page.site["max_results"])
        new = list({tile["key"]: tile for tile in tiles if tile["key"] and tile["key"] not in seen}.values())
        time.sleep(0 if new else 0.1)
    seen.update(tile["key"] for tile in new)
    return new


def _open(page: Page, url: str) -> str:
    """Load the page and answer its consent dialogs; return its final URL."""
    _check_allowed(url, page.context)
    page.load(url)
    for _ in range(_MAX_DIALOGS):
        if not page.script(CONSENT, page.site):
            break
        time.sleep(_DIALOG_SECONDS)
    page.check_captcha()
    _check_allowed(page.window.url, page.context)  # it may be a redirect's target
    return page.window.url


def _is_allowed(url: str, context: SourceContext) -> bool:
    """Return True if robots.txt allows the page. FetchError if it cannot be read, for instance at a private address."""
    return context.downloader.robots(url).allows(url)


def _check_allowed(url: str, context: SourceContext) -> None:
    """Raise FototecaError (exit 4) unless robots.txt and the rule on private addresses allow the page."""
    try:
        is_allowed = _is_allowed(url, context)
    except FetchError as error:
        hint = "pass --allow-loopback to fetch from this machine" if error.reason == "private-address" else "check the URL"
        raise ExternalError(f"{url} cannot be fetched: {error.reason}", hint) from None
    if not is_allowed:
        raise ExternalError(f"robots.txt forbids {url}", "choose another page")


def _load_more(page: Page, num_tiles: int) -> bool:
    """Scroll to the end and wait; return False if no new tiles appear."""
    deadline = time.monotonic() + float(page.site["settle"])
    while time.monotonic() < deadline:
        page.script("window.scrollTo(0, document.body.scrollHeight)")
        if page.script(COUNT, page.site) > num_tiles:
            return True
        time.sleep(0.1)
    page.check_captcha()
    return False


def _read_tile(page: Page, base_url: str, tile: dict[str, Any], rank: int) -> Provenance | None:
    """Return a tile as a candidate: its full image, after a click if needed, else its thumbnail; None without a URL."""
    if not tile["full"] and tile["clickable"]:
        tile = {**tile, **_open_tile(page, tile["index"])}
    url = tile["full"] or tile["thumb"]
    if not url or url.startswith(("data:", "blob:")):
        return None
    return Provenance(
        urljoin(base_url, url),
        "gallery",
        page.query.category,
        query=page.query.text,
        rank=rank,
        page_url=urljoin(base_url, tile["page"] or ""),
        author=tile["author"],
        license=to_spdx(tile["license"]),
        license_found=tile["license"],
        width=tile["width"],
        height=tile["height"],
        thumbnail=not tile["full"],
    )


def _open_tile(page: Page, index: int) -> dict[str, Any]:
    """Click a tile and return the image shown in an overlay or on another page; the page is then restored."""
    url = page.window.url
    page.window.allow_tab()
    link = page.script(CLICK, page.site, index)
    details: dict[str, Any] = {}
    if link:
        details = _read_in_tab(page, link)
    else:
        deadline = time.monotonic() + float(page.site["click"])
        while not details and time.monotonic() < deadline and page.window.url == url and page.window.tabs == 1:
            details = page.script(OVERLAY, page.site) or {}
            time.sleep(0 if details else 0.02)
        if page.window.tabs > 1:
            details = _read_in_tab(page)
        elif page.window.url != url:
            details = _read_page(page)
            page.window.back()
        else:
            page.script(CLOSE, page.site)
    return {key: value for key, value in details.items() if value}


def _read_in_tab(page: Page, url: str = "") -> dict[str, Any]:
    """Return the image of the page at `url`, opened in a new tab, or of the tab that a click has opened."""
    with page.window.tab():
        return _read_page(page, url)


def _read_page(page: Page, url: str = "") -> dict[str, Any]:
    """Return the image of the page at `url`, or of the current page; empty if it fails, so that the thumbnail is used."""
    try:
        if url:
            if not _is_allowed(url, page.context):
                return {}
            page.pause()
            with page.context.downloader.hosts[url].slot():
                page.load(url)
        return _wait_for_detail(page)
    except SourceStoppedError:
        raise
    except (FetchError, FototecaError):
        return {}


def _wait_for_detail(page: Page) -> dict[str, Any]:
    """Return the image of the current page once it is there; empty if robots.txt forbids the page."""
    deadline = time.monotonic() + float(page.site["click"])
    details: dict[str, Any] = {}
    while not details and time.monotonic() < deadline:
        details = page.script(DETAIL, page.site) or {}
        time.sleep(0 if details else 0.05)
    page.check_captcha()
    return details if _is_allowed(page.window.url, page.context) else {}
