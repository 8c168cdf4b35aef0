"""Searching until the targets are reached: every category, source after source, query after query, page after page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from collect.catalog import Catalog, Finding
from collect.download import FetchOptions
from collect.engine import Summary, collect
from collect.licenses import allows_commercial
from collect.sources import Context, Query, get_source
from workspace import Category, FototecaError, Workspace


@dataclass(frozen=True)
class SearchOptions:
    """What to search, and for how long."""

    sources: tuple[str, ...]
    """Asked in this order; the next one when one runs dry."""

    categories: tuple[str, ...] = ()
    """Names; all when empty."""

    limit: int | None = None
    """Candidates per category and source; without it until the target is reached."""

    license: str = "any"
    """`any`, or `commercial`: only what is known to permit commercial use."""

    headed: bool = False
    """Show the browser."""

    url: str = ""
    """The page of the source `gallery`."""

    def __post_init__(self) -> None:
        """Refuse a licence filter that does not exist."""
        if self.license not in ("any", "commercial"):
            raise FototecaError(f"--license is {self.license!r}", "choose any or commercial")


def search(workspace: Workspace, options: SearchOptions, fetch: FetchOptions) -> Summary:
    """Collect until each category has its target of accepted images or the sources run dry."""
    context = Context(fetch, workspace.settings.contact, options.headed)
    try:
        with Catalog.open(workspace) as catalog:
            return collect(workspace, planned(workspace, catalog, options, context), fetch)
    finally:
        context.close()


def preview(workspace: Workspace, options: SearchOptions, fetch: FetchOptions) -> dict[str, dict[str, Any]]:
    """What a search would fetch: per category the candidates, their licences and announced sizes. Downloads no picture."""
    context = Context(fetch, workspace.settings.contact, options.headed)
    found: dict[str, dict[str, Any]] = {}
    try:
        with Catalog.open(workspace) as catalog:
            for finding in planned(workspace, catalog, options, context):
                row = found.setdefault(
                    finding.category, {"candidates": 0, "thumbnails": 0, "licenses": Counter(), "sizes": Counter()}
                )
                row["candidates"] += 1
                row["thumbnails"] += finding.thumbnail
                row["licenses"][finding.license] += 1
                row["sizes"][f"{finding.width}×{finding.height}" if finding.width else "unknown"] += 1
    finally:
        context.close()
    return found


def planned(workspace: Workspace, catalog: Catalog, options: SearchOptions, context: Context) -> Iterator[Finding]:
    """Findings in the order in which they are wanted; what an earlier, killed search had found comes first."""
    settings = workspace.settings
    searches = {name: get_source(name) for name in options.sources}
    names = [settings.check(name) for name in options.categories] or settings.names
    for category in (category for category in settings.categories if category.name in names):
        for find in searches.values():
            for query in _queries(category, options):
                for finding in islice(find(query, context), options.limit):
                    if _enough(catalog, category.name, settings.target):
                        break
                    if options.license == "any" or allows_commercial(finding.license):
                        yield finding


def _queries(category: Category, options: SearchOptions) -> Iterator[Query]:
    for text in category.queries:
        yield Query(category.name, text, options.limit, options.url)


def _enough(catalog: Catalog, category: str, target: int) -> bool:
    """Whether the category has its target of images that are neither rejected nor set aside."""
    count = catalog.connection.execute(
        "SELECT count(*) FROM images i LEFT JOIN groups g USING (image_id)"
        " WHERE label = ? AND rejected = '' AND (keep OR coalesce(g.kept, 1))",
        (category,),
    ).fetchone()[0]
    return bool(count >= target)
