"""Where candidates come from: one file per source, which yields findings and writes nothing."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, cast

from collect.catalog import Finding
from collect.download import Downloader, FetchOptions, user_agent
from workspace import FototecaError

if TYPE_CHECKING:
    from collect.browser import Browser


@dataclass(frozen=True)
class Query:
    """One search: what to look for, and for which category."""

    category: str
    text: str
    limit: int | None = None
    url: str = ""
    """For `gallery`: the page's address; `{query}` stands for the text."""


@dataclass(frozen=True)
class SourceInfo:
    """What a person should know before using a source."""

    name: str
    kind: str
    needs: str
    licences: str
    terms: str


@dataclass
class Context:
    """What the sources of one search share: manners, and a browser that is started when first needed."""

    fetch: FetchOptions
    contact: str
    headed: bool = False
    _stack: ExitStack = field(default_factory=ExitStack)

    @cached_property
    def browser(self) -> Browser:
        """The one browser of this search."""
        from collect.browser import open_browser

        return self._stack.enter_context(open_browser(headed=self.headed, user_agent=user_agent(self.contact)))

    @cached_property
    def downloader(self) -> Downloader:
        """For pages and interfaces, with the same manners as for pictures."""
        return Downloader(self.fetch, self.contact)

    def close(self) -> None:
        """Close the browser if one was started."""
        self._stack.close()


Search = Callable[[Query, Context], Iterator[Finding]]

SOURCES = {
    info.name: info
    for info in (
        SourceInfo(
            "gallery",
            "browser",
            "--url with the page's address; {query} in it stands for the query",
            "as the page says beside each picture (rel=license), else unknown",
            "the page's own terms; robots.txt is honoured for the page and for every picture",
        ),
    )
}
"""Every source by name; the module of the same name has `search(query, context)`."""


def get_source(name: str) -> Search:
    """The search function of a source. FototecaError names those there are."""
    if name not in SOURCES:
        raise FototecaError(f"unknown source {name!r}", f"there are: {', '.join(SOURCES)}; see: fototeca collect sources")
    return cast(Search, importlib.import_module(f"collect.sources.{name}").search)


def sources_text() -> str:
    """What `fototeca collect sources` prints."""
    return "\n\n".join(
        f"{info.name} ({info.kind})\n  needs:    {info.needs}\n  licences: {info.licences}\n  terms:    {info.terms}"
        for info in SOURCES.values()
    )
