"""Searching until the targets are reached: every category, source after source, query after query, page after page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from fototeca.collect.api.client import SourceStoppedError
from fototeca.collect.catalog import Catalog, Provenance
from fototeca.collect.http.client import FetchOptions
from fototeca.collect.http.urls import candidate_key, url_key
from fototeca.collect.ingest.pipeline import IngestPipeline
from fototeca.collect.ingest.summary import Summary
from fototeca.collect.ingest.targets import Targets
from fototeca.collect.licenses import allows_commercial
from fototeca.collect.sources import Query, SourceContext, get_source, load_sources
from fototeca.core.console import notify
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace

PLENTY = 3
"""Candidates that a dry run looks for, over the images that a category lacks: some of them would not be accepted."""


@dataclass(frozen=True)
class SearchOptions:
    """What to search, and for how long."""

    sources: tuple[str, ...]
    """Asked in this order; the next one when one runs dry."""

    categories: tuple[str, ...] = ()
    """Names; all when empty."""

    limit: int | None = None
    """Candidates per query and source; without it until the target is reached."""

    license: str = "any"
    """`any`; `commercial`: only what is known to permit commercial use; `claimed`: also what an engine only claims to."""

    headed: bool = False
    """Show the browser."""

    url: str = ""
    """The page of the source `gallery`."""

    def __post_init__(self) -> None:
        """Refuse a licence filter that does not exist."""
        if self.license not in ("any", "commercial", "claimed"):
            raise FototecaError(f"--license is {self.license!r}", "choose any, commercial or claimed")

    def takes(self, source: str, license_id: str) -> bool:
        """Whether an image of a source under this licence is wanted."""
        if self.license == "any" or allows_commercial(license_id):
            return True
        return self.license == "claimed" and not load_sources()[source].states_license


def search(workspace: Workspace, options: SearchOptions, fetch: FetchOptions) -> Summary:
    """Collect until each category has its target of accepted images or the sources run dry.

    A source that cannot be asked is a line in the summary's `problems`, and the next one is asked. FototecaError when a
    source lacks what it needs, or when none could be asked.
    """
    _check_needs(workspace, options)
    context = SourceContext(workspace, fetch, options.headed)
    try:
        with Catalog.open(workspace) as catalog:
            collection = IngestPipeline(workspace, catalog, fetch, context.downloader)
            search = _Search(context, options, collection.targets, collection.summary)
            return collection.run(search.findings())
    finally:
        context.close()


def preview(workspace: Workspace, options: SearchOptions, fetch: FetchOptions) -> dict[str, dict[str, Any]]:
    """What a search would fetch: per category the candidates, their licences and announced sizes. Downloads no image.

    It ends, as a search would at its target, once a category has PLENTY times the candidates that it lacks images.
    """
    _check_needs(workspace, options)
    context = SourceContext(workspace, fetch, options.headed)
    found: dict[str, dict[str, Any]] = {}
    seen: set[tuple[str, str]] = set()
    try:
        with Catalog.open(workspace) as catalog:
            search = _Search(context, options, Targets(catalog, workspace.settings.target), Summary())
            for finding in search.findings():
                assert finding is not None, "nothing is in flight"
                place = finding.category, candidate_key(finding.url)
                if place in seen or _settled(catalog, finding):
                    continue
                seen.add(place)
                row = found.setdefault(
                    finding.category, {"candidates": 0, "thumbnails": 0, "licenses": Counter(), "sizes": Counter()}
                )
                row["candidates"] += 1
                row["thumbnails"] += finding.thumbnail
                row["licenses"][finding.license] += 1
                row["sizes"][f"{finding.width}×{finding.height}" if finding.width else "unknown"] += 1
                if row["candidates"] >= PLENTY * search.targets.missing(finding.category):
                    search.full.add(finding.category)
    finally:
        context.close()
    return found


def _settled(catalog: Catalog, finding: Provenance) -> bool:
    """Whether a search would not fetch this, because it was tried before."""
    known = catalog.candidates.get(candidate_key(finding.url))
    return known is not None and known.state != "found"


def _check_needs(workspace: Workspace, options: SearchOptions) -> None:
    """Say what is missing before anything is asked: a key, a contact, licences, a page."""
    known = load_sources()
    for name in options.sources:
        get_source(name)
        info = known[name]
        if info.key:
            info.get_key()
        if info.needs_contact and not workspace.settings.contact:
            raise FototecaError(f"{name} needs a contact", f'write contact = "you@example.org" into {workspace.config}')
        if info.needs_url:
            _check_page(name, options.url)
        if info.states_license or options.license == "any":
            continue
        if options.license == "commercial":
            telling = ", ".join(other.name for other in known.values() if other.states_license)
            raise FototecaError(f"{name} tells no licences, so nothing of it would pass", f"ask one that does: {telling}")
        if not info.can_claim_license:
            claiming = ", ".join(other.name for other in known.values() if other.can_claim_license)
            raise FototecaError(f"{name} cannot be asked for a licence", f"ask one that can: {claiming}")


def _check_page(name: str, url: str) -> None:
    try:
        url_key(url)
    except ValueError:
        problem = f"--url is no address of a page: {url}" if url else f"{name} needs a page"
        raise FototecaError(problem, "pass --url https://… ({query} in it stands for the query)") from None


class _Search:
    """Asks the sources for findings in the order in which they are wanted."""

    def __init__(self, context: SourceContext, options: SearchOptions, targets: Targets, summary: Summary) -> None:
        self.context, self.options, self.targets, self.summary = context, options, targets, summary
        self.full: set[str] = set()
        """Categories that need no more, whatever their target."""
        self._stopped: set[str] = set()
        self._error: FototecaError | None = None
        self._answered = False

    def findings(self) -> Iterator[Provenance | None]:
        """Category by category, source by source, query by query; None where what is in flight decides."""
        settings = self.context.workspace.settings
        names = [settings.check(name) for name in self.options.categories] or settings.names
        for category in (category for category in settings.categories if category.name in names):
            for name in self.options.sources:
                for text in category.queries:
                    query = Query(category.name, text, self.options.license != "any", self.options.url)
                    yield from self._asked(name, query)
        if self._error and not self._answered:
            for problem in self.summary.problems[:-1]:
                notify(f"fototeca: {problem}")
            raise self._error

    def _asked(self, name: str, query: Query) -> Iterator[Provenance | None]:
        """One query to one source, unless the category has enough; what goes wrong is noted."""
        if name in self._stopped or (yield from self._enough(query.category)):
            return
        try:
            for finding in islice(get_source(name)(query, self.context), self.options.limit):
                self._hear()
                if (yield from self._enough(query.category)):
                    return
                if self.options.takes(name, finding.license):
                    yield finding
                else:
                    self.summary.unlicensed += 1
            self._hear()
        except FototecaError as error:
            self._note(name, query, error)

    def _enough(self, category: str) -> Generator[None, None, bool]:
        """Whether the category has its target, once what is in flight and could reach it has landed."""
        while self.targets.on_the_way(category):
            yield None
        return category in self.full or self.targets.reached(category)

    def _hear(self) -> None:
        """A source has answered: from here on no problem is what ends the command, and each is told as it comes."""
        if not self._answered:
            for problem in self.summary.problems:
                notify(f"fototeca: {problem}")
        self._answered = True

    def _note(self, name: str, query: Query, error: FototecaError) -> None:
        self.summary.problems.append(f"{name}, {query.text!r}: {error}")
        if self._answered:
            notify(f"fototeca: {self.summary.problems[-1]}")
        self._error = error
        if isinstance(error, SourceStoppedError):
            self._stopped.add(name)
