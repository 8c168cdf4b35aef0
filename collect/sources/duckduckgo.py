"""DuckDuckGo Images in a real browser: the page's token, then the list of results that the page's own script would request."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

from fototeca.collect.api.json_fields import get_int
from fototeca.collect.catalog import Provenance
from fototeca.collect.sources import Query, SourceContext
from fototeca.collect.sources.browser_page import ResultsPage, get_first_text
from fototeca.collect.sources.metadata import NO_LICENSE, SEARCH_TERMS, SourceInfo

INFO = SourceInfo(
    "duckduckgo",
    "browser",
    "nothing",
    "a few hundred images a query",
    NO_LICENSE,
    f"DuckDuckGo Images; {SEARCH_TERMS}",
)

_FETCH = """
const request = new XMLHttpRequest();
request.open('GET', arguments[0], false);
request.send();
return [request.status, request.responseText];
"""


def search(query: Query, context: SourceContext) -> Iterator[Provenance]:
    """Yield results list by list. FototecaError (exit 4) if the token or the list is missing, or there is a CAPTCHA."""
    page = ResultsPage("duckduckgo", query, context)
    site = page.site
    page.open()
    token = _find_token(page)
    url = f"{site['list']}?{urlencode({**site['list_parameters'], site['query']: query.text, 'vqd': token})}"
    rank = 0
    while url and rank < site["max_results"]:
        document = _fetch_list(page, url)
        results = document["results"]
        if not results and not rank and (error := page.no_results()):
            raise error
        provenances = [
            provenance for position, result in enumerate(results) if (provenance := _read(page, result, rank + position))
        ]
        if results and not provenances:
            raise page.changed("no result has a URL")
        yield from provenances
        rank += len(results)
        url = _next_url(url, document, token) if results else ""
        page.pause()


def _find_token(page: ResultsPage) -> str:
    source = page.window.source
    for pattern in page.site["token"]:
        if match := re.search(pattern, source):
            return str(match[1])
    raise page.changed("the page contains no token")


def _fetch_list(page: ResultsPage, url: str) -> dict[str, Any]:
    """Return a list of results, requested by a script in the page."""
    status, text = page.script(_FETCH, urljoin(page.site["endpoint"], url))
    if status != 200:
        page.check_captcha()
        raise page.changed(f"the list of results has status {status}")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or not isinstance(document.get("results"), list):
        raise page.changed("the list of results is not a list")
    return document


def _next_url(url: str, document: Mapping[str, Any], token: str) -> str:
    """Return the URL of the next list, with the token that DuckDuckGo leaves out there; empty at the end."""
    next_url = str(document.get("next") or "")
    if not next_url:
        return ""
    parameters = {**dict(parse_qsl(urlsplit(url).query)), **dict(parse_qsl(urlsplit(next_url).query)), "vqd": token}
    return f"{urlsplit(next_url).path}?{urlencode(parameters)}"


def _read(page: ResultsPage, result: object, rank: int) -> Provenance | None:
    """Return a result as a candidate; None without a URL."""
    site, query = page.site, page.query
    if not isinstance(result, dict):
        return None
    url, thumbnail = get_first_text(result, site["url"]), get_first_text(result, site["thumbnail"])
    if not url and not thumbnail:
        return None
    return Provenance(
        url or thumbnail,
        "duckduckgo",
        query.category,
        query=query.text,
        rank=rank,
        page_url=get_first_text(result, site["page_url"]),
        width=get_int(result, "width") if url else None,
        height=get_int(result, "height") if url else None,
        thumbnail=not url,
    )
