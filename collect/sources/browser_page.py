"""What the sources that drive a browser share: a page read by the ordered fallbacks of a site file."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from fototeca.collect.api.client import SourceStop
from fototeca.collect.catalog import now
from fototeca.collect.sources import Context, Query
from fototeca.core.errors import EXIT_OUTSIDE, FototecaError
from fototeca.core.files import write_bytes, write_text

if TYPE_CHECKING:
    from fototeca.collect.browser.driver import Window

_FIRST_SHOWN = """
for (const selector of arguments[0]) {
  const found = [...document.querySelectorAll(selector)].find(element => element.getClientRects().length);
  if (found) { if (arguments[1]) found.click(); return selector; }
}
return '';
"""


class Page:
    """A page in the browser, and what its site file says of it."""

    def __init__(self, name: str, query: Query, context: Context) -> None:
        self.name, self.query, self.context = name, query, context
        self.site = context.site(name)
        self.window: Window = context.window

    def load(self, address: str) -> None:
        """Open an address; FototecaError (exit 4) when it does not load or leads to a private address."""
        problem: FototecaError | None = None
        before = set(self.context.gateway.refused)
        try:
            self.window.load(address)
        except FototecaError as error:
            problem = error
        refused = self.context.gateway.refused
        host = urlsplit(self.window.url).hostname  # the browser may take a page of its own for an answer
        if host in refused or (problem and refused - before):
            raise FototecaError(
                f"{address} leads to a private address ({host})", "pass --allow-loopback to ask this machine", EXIT_OUTSIDE
            )
        if problem:
            raise problem

    def check_stop(self) -> None:
        """SourceStop when the page asks to prove that a person is there: nobody solves that for them."""
        url = self.window.url
        if any(part in url for part in self.site["stop_url"]) or self._shown(self.site["stop"]):
            saved = self._save()
            raise SourceStop(
                f"{self.name} asks to prove that a person is there", f"look at {saved}; try again another day", EXIT_OUTSIDE
            )

    def script(self, text: str, *arguments: object) -> Any:  # noqa: ANN401 - whatever the page answers
        """What a script in the page returns."""
        return self.window.script(text, *arguments)

    def pause(self) -> None:
        """Leave the site the time between two pages that its file asks for."""
        time.sleep(float(self.site["pause"]))

    def press(self, selectors: Sequence[str]) -> bool:
        """Click on the first of several things that is shown."""
        return bool(self._shown(selectors, click=True))

    def nothing(self) -> FototecaError | None:
        """The error for a page without results, saved for a person to look at; None when the page says that there are none."""
        if self._shown(self.site.get("empty", [])):
            return None
        return self.changed("the page shows no result")

    def changed(self, what: str) -> FototecaError:
        """The error for a page that is not as its site file says; the page and a screenshot are saved."""
        return FototecaError(
            f"{self.name}: {what}, though it should",
            f"see {self._save()}; the site may have changed: mend sites/{self.name}.toml in your workspace",
            EXIT_OUTSIDE,
        )

    def _shown(self, selectors: Sequence[str], *, click: bool = False) -> str:
        return str(self.script(_FIRST_SHOWN, list(selectors), click))

    def _save(self) -> str:
        """Write the page and a screenshot; their name without ending."""
        stamp = now()[:19].replace(":", "").replace("-", "")
        base = self.context.workspace.cache / "pages" / f"{self.name}-{stamp}"
        write_text(base.with_suffix(".html"), self.window.source)
        write_bytes(base.with_suffix(".png"), self.window.screenshot())
        return f"{self.context.workspace.relative(base.with_suffix('.html'))} and .png"


class ResultsPage(Page):
    """A search engine's page of results."""

    def open(self, extra: Mapping[str, object] | None = None) -> None:
        """Load the results, answer a consent dialog, and stop where a person is asked for."""
        parameters = {**self.site["parameters"], self.site["query"]: self.query.text, **(extra or {})}
        address = f"{self.site['endpoint']}?{urlencode(parameters)}"
        self.load(address)
        self.check_stop()
        if self.press(self.site["consent"]):
            time.sleep(0.5)  # the page goes on by itself, or by a redirect
            if not self.window.url.startswith(self.site["endpoint"]):
                self.load(address)
            self.check_stop()


def first(facts: Mapping[str, Any], names: Sequence[str]) -> str:
    """The first of several facts that is a text or a number, or nothing."""
    found = (facts.get(name) for name in names)
    return next((str(value) for value in found if value and isinstance(value, str | int)), "")
