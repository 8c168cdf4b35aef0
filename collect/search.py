"""Search sources until every category has its target: category by category, source by source, query by query."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

from fototeca.collect.api.client import SourceStoppedError
from fototeca.collect.catalog import Catalog, Provenance
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.http.urls import candidate_key, url_key
from fototeca.collect.ingest.pipeline import IngestPipeline
from fototeca.collect.ingest.summary import CollectSummary, SummaryBuilder
from fototeca.collect.ingest.targets import Targets
from fototeca.collect.licenses import allows_commercial
from fototeca.collect.sources import Query, SourceContext, get_source, load_sources
from fototeca.core.console import notify
from fototeca.core.errors import FototecaError
from fototeca.core.results import Result
from fototeca.core.workspace import Workspace

PREVIEW_FACTOR = 3
"""Candidates that a preview counts per missing image: not every candidate would be accepted."""


@dataclass(frozen=True)
class SearchOptions:
    """Sources, categories and limits of one search."""

    sources: tuple[str, ...]
    """Names of sources, in the order of use; the next one when one is exhausted."""

    categories: tuple[str, ...] = ()
    """Names; all when empty."""

    limit: int | None = None
    """Candidates per query and source; None: until the target is reached."""

    license: str = "any"
    """`any`; `commercial`: commercial use known to be permitted; `claimed`: also what a search engine claims."""

    headed: bool = False
    """Show the browser window."""

    url: str = ""
    """Page for the source `gallery`."""

    def __post_init__(self) -> None:
        """Check the license filter."""
        if self.license not in ("any", "commercial", "claimed"):
            raise FototecaError(f"--license {self.license!r} is invalid", "choose any, commercial or claimed")

    def accepts_license(self, source: str, license_id: str) -> bool:
        """Return True if the license filter passes an image of `source` with this SPDX id."""
        if self.license == "any" or allows_commercial(license_id):
            return True
        return self.license == "claimed" and not load_sources()[source].states_license


@dataclass(frozen=True)
class SearchPreview(Result):
    """Candidates of one category that a search would fetch."""

    candidates: int
    thumbnails: int
    """Candidates of which only a thumbnail is available."""

    licenses: Mapping[str, int]
    """Candidates by SPDX id."""

    sizes: Mapping[str, int]
    """Candidates by announced size, WIDTH×HEIGHT in pixels or `unknown`."""


def search_sources(workspace: Workspace, options: SearchOptions, fetch: FetchOptions) -> CollectSummary:
    """Search, fetch and ingest until each category has its target of accepted images or the sources are exhausted.

    A query that a source does not answer becomes a line in the summary's `problems`, and the search continues.

    Raises:
        FototecaError: a source is unknown or lacks its key, contact or page, or no source answered.
    """
    _check_requirements(workspace, options)
    context = SourceContext(workspace, fetch, options.headed)
    try:
        with Catalog.open(workspace) as catalog:
            pipeline = IngestPipeline(workspace, catalog, fetch, context.downloader)
            run = _SearchRun(context, options, pipeline.targets, pipeline.summary)
            return pipeline.run(run.provenances())
    finally:
        context.close()


@dataclass
class _PreviewCounter:
    candidates: int = 0
    thumbnails: int = 0
    licenses: Counter[str] = field(default_factory=Counter)
    sizes: Counter[str] = field(default_factory=Counter)

    def add(self, provenance: Provenance) -> None:
        self.candidates += 1
        self.thumbnails += provenance.thumbnail
        self.licenses[provenance.license] += 1
        self.sizes[f"{provenance.width}×{provenance.height}" if provenance.width else "unknown"] += 1


def preview_search(workspace: Workspace, options: SearchOptions, fetch: FetchOptions) -> dict[str, SearchPreview]:
    """Count by category the candidates that a search would fetch. Downloads no image and records nothing.

    A category ends with PREVIEW_FACTOR candidates per image that it lacks to its target. Categories without candidates are
    absent.
    """
    _check_requirements(workspace, options)
    context = SourceContext(workspace, fetch, options.headed)
    counters: dict[str, _PreviewCounter] = {}
    seen: set[tuple[str, str]] = set()
    try:
        with Catalog.open(workspace) as catalog:
            run = _SearchRun(context, options, Targets(catalog, workspace.settings.target), SummaryBuilder())
            for provenance in run.provenances():
                assert provenance is not None, "nothing is in flight"
                key = provenance.category, candidate_key(provenance.url)
                if key in seen or _has_final_state(catalog, provenance):
                    continue
                seen.add(key)
                counter = counters.setdefault(provenance.category, _PreviewCounter())
                counter.add(provenance)
                if counter.candidates >= PREVIEW_FACTOR * run.targets.missing(provenance.category):
                    run.full_categories.add(provenance.category)
    finally:
        context.close()
    return {
        name: SearchPreview(counter.candidates, counter.thumbnails, counter.licenses, counter.sizes)
        for name, counter in counters.items()
    }


def _has_final_state(catalog: Catalog, provenance: Provenance) -> bool:
    """Return True if a search would not fetch this candidate because it was processed before."""
    candidate = catalog.candidates.get(candidate_key(provenance.url))
    return candidate is not None and candidate.state != "found"


def _check_requirements(workspace: Workspace, options: SearchOptions) -> None:
    """Raise FototecaError before the first request if a source lacks its key, contact, page or license information."""
    infos = load_sources()
    for name in options.sources:
        get_source(name)
        info = infos[name]
        if info.key:
            info.get_key()
        if info.needs_contact and not workspace.settings.contact:
            raise FototecaError(f"{name} needs a contact", f'write contact = "you@example.org" into {workspace.config}')
        if info.needs_url:
            _check_page(name, options.url)
        if info.states_license or options.license == "any":
            continue
        if options.license == "commercial":
            alternatives = ", ".join(other.name for other in infos.values() if other.states_license)
            message = f"{name} reports no licenses, so the license filter would exclude everything"
            raise FototecaError(message, f"use a source that does: {alternatives}")
        if not info.can_claim_license:
            alternatives = ", ".join(other.name for other in infos.values() if other.can_claim_license)
            raise FototecaError(f"{name} has no license filter", f"use a source that has one: {alternatives}")


def _check_page(name: str, url: str) -> None:
    try:
        url_key(url)
    except ValueError:
        message = f"--url {url!r} is not the URL of a web page" if url else f"{name} needs a page"
        raise FototecaError(message, "pass --url https://… ({query} in it is replaced by the query)") from None


class _SearchRun:
    """Yields the provenances of all sources in the order of categories, sources and queries."""

    def __init__(self, context: SourceContext, options: SearchOptions, targets: Targets, summary: SummaryBuilder) -> None:
        self.context, self.options, self.targets, self.summary = context, options, targets, summary
        self.full_categories: set[str] = set()
        """Categories to skip even if they are below their target."""
        self._stopped_sources: set[str] = set()
        self._error: FototecaError | None = None
        self._has_answer = False

    def provenances(self) -> Iterator[Provenance | None]:
        """Yield provenances; None where the candidates in flight decide whether more are needed."""
        settings = self.context.workspace.settings
        names = [settings.check(name) for name in self.options.categories] or settings.names
        for category in (category for category in settings.categories if category.name in names):
            for source in self.options.sources:
                for text in category.queries:
                    query = Query(category.name, text, self.options.license != "any", self.options.url)
                    yield from self._search(source, query)
        if self._error and not self._has_answer:
            for problem in self.summary.problems[:-1]:
                notify(f"fototeca: {problem}")
            raise self._error

    def _search(self, source: str, query: Query) -> Iterator[Provenance | None]:
        """Yield the results of one query to one source until the category is full; record a failure as a problem."""
        if source in self._stopped_sources or (yield from self._is_full(query.category)):
            return
        try:
            for provenance in islice(get_source(source)(query, self.context), self.options.limit):
                self._report_answer()
                if (yield from self._is_full(query.category)):
                    return
                if self.options.accepts_license(source, provenance.license):
                    yield provenance
                else:
                    self.summary.excluded_by_license += 1
            self._report_answer()
        except FototecaError as error:
            self._add_problem(source, query, error)

    def _is_full(self, category: str) -> Generator[None, None, bool]:
        """Return True if the category has its target, after yielding None while candidates in flight could reach it."""
        while self.targets.may_be_reached_by_pending(category):
            yield None
        return category in self.full_categories or self.targets.is_reached(category)

    def _report_answer(self) -> None:
        """Record that a source responded, and print the earlier problems, which no longer end the command."""
        if not self._has_answer:
            for problem in self.summary.problems:
                notify(f"fototeca: {problem}")
        self._has_answer = True

    def _add_problem(self, source: str, query: Query, error: FototecaError) -> None:
        self.summary.problems.append(f"{source}, {query.text!r}: {error}")
        if self._has_answer:
            notify(f"fototeca: {self.summary.problems[-1]}")
        if isinstance(error, SourceStoppedError):
            self._stopped_sources.add(source)
        self._error = error
