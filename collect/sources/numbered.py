"""What sources share whose interface gives numbered pages of results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from collect.catalog import Finding
from collect.sources import Context, Query
from collect.web import Web

Read = Callable[[Mapping[str, Any]], Finding]
"""Makes a finding of one result: address, page, author, rights, size. KeyError, TypeError or ValueError when it cannot."""


def search_pages(
    name: str,
    query: Query,
    context: Context,
    read: Read,
    *,
    params: Mapping[str, str | int] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Iterator[Finding]:
    """Page after page as the source's site file says, until the results or the source's own bound are reached."""
    site, web = context.site(name), context.web(name)
    fixed = {**site["parameters"], **(site.get("commercial", {}) if query.commercial else {}), **(params or {})}
    rank = 0
    for number in range(1, site["most"] // site["page_size"] + 2):
        answer = web.json(site["endpoint"], {**fixed, site["query"]: query.text, site["page"]: number}, headers=headers)
        items, total = at(web, answer, site["items"]), at(web, answer, site["total"])
        if not items and number == 1 and int(total):
            raise web.changed(f"{total} results, of which none is shown")
        for offset, finding in read_items(web, items, read):
            yield replace(finding, source=name, category=query.category, query=query.text, rank=rank + offset)
        rank += len(items)
        if not items or rank >= min(int(total), site["most"]):
            return


def at(web: Web, answer: object, path: str) -> Any:  # noqa: ANN401 - whatever the service answers
    """What lies at a dotted path of an answer. FototecaError when nothing does."""
    value = answer
    for name in path.split("."):
        if not isinstance(value, dict) or name not in value:
            raise web.changed(f"it has no {path!r}")
        value = value[name]
    return value


def read_items(web: Web, items: object, read: Read) -> Iterator[tuple[int, Finding]]:
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


def first_of(item: Mapping[str, Any], names: list[str]) -> str:
    """The first of several fields that is there. KeyError names the first when none is."""
    for name in names:
        if item.get(name):
            return str(item[name])
    raise KeyError(names[0])
