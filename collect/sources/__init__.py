"""Where candidates come from: one file per source, which yields findings and writes nothing."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import TYPE_CHECKING, cast

from fototeca.collect.api.client import Web
from fototeca.collect.api.credentials import KEYS, Key
from fototeca.collect.browser.proxy import FilteringProxy, open_gateway
from fototeca.collect.catalog import Provenance
from fototeca.collect.http.client import Downloader, FetchOptions, user_agent
from fototeca.collect.sites import Site, load_site
from fototeca.collect.sources.metadata import SourceInfo
from fototeca.core.errors import FototecaError
from fototeca.core.workspace import Workspace

if TYPE_CHECKING:
    from fototeca.collect.browser.driver import Window


@dataclass(frozen=True)
class Query:
    """One search: what to look for, and for which category."""

    category: str
    text: str
    commercial: bool = False
    """Ask only for what permits commercial use, where the source can tell, or what it claims to."""

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
    def gateway(self) -> FilteringProxy:
        """The browser's way out, which leads to public addresses only."""
        return self._stack.enter_context(open_gateway(allow_loopback=self.fetch.allow_loopback))

    @cached_property
    def window(self) -> Window:
        """The one browser of this search."""
        from fototeca.collect.browser.driver import Window, open_browser

        agent, proxy = user_agent(self.workspace.settings.contact), self.gateway.address
        return Window(self._stack.enter_context(open_browser(headed=self.headed, user_agent=agent, proxy=proxy)))

    @cached_property
    def downloader(self) -> Downloader:
        """For pages, interfaces and images: one, so that a host's bounds hold for all of them together."""
        return Downloader(self.fetch, self.workspace.settings.contact)

    def site(self, name: str) -> Site:
        """What is known of a source's site."""
        return load_site(self.workspace, name)

    def web(self, name: str) -> Web:
        """Asks the interface of a source or hub, as often as its site file permits."""
        return Web(self.downloader, name, float(self.site(name).get("pause", 0.0)), all_keys().get(name))

    def close(self) -> None:
        """Close the browser if one was started."""
        self._stack.close()


Search = Callable[[Query, Context], Iterator[Provenance]]


@cache
def known_sources() -> dict[str, SourceInfo]:
    """Every source by name: the modules beside this one that say what a person should know of them."""
    modules = [importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)]
    infos: list[SourceInfo] = [module.INFO for module in modules if hasattr(module, "INFO")]
    return {info.name: info for info in sorted(infos, key=lambda info: (info.kind, info.name))}


def all_keys() -> dict[str, Key]:
    """The keys that sources and hubs want."""
    return {info.name: info.key for info in known_sources().values() if info.key} | KEYS


def get_source(name: str) -> Search:
    """The search function of a source, from the module of its name. FototecaError names those there are."""
    if name not in (known := known_sources()):
        raise FototecaError(f"unknown source {name!r}", f"there are: {', '.join(known)}; see: fototeca collect sources")
    return cast(Search, importlib.import_module(f"{__name__}.{name}").search)
