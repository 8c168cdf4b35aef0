"""Wikimedia Commons: free images with their authors and licences, through the MediaWiki interface."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from fototeca.collect.api.client import Web
from fototeca.collect.api.json_fields import count, dig, needed, rows, text
from fototeca.collect.catalog import Provenance
from fototeca.collect.http.client import TRIES
from fototeca.collect.http.throttle import parse_retry_after
from fototeca.collect.licenses import UNKNOWN, to_spdx
from fototeca.collect.sites import Site
from fototeca.collect.sources import Context, Query
from fototeca.collect.sources.metadata import SourceInfo
from fototeca.collect.sources.paginated import read_items
from fototeca.core.errors import EXIT_OUTSIDE, FototecaError

INFO = SourceInfo(
    "commons",
    "interface",
    "a contact in fototeca.toml (Wikimedia's User-Agent policy)",
    "one request at a time, two images at once; images come 1,280 pixels wide",
    "each image's own: free licences and public domain, with the author",
    "attribution as each licence asks; see: fototeca collect attribution",
    contact=True,
)


def search(query: Query, context: Context) -> Iterator[Provenance]:
    """Results by relevance, images wider than the site file's `width` as thumbnails of that width.

    FototecaError (exit 4) when Commons does not answer as it should.
    """
    site, web = context.site("commons"), context.web("commons")
    asked: dict[str, str | int] = {
        **site["parameters"],
        "iiurlwidth": site["width"],
        site["query"]: site["prefix"] + query.text,
    }
    onward: Mapping[str, str | int] = {}
    seen = 0
    while seen < site["most"]:
        answer = _answer(web, site, {**asked, **onward})
        pages = sorted(_pages(web, answer), key=lambda page: count(page, "index") or 0)
        for _, finding in read_items(web, pages, _read):
            yield replace(finding, category=query.category, query=query.text)
        seen += len(pages)
        onward = _onward(answer)
        if not onward or not pages:
            return


def _answer(web: Web, site: Site, asked: Mapping[str, str | int]) -> Any:  # noqa: ANN401 - whatever the service answers
    """What Commons answers; while it says that its servers are busy it is left alone for as long as it wants."""
    for _ in range(TRIES):
        answer, headers = web.answer(site["endpoint"], asked)
        code = text(answer, "error", "code")
        if code not in site["busy"]:
            break
        web.wait(site["endpoint"], parse_retry_after(headers.get("Retry-After")) or site["busy_wait"])
    else:
        raise FototecaError(f"commons is busy: {code}", "try again later", EXIT_OUTSIDE)
    if code:
        raise web.changed(code)
    return answer


def _pages(web: Web, answer: object) -> list[dict[str, Any]]:
    """The files; none only where Commons says that the answer is complete without any."""
    if dig(answer, "query") is None and dig(answer, "batchcomplete") is True:
        return []
    return rows(web, answer, "query", "pages")


def _onward(answer: object) -> dict[str, str | int]:
    """How the search goes on."""
    found = dig(answer, "continue")
    return {name: value for name, value in found.items() if isinstance(value, str | int)} if isinstance(found, dict) else {}


def _read(page: Mapping[str, Any]) -> Provenance:
    info = dig(page, "imageinfo", 0)
    facts = dig(info, "extmetadata")
    found = _fact(facts, "LicenseUrl") or _fact(facts, "LicenseShortName")
    small = bool(text(info, "thumburl"))
    return Provenance(
        text(info, "thumburl") or needed(info, "url"),
        "commons",
        rank=int(needed(page, "index")) - 1,
        page_url=text(info, "descriptionurl"),
        author=_fact(facts, "Artist"),
        license=to_spdx(found) if to_spdx(found) != UNKNOWN else to_spdx(_fact(facts, "LicenseShortName")),
        license_found=found,
        width=count(info, "thumbwidth" if small else "width"),
        height=count(info, "thumbheight" if small else "height"),
    )


def _fact(facts: object, name: str) -> str:
    """A field of extmetadata without its HTML."""
    return html.unescape(re.sub(r"<[^>]*>", "", text(facts, name, "value"))).strip()
