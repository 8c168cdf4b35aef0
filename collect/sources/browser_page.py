"""Pages in the browser, read with the ordered fallbacks of a site file; base of the sources that drive a browser."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from fototeca.collect.api.client import SourceStoppedError
from fototeca.collect.catalog import now
from fototeca.collect.sources import Query, SourceContext
from fototeca.core.errors import ExternalError, FototecaError
from fototeca.core.files import write_bytes, write_text

if TYPE_CHECKING:
    from fototeca.collect.browser.driver import Window

_CONSENT_SECONDS = 0.5
"""Time for the page to continue, possibly by a redirect, after a consent button."""

_FIRST_VISIBLE = """
for (const selector of arguments[0]) {
  const match = [...document.querySelectorAll(selector)].find(element => element.getClientRects().length);
  if (match) { if (arguments[1]) match.click(); return selector; }
}
return '';
"""


class Page:
    """A page in the browser and its site file."""

    def __init__(self, name: str, query: Query, context: SourceContext) -> None:
        self.name, self.query, self.context = name, query, context
        self.site = context.site(name)
        self.window: Window = context.window

    def load(self, url: str) -> None:
        """Open a URL. FototecaError (exit 4) if it does not load or leads to a private address."""
        problem: FototecaError | None = None
        refused_before = set(self.context.proxy.refused_hosts)
        try:
            self.window.load(url)
        except FototecaError as error:
            problem = error
        refused = self.context.proxy.refused_hosts
        host = urlsplit(self.window.url).hostname  # the browser may show its own error page without an error
        if host in refused or (problem and refused - refused_before):
            raise ExternalError(f"{url} leads to a private address ({host})", "pass --allow-loopback to allow this machine")
        if problem:
            raise problem

    def check_captcha(self) -> None:
        """Raise SourceStoppedError if the page shows a CAPTCHA, which is never solved automatically."""
        url = self.window.url
        if any(part in url for part in self.site["captcha_urls"]) or self._first_visible(self.site["captcha"]):
            saved = self._save()
            raise SourceStoppedError(f"{self.name} shows a CAPTCHA", f"see {saved}; try again another day")

    def script(self, text: str, *arguments: object) -> Any:  # noqa: ANN401 - JSON
        """Run a script in the page and return its result."""
        return self.window.script(text, *arguments)

    def pause(self) -> None:
        """Wait for the time between two pages that the site file sets."""
        time.sleep(float(self.site["pause"]))

    def press(self, selectors: Sequence[str]) -> bool:
        """Click the first visible element of several selectors; return False if none is visible."""
        return bool(self._first_visible(selectors, click=True))

    def no_results(self) -> FototecaError | None:
        """Return the error for a page without results, after saving it; None if the page itself says that there are none."""
        if self._first_visible(self.site.get("empty", [])):
            return None
        return self.changed("the page shows no result")

    def changed(self, detail: str) -> FototecaError:
        """Save the page and a screenshot, and return the error for a page that does not match its site file."""
        return ExternalError(
            f"{self.name} returned an unexpected page: {detail}",
            f"see {self._save()}; the site may have changed: fix sites/{self.name}.toml in your workspace",
        )

    def _first_visible(self, selectors: Sequence[str], *, click: bool = False) -> str:
        """Return the first selector with a visible element, after clicking it with `click`; empty if there is none."""
        return str(self.script(_FIRST_VISIBLE, list(selectors), click))

    def _save(self) -> str:
        """Write the page and a screenshot to the workspace's cache; return their paths as text."""
        time_part = now()[:19].replace(":", "").replace("-", "")
        base = self.context.workspace.cache / "pages" / f"{self.name}-{time_part}"
        write_text(base.with_suffix(".html"), self.window.source)
        write_bytes(base.with_suffix(".png"), self.window.screenshot())
        return f"{self.context.workspace.relative(base.with_suffix('.html'))} and .png"


class ResultsPage(Page):
    """A search engine's page of results."""

    def open(self, extra: Mapping[str, object] | None = None) -> None:
        """Load the results and answer a consent dialog. SourceStoppedError if there is a CAPTCHA.

        Args:
            extra: further parameters of the URL.
        """
        parameters = {**self.site["parameters"], self.site["query"]: self.query.text, **(extra or {})}
        url = f"{self.site['endpoint']}?{urlencode(parameters)}"
        self.load(url)
        self.check_captcha()
        if self.press(self.site["consent"]):
            time.sleep(_CONSENT_SECONDS)
            if not self.window.url.startswith(self.site["endpoint"]):
                self.load(url)
            self.check_captcha()


def get_first_text(metadata: Mapping[str, Any], names: Sequence[str]) -> str:
    """Return the first of several fields that is a text or an integer; empty if there is none."""
    values = (metadata.get(name) for name in names)
    return next((str(value) for value in values if value and isinstance(value, str | int)), "")
