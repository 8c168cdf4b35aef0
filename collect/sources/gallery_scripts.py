"""Scripts that the source `gallery` runs in a page; their first argument is the site file."""

from __future__ import annotations

_SITE = """
const site = arguments[0];
const excluded = site.excluded.join(','), image = new RegExp(site.image, 'i');
const images = () => [...document.querySelectorAll('img')].filter(img => !img.closest(excluded));
const within = (box, selectors) => selectors.map(selector => box.querySelector(selector)).find(Boolean);
const text = (box, selectors) => ((within(box, selectors) || {}).innerText || '').trim();
const href = (box, selectors) => (within(box, selectors) || {}).href || '';
const largest = img => {
  const sets = (img.getAttribute('srcset') || '').split(',').map(s => s.trim().split(/\\s+/)).filter(s => s[0]);
  sets.sort((a, b) => parseFloat(b[1] || '1') - parseFloat(a[1] || '1'));
  return sets.length ? sets[0][0] : '';
};
"""

# Press the button of a consent dialog that grants the least; return whether there was one.
CONSENT = (
    _SITE
    + """
const matches = (button, words) => words.test((button.innerText || button.value || '').trim()) && button.getClientRects().length;
for (const box of document.querySelectorAll(site.consent_boxes.join(','))) {
  const buttons = [...box.querySelectorAll('button, [role=button], input[type=submit]')];
  const pressable = site.consent.flatMap(words => buttons.filter(button => matches(button, new RegExp(words, 'i'))));
  if (pressable.length) { pressable[0].click(); return true; }
}
return false;
"""
)

COUNT = _SITE + "return images().length;"

# The tiles in a range of positions: images inside a link or with data attributes, and plain images.
TILES = (
    _SITE
    + """
return images().slice(arguments[1], arguments[2]).map((img, index) => {
  const link = img.closest('a[href]'), holder = img.closest(site.full.map(name => `[${name}]`).join(','));
  const attribute = name => (holder && holder.getAttribute(name)) || '';
  const figure = img.closest('figure, article, li, a, div') || img;
  const linked = link && image.test(link.href), clickable = Boolean(link || img.closest('button, [role=button]'));
  const thumb = [img.currentSrc, img.src, img.dataset.src].find(src => src && !/^(data|blob):/.test(src)) || '';
  const full = site.full.map(attribute).find(Boolean) || (linked ? link.href : '') || largest(img) || (clickable ? '' : thumb);
  const page = link && !linked ? link.href : '';
  return {
    index: arguments[1] + index, thumb, clickable, full, page,
    key: full || (page.split('#')[0] !== location.href.split('#')[0] ? page : '') || thumb,
    author: attribute('data-author') || text(figure, site.author),
    license: href(figure, site.license) || attribute('data-license'),
    width: parseInt(attribute('data-width')) || null, height: parseInt(attribute('data-height')) || null,
  };
});
"""
)

# Scroll down by one screen; return whether the page was at its end.
STEP = "const before = scrollY; scrollBy(0, innerHeight * 0.8); return scrollY === before;"

# Click a tile. A link that the page's own scripts do not handle is not followed, so that the page stays; its URL is returned.
CLICK = (
    _SITE
    + """
const target = images()[arguments[1]];
if (!target) return '';
let followed = '';
const keep = event => {
  if (event.defaultPrevented) return;
  event.preventDefault();
  followed = (event.target.closest('a[href]') || {}).href || '';
};
addEventListener('click', keep);
(target.closest('a, button, [role=button]') || target).click();
removeEventListener('click', keep);
const base = url => url.split('#')[0];
return /^https?:/.test(followed) && base(followed) !== base(location.href) ? followed : '';
"""
)

# The overlay that a click opened: its large image, author, license and page.
OVERLAY = (
    _SITE
    + """
const boxes = [...document.querySelectorAll(site.overlays.join(','))].filter(box => box.getClientRects().length);
const box = boxes.find(box => box.querySelector('img[src]'));
if (!box) return null;
const full = within(box, site.large) || [...box.querySelectorAll('img[src]')].pop();
return {full: full.src, author: text(box, site.author), license: href(box, site.license), page: href(box, site.page)};
"""
)

# The page of one image: an image marked as large, else its largest image, else its preview for other sites.
DETAIL = (
    _SITE
    + """
const size = img => img.naturalWidth * img.naturalHeight;
const visible = images().filter(img => img.src.startsWith('http') && img.getClientRects().length);
const marked = visible.find(img => site.large.some(selector => img.matches(selector)));
const img = marked || visible.sort((a, b) => size(b) - size(a))[0];
const link = img && img.closest('a[href]');
const preview = within(document, site.preview) || {};
const full = img ? (link && image.test(link.href) ? link.href : largest(img) || img.src) : preview.content || preview.href;
return full && {full: new URL(full, location.href).href, page: location.href,
                author: text(document, site.author), license: href(document, site.license)};
"""
)

CLOSE = (
    _SITE
    + """
document.dispatchEvent(new KeyboardEvent('keydown', {key: 'Escape', bubbles: true}));
const close = within(document, site.close);
if (close && close.offsetParent !== null) close.click();
"""
)
