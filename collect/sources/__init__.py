"""Sources of candidates: one module per source, which yields provenances and writes nothing."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import TYPE_CHECKING, cast

from fototeca.collect.api.client import ServiceClient
from fototeca.collect.api.credentials import KEYS, Key
from fototeca.collect.api.key_hosts import KeyHosts
from fototeca.collect.browser.proxy import FilteringProxy, open_proxy
from fototeca.collect.catalog import Provenance
from fototeca.collect.http.client import Downloader, user_agent
from fototeca.collect.http.options import FetchOptions
from fototeca.collect.sites import Site, load_site, shipped_hosts
from fototeca.collect.sources.metadata import SourceInfo
from fototeca.core.console import notify
from fototeca.core.errors import FototecaError
from fototeca.core.passed_over import PassedOver
from fototeca.core.workspace import Workspace

if TYPE_CHECKING:
    from fototeca.collect.browser.driver import Window


@dataclass(frozen=True)
class Query:
    """One search for one category."""

    category: str
    text: str
    commercial: bool = False
    """Request only images whose license permits commercial use, if the source can filter by that."""

    url: str = ""
    """For `gallery`: the page's URL; `{query}` stands for the text."""


@dataclass
class SourceContext:
    """Objects shared by sources and hubs in one run: site files, one downloader, and a browser started on first use."""

    workspace: Workspace
    fetch: FetchOptions
    headed: bool = False
    """Show the browser."""

    passed_over: PassedOver = field(default_factory=PassedOver)
    """Files of a hub's dataset that are not downloaded."""

    _stack: ExitStack = field(default_factory=ExitStack)

    @cached_property
    def proxy(self) -> FilteringProxy:
        """The browser's proxy, which connects to public addresses only."""
        return self._stack.enter_context(open_proxy(allow_loopback=self.fetch.allow_loopback))

    @cached_property
    def window(self) -> Window:
        """The browser window of this run."""
        from fototeca.collect.browser.driver import Window, open_browser

        agent, proxy = user_agent(self.workspace.settings.contact), self.proxy.address
        return Window(self._stack.enter_context(open_browser(headed=self.headed, user_agent=agent, proxy=proxy)))

    @cached_property
    def downloader(self) -> Downloader:
        """The downloader for pages, APIs and images alike, so that the limits of a host hold for all of them together."""
        return Downloader(self.fetch, self.workspace.settings.contact)

    def site(self, name: str) -> Site:
        """Return the site file of a source or hub."""
        return load_site(self.workspace, name)

    def client(self, name: str) -> ServiceClient:
        """Return the API client of a source or hub, with the pause of its site file and its key."""
        key, pause = list_keys().get(name), float(self.site(name).get("pause", 0.0))
        return ServiceClient(self.downloader, name, pause, key, self._key_hosts(name))

    def require_key_host(self, name: str, url: str) -> None:
        """Raise FototecaError if a source's or hub's key must not be sent to a URL."""
        self._key_hosts(name).check(url)

    def may_send_key(self, name: str, url: str) -> bool:
        """Return True if a hub's key may be sent to a URL; if there is a key and it may not, print that it is not sent."""
        hosts = self._key_hosts(name)
        if hosts.allows(url):
            return True
        if KEYS[name].location:
            notify(f"fototeca: {hosts.refusal(url)}")
        return False

    def _key_hosts(self, name: str) -> KeyHosts:
        return KeyHosts(name, shipped_hosts(name), self.fetch.send_key_to)

    def close(self) -> None:
        """Close the browser and its proxy if they were started."""
        self._stack.close()


SearchFunction = Callable[[Query, SourceContext], Iterator[Provenance]]
"""`search` of a source's module: yields candidates in the source's order. FototecaError (exit 4) if a request fails."""


_KIND_ORDER = ("browser", "API")


@cache
def load_sources() -> dict[str, SourceInfo]:
    """Return every source by name: the modules of this package that define `INFO`."""
    modules = [importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]
    infos: list[SourceInfo] = [module.INFO for module in modules if hasattr(module, "INFO")]
    return {info.name: info for info in sorted(infos, key=lambda info: (_KIND_ORDER.index(info.kind), info.name))}


def list_keys() -> dict[str, Key]:
    """Return the keys of all sources and hubs by name."""
    return {info.name: info.key for info in load_sources().values() if info.key} | KEYS


def get_source(name: str) -> SearchFunction:
    """Return the search function of a source. FototecaError lists the sources if there is none of this name."""
    if name not in (sources := load_sources()):
        raise FototecaError(f"unknown source {name!r}", f"choose one of: {', '.join(sources)}; see: fototeca collect sources")
    return cast(SearchFunction, importlib.import_module(f"{__name__}.{name}").search)
