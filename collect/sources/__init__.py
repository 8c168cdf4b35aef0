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
from collect.sites import Site, load_site
from collect.sources.known import SOURCES
from collect.web import Web
from workspace import FototecaError, Workspace

if TYPE_CHECKING:
    from collect.browser import Browser


@dataclass(frozen=True)
class Query:
    """One search: what to look for, and for which category."""

    category: str
    text: str
    commercial: bool = False
    """Ask only for what permits commercial use, where the source can tell."""

    url: str = ""
    """For `gallery`: the page's address; `{query}` stands for the text."""


@dataclass
class Context:
    """What the sources of one search share: manners, site files, and a browser that is started when first needed."""

    workspace: Workspace
    fetch: FetchOptions
    headed: bool = False
    _stack: ExitStack = field(default_factory=ExitStack)

    @cached_property
    def browser(self) -> Browser:
        """The one browser of this search."""
        from collect.browser import open_browser

        agent = user_agent(self.workspace.settings.contact)
        return self._stack.enter_context(open_browser(headed=self.headed, user_agent=agent))

    @cached_property
    def downloader(self) -> Downloader:
        """For pages and interfaces, with the same manners as for pictures."""
        return Downloader(self.fetch, self.workspace.settings.contact)

    def site(self, name: str) -> Site:
        """What is known of a source's site."""
        return load_site(self.workspace, name)

    def web(self, name: str) -> Web:
        """Asks a source's interface, as often as its site file permits."""
        return Web(self.downloader, name, float(self.site(name).get("pause", 0.0)))

    def close(self) -> None:
        """Close the browser if one was started."""
        self._stack.close()


Search = Callable[[Query, Context], Iterator[Finding]]


def get_source(name: str) -> Search:
    """The search function of a source, from the module of its name. FototecaError names those there are."""
    if name not in SOURCES:
        raise FototecaError(f"unknown source {name!r}", f"there are: {', '.join(SOURCES)}; see: fototeca collect sources")
    return cast(Search, importlib.import_module(f"collect.sources.{name}").search)
