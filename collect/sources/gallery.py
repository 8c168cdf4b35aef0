"""Any page of pictures, as a person would use it: consent, scrolling to the end, the full picture instead of the thumbnail."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urljoin

from collect.catalog import Finding
from collect.licenses import to_spdx
from collect.sources import Context, Query
from workspace import EXIT_OUTSIDE, FototecaError

if TYPE_CHECKING:
    from collect.browser import Browser

CLICK_SECONDS = 4.0
"""How long a page may take to show the full picture after a click; then there is only the thumbnail."""

SETTLE_SECONDS = 1.5
"""How long a page may take to show more after scrolling to its end; then it has no more."""

# A dialog's button that lets one go on; the least that is asked for comes first.
_CONSENT = """
const least = /^(reject all|only necessary|rechazar todo|solo necesarias)$/i;
const words = /^(accept( all)?|agree|i agree|ok|got it|aceptar( todo)?|acepto)$/i;
const boxes = '[role=dialog], dialog[open], [aria-modal=true], [id*=consent i], [class*=consent i]';
for (const box of document.querySelectorAll(boxes)) {
  const buttons = [...box.querySelectorAll('button, [role=button], input[type=submit]')];
  const says = (b, list) => list.test((b.innerText || b.value || '').trim()) && b.getClientRects().length > 0;
  const fitting = [...buttons.filter(b => says(b, least)), ...buttons.filter(b => says(b, words))];
  if (fitting.length) { fitting[0].click(); return true; }
}
return false;
"""

# The pictures that are results: not those of dialogs, of the lightbox, or of the page's own furniture.
_PICTURES = """
const furniture = '[role=dialog], figure.lightbox, header, footer, nav';
const pictures = () => [...document.querySelectorAll('img')].filter(img => !img.closest(furniture));
"""

# Every tile from the given one on: a picture inside a link or with data of its own, and plain large pictures.
_TILES = (
    _PICTURES
    + """
const picture = /\\.(jpe?g|png|webp|gif|avif|bmp|tiff?)([?#]|$)/i;
const largest = img => {
  const sets = (img.getAttribute('srcset') || '').split(',').map(s => s.trim().split(/\\s+/)).filter(s => s[0]);
  sets.sort((a, b) => parseFloat(b[1] || '1') - parseFloat(a[1] || '1'));
  return sets.length ? sets[0][0] : '';
};
const images = pictures();
return images.slice(arguments[0]).map((img, index) => {
  const link = img.closest('a[href]'), holder = img.closest('[data-full], [data-src-full], [data-original]');
  const data = holder ? holder.dataset : {};
  const figure = img.closest('figure, article, li, a, div') || img;
  const license = (figure.querySelector('a[rel~=license]') || {}).href || data.license || '';
  return {
    index: arguments[0] + index,
    full: data.full || data.srcFull || data.original || (link && picture.test(link.href) ? link.href : '') || largest(img),
    thumb: img.currentSrc || img.src || img.dataset.src || '',
    page: link && !picture.test(link.href) ? link.href : '',
    clickable: Boolean(link || img.closest('button, [role=button]')),
    author: data.author || ((figure.querySelector('.author, [rel~=author]') || {}).innerText || ''),
    license, width: parseInt(data.width) || null, height: parseInt(data.height) || null,
  };
});
"""
)

_CLICK = (
    _PICTURES
    + """
const images = pictures();
const target = images[arguments[0]];
if (!target) return false;
(target.closest('a, button, [role=button]') || target).click();
return true;
"""
)

# The overlay that a click opened: its largest picture and what stands beside it.
_OVERLAY = """
const kinds = 'figure.lightbox, [role=dialog][open], dialog[open], [aria-modal=true], [class*=lightbox i], [class*=modal i]';
const boxes = [...document.querySelectorAll(kinds)].filter(box => box.getClientRects().length);
const box = boxes.find(box => box.querySelector('img[src]'));
if (!box) return null;
const images = [...box.querySelectorAll('img')].filter(img => img.src);
const full = images.find(img => /full|large|original/i.test(img.className)) || images[images.length - 1];
const text = selector => ((box.querySelector(selector) || {}).innerText || '').trim();
return {full: full.src, author: text('.author, [rel~=author]'), license: (box.querySelector('a[rel~=license]') || {}).href || '',
        page: (box.querySelector('a.page, a[rel~=bookmark]') || {}).href || ''};
"""

_CLOSE = """
document.dispatchEvent(new KeyboardEvent('keydown', {key: 'Escape', bubbles: true}));
const close = document.querySelector('figure.lightbox button, [aria-label=Close], [aria-label=Cerrar]');
if (close && close.offsetParent !== null) close.click();
"""


def search(query: Query, context: Context) -> Iterator[Finding]:
    """Every picture of the page, in its order; more are asked for only as they are taken.

    FototecaError (exit 4) when the page does not load, when robots.txt forbids it, or when it shows no picture at all.
    """
    address = query.url.replace("{query}", quote(query.text))
    _permitted(address, context)
    browser = context.browser
    _open(browser, address)
    taken = 0
    while True:
        tiles = _script(browser, _TILES, taken)
        for tile in tiles:
            finding = _finding(browser, address, query, tile)
            if finding is not None:
                yield finding
        taken += len(tiles)
        if not _more(browser, taken):
            break
    if not taken and not _script(browser, "return Boolean(document.querySelector('.empty, #empty, .no-results'))"):
        raise FototecaError(
            f"{address} shows no picture", "open it with --headed and look; the page may have changed", EXIT_OUTSIDE
        )


def _permitted(address: str, context: Context) -> None:
    """robots.txt and the private-address rule hold for the page as for its pictures."""
    from collect.download import FetchError

    try:
        allowed = context.downloader.robots(address).allows(address)
    except FetchError as error:
        hint = "pass --allow-local to fetch from this machine" if error.reason == "private-address" else "check the address"
        raise FototecaError(f"{address} cannot be asked: {error.reason}", hint, EXIT_OUTSIDE) from None
    if not allowed:
        raise FototecaError(f"robots.txt forbids {address}", "choose another page", EXIT_OUTSIDE)


def _open(browser: Browser, address: str) -> None:
    from collect.browser import load

    load(browser, address)
    for _ in range(3):  # a page may ask twice
        if not _script(browser, _CONSENT):
            break
        time.sleep(0.3)


def _script(browser: Browser, script: str, *arguments: object) -> Any:  # noqa: ANN401 - whatever the page answers
    from collect.browser import run_script

    return run_script(browser, script, *arguments)


def _more(browser: Browser, taken: int) -> bool:
    """Scroll to the end and wait for new tiles; False when nothing came."""
    count = _PICTURES + "return pictures().length;"
    deadline = time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < deadline:
        _script(browser, "window.scrollTo(0, document.body.scrollHeight)")
        if _script(browser, count) > taken:
            return True
        time.sleep(0.1)
    return False


def _finding(browser: Browser, address: str, query: Query, tile: dict[str, Any]) -> Finding | None:
    """A tile as a finding: its full picture, by a click where the tile does not tell, else its thumbnail, marked as such."""
    if not tile["full"] and tile["clickable"]:
        tile = {**tile, **_opened(browser, tile["index"])}
    url = tile["full"] or tile["thumb"]
    if not url or url.startswith(("data:", "blob:")):
        return None
    return Finding(
        urljoin(address, url),
        "gallery",
        query.category,
        query=query.text,
        rank=tile["index"],
        page_url=urljoin(address, tile["page"] or ""),
        author=tile["author"],
        license=to_spdx(tile["license"]),
        license_found=tile["license"],
        width=tile["width"],
        height=tile["height"],
        thumbnail=not tile["full"],
    )


def _opened(browser: Browser, index: int) -> dict[str, Any]:
    """What a click on a tile shows; the page is left as it was."""
    before = browser.current_url
    _script(browser, _CLICK, index)
    shown: dict[str, Any] = {}
    deadline = time.monotonic() + CLICK_SECONDS
    while not shown and time.monotonic() < deadline:
        shown = _script(browser, _OVERLAY) or {}
        time.sleep(0 if shown else 0.02)
    if browser.current_url != before:
        browser.back()
    else:
        _script(browser, _CLOSE)
    return {key: value for key, value in shown.items() if value}
