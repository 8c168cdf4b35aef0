"""Sources whose API returns numbered pages of results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

from fototeca.collect.api.client import ServiceClient
from fototeca.collect.api.json_fields import get_path, require_int
from fototeca.collect.catalog import Provenance
from fototeca.collect.sources import Query, SourceContext

Read = Callable[[Mapping[str, Any]], Provenance]
"""Converts one result: URL, page, author, license, size. KeyError, TypeError or ValueError if the result lacks a field."""

Check = Callable[[ServiceClient, Any], None]
"""Raises FototecaError for a parsed response that reports an error."""


def search_pages(
    name: str,
    query: Query,
    context: SourceContext,
    read: Read,
    *,
    params: Mapping[str, str | int] | None = None,
    headers: Mapping[str, str] | None = None,
    check: Check | None = None,
) -> Iterator[Provenance]:
    """Yield results page by page, up to the `max_results` of the source's site file.

    Args:
        name: the source.
        query: what to search.
        context: shared by the sources of a run.
        read: converts one result.
        params: further parameters of the URL.
        headers: further request headers.
        check: called with each response first.

    Raises:
        FototecaError: (exit 4) a request failed, or the response is not as the site file describes it.
    """
    max_results = context.site(name)["max_results"]
    return islice(_search_pages(name, query, context, read, {**(params or {})}, {**(headers or {})}, check), max_results)


def _search_pages(
    name: str,
    query: Query,
    context: SourceContext,
    read: Read,
    params: Mapping[str, str | int],
    headers: Mapping[str, str],
    check: Check | None,
) -> Iterator[Provenance]:
    site, client = context.site(name), context.client(name)
    parameters = {**site["parameters"], **(site.get("commercial", {}) if query.commercial else {}), **params}
    rank = 0
    for page in range(1, site["max_results"] // site["page_size"] + 2):
        page_parameters = {**parameters, site["query"]: query.text, site["page"]: page}
        document = client.fetch_json(site["endpoint"], page_parameters, headers=headers)
        if check:
            check(client, document)
        items = require_path(client, document, site["items"])
        total = require_int(client, document, *site["total"].split("."))
        if not items and page == 1 and total:
            raise client.unexpected_response(f"{total} results, none of them in the response")
        for position, provenance in read_items(client, items, read):
            yield replace(provenance, source=name, category=query.category, query=query.text, rank=rank + position)
        rank += len(items)
        if not items or rank >= min(total, site["max_results"]):
            return


def require_path(client: ServiceClient, document: object, path: str) -> Any:  # noqa: ANN401 - JSON
    """Return the value at a dotted path of a response. FototecaError (exit 4) if there is none."""
    value = get_path(document, *path.split("."))
    if value is None:
        raise client.unexpected_response(f"no field {path!r}")
    return value


def read_items(client: ServiceClient, items: object, read: Read) -> Iterator[tuple[int, Provenance]]:
    """Yield each result that `read` accepts, with its position. FototecaError (exit 4) if it accepts none of them."""
    if not isinstance(items, list):
        raise client.unexpected_response("the results are not a list")
    problem, num_read = "", 0
    for position, item in enumerate(items):
        try:
            provenance = read(item)
        except (KeyError, TypeError, ValueError) as error:
            problem = f"a result has no usable {error}"
            continue
        num_read += 1
        yield position, provenance
    if items and not num_read:
        raise client.unexpected_response(problem)
