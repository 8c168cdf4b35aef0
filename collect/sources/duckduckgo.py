"""DuckDuckGo Images in a real browser: the page's token, then the list that the page itself would ask for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

from fototeca.collect.api.json_fields import count
from fototeca.collect.catalog import Provenance
from fototeca.collect.sources import Context, Query
from fototeca.collect.sources.browser_page import ResultsPage, first
from fototeca.collect.sources.metadata import ENGINE, SEARCHING, SourceInfo

INFO = SourceInfo(
    "duckduckgo",
    "browser",
    "nothing",
    "a few hundred images a query",
    ENGINE,
    f"DuckDuckGo Images; {SEARCHING}",
)

_FETCH = """
const answer = new XMLHttpRequest();
answer.open('GET', arguments[0], false);
answer.send();
return [answer.status, answer.responseText];
"""


def search(query: Query, context: Context) -> Iterator[Provenance]:
    """Results list after list. FototecaError (exit 4) when the token or the list is not where it should be."""
    page = ResultsPage("duckduckgo", query, context)
    site = page.site
    page.open()
    token = _token(page)
    address = f"{site['list']}?{urlencode({**site['list_parameters'], site['query']: query.text, 'vqd': token})}"
    rank = 0
    while address and rank < site["most"]:
        answer = _list(page, address)
        results = answer["results"]
        if not results and not rank and (error := page.nothing()):
            raise error
        findings = [finding for place, item in enumerate(results) if (finding := _finding(page, item, rank + place))]
        if results and not findings:
            raise page.changed("no result has an address")
        yield from findings
        rank += len(results)
        address = _next(address, answer, token) if results else ""
        page.pause()


def _token(page: ResultsPage) -> str:
    text = page.window.source
    for pattern in page.site["token"]:
        if found := re.search(pattern, text):
            return str(found[1])
    raise page.changed("the page holds no token")


def _list(page: ResultsPage, address: str) -> dict[str, Any]:
    status, text = page.script(_FETCH, urljoin(page.site["endpoint"], address))
    if status != 200:
        page.check_stop()
        raise page.changed(f"the list of results is answered with {status}")
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict) or not isinstance(answer.get("results"), list):
        raise page.changed("the list of results is no list")
    return answer


def _next(address: str, answer: Mapping[str, Any], token: str) -> str:
    """Where the list goes on, with the token that DuckDuckGo leaves out there."""
    onward = str(answer.get("next") or "")
    if not onward:
        return ""
    asked = {**dict(parse_qsl(urlsplit(address).query)), **dict(parse_qsl(urlsplit(onward).query)), "vqd": token}
    return f"{urlsplit(onward).path}?{urlencode(asked)}"


def _finding(page: ResultsPage, item: object, rank: int) -> Provenance | None:
    site, query = page.site, page.query
    if not isinstance(item, dict):
        return None
    url, thumbnail = first(item, site["url"]), first(item, site["thumbnail"])
    if not url and not thumbnail:
        return None
    return Provenance(
        url or thumbnail,
        "duckduckgo",
        query.category,
        query=query.text,
        rank=rank,
        page_url=first(item, site["page_url"]),
        width=count(item, "width") if url else None,
        height=count(item, "height") if url else None,
        thumbnail=not url,
    )
