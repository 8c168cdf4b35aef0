"""What sources share whose interface gives numbered pages of results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

from fototeca.collect.api.client import Web
from fototeca.collect.api.json_fields import dig, number
from fototeca.collect.catalog import Provenance
from fototeca.collect.sources import Context, Query

Read = Callable[[Mapping[str, Any]], Provenance]
"""Makes a finding of one result: address, page, author, rights, size. KeyError, TypeError or ValueError when it cannot."""


def search_pages(
    name: str,
    query: Query,
    context: Context,
    read: Read,
    *,
    params: Mapping[str, str | int] | None = None,
    headers: Mapping[str, str] | None = None,
    check: Callable[[Web, Any], None] | None = None,
) -> Iterator[Provenance]:
    """Page after page as the source's site file says, until the results or the source's own bound are reached.

    `check` looks at each answer first and raises what it says is wrong.
    """
    most = context.site(name)["most"]
    return islice(_pages(name, query, context, read, {**(params or {})}, {**(headers or {})}, check), most)


def _pages(
    name: str,
    query: Query,
    context: Context,
    read: Read,
    params: Mapping[str, str | int],
    headers: Mapping[str, str],
    check: Callable[[Web, Any], None] | None,
) -> Iterator[Provenance]:
    site, web = context.site(name), context.web(name)
    fixed = {**site["parameters"], **(site.get("commercial", {}) if query.commercial else {}), **params}
    rank = 0
    for page in range(1, site["most"] // site["page_size"] + 2):
        answer = web.json(site["endpoint"], {**fixed, site["query"]: query.text, site["page"]: page}, headers=headers)
        if check:
            check(web, answer)
        items, total = at(web, answer, site["items"]), number(web, answer, *site["total"].split("."))
        if not items and page == 1 and total:
            raise web.changed(f"{total} results, of which none is shown")
        for offset, finding in read_items(web, items, read):
            yield replace(finding, source=name, category=query.category, query=query.text, rank=rank + offset)
        rank += len(items)
        if not items or rank >= min(total, site["most"]):
            return


def at(web: Web, answer: object, path: str) -> Any:  # noqa: ANN401 - whatever the service answers
    """What lies at a dotted path of an answer. FototecaError when nothing does."""
    found = dig(answer, *path.split("."))
    if found is None:
        raise web.changed(f"it has no {path!r}")
    return found


def read_items(web: Web, items: object, read: Read) -> Iterator[tuple[int, Provenance]]:
    """Each result that can be read, with its place. FototecaError when there are results and none can be read."""
    if not isinstance(items, list):
        raise web.changed("the results are no list")
    problem, count = "", 0
    for place, item in enumerate(items):
        try:
            finding = read(item)
        except (KeyError, TypeError, ValueError) as error:
            problem = f"a result has no usable {error}"
            continue
        count += 1
        yield place, finding
    if items and not count:
        raise web.changed(problem)
