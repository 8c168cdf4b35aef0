"""Wikimedia Commons: free pictures with their authors and licences, through the MediaWiki interface."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from collect.catalog import Finding
from collect.licenses import to_spdx
from collect.sources import Context, Query
from collect.sources.numbered import read_items


def search(query: Query, context: Context) -> Iterator[Finding]:
    """Results by relevance, pictures wider than the site file's `width` as thumbnails of that width.

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
        answer = web.json(site["endpoint"], {**asked, **onward})
        if not isinstance(answer, dict) or "error" in answer:
            raise web.changed(str(answer["error"].get("code", "error")) if isinstance(answer, dict) else "it is no object")
        pages = sorted((answer.get("query") or {}).get("pages") or [], key=lambda page: page.get("index", 0))
        for _, finding in read_items(web, pages, _read):
            yield replace(finding, category=query.category, query=query.text)
        seen += len(pages)
        onward = answer.get("continue") or {}
        if not onward:
            return


def _read(page: Mapping[str, Any]) -> Finding:
    info = page["imageinfo"][0]
    facts = info.get("extmetadata") or {}
    found = _fact(facts, "LicenseUrl") or _fact(facts, "LicenseShortName")
    small = bool(info.get("thumburl"))
    return Finding(
        info["thumburl"] if small else info["url"],
        "commons",
        rank=int(page["index"]) - 1,
        page_url=info.get("descriptionurl") or "",
        author=_fact(facts, "Artist"),
        license=to_spdx(found) if to_spdx(found) != "unknown" else to_spdx(_fact(facts, "LicenseShortName")),
        license_found=found,
        width=info.get("thumbwidth" if small else "width"),
        height=info.get("thumbheight" if small else "height"),
    )


def _fact(facts: Mapping[str, Any], name: str) -> str:
    """A field of extmetadata without its HTML."""
    value = str((facts.get(name) or {}).get("value") or "")
    return html.unescape(re.sub(r"<[^>]*>", "", value)).strip()
