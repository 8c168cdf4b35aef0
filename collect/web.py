"""Interfaces made for programs: JSON with the same manners as pictures, errors in one line, quotas remembered."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from collect.download import Downloader, FetchError, Request
from collect.keys import KEYS
from collect.quotas import remember_quota
from workspace import EXIT_OUTSIDE, FototecaError

MAX_ANSWER = 50_000_000
"""Bytes of one answer."""


class SourceStop(FototecaError):  # noqa: N818 - it says what to do: ask this source nothing more in this run
    """A source that wants to be left alone: no valid key, no quota left, a CAPTCHA."""


@dataclass(frozen=True)
class Web:
    """Asks one service. Neither its errors nor anything it writes shows the query or a header: keys may be in them."""

    downloader: Downloader
    source: str
    pause: float = 0.0
    """Seconds between requests that the service asks for."""

    def json(
        self,
        url: str,
        params: Mapping[str, str | int] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever the service answers
        """What the service answers; with `body`, to a POST. FototecaError (exit 4) when it does not."""
        host = urlsplit(url).netloc.lower()
        self.downloader.hosts[host].slow_down(self.pause)
        query = f"{'&' if '?' in url else '?'}{urlencode(params)}" if params else ""
        sent = {"Accept": "application/json", **(headers or {})}
        content = None
        if body is not None:
            content = json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        try:
            answer = self.downloader.ask(Request(url + query, MAX_ANSWER, sent, content))
        except FetchError as error:
            raise self._problem(error, host) from None
        remember_quota(self.source, answer.headers)
        try:
            return json.loads(answer.data)
        except ValueError:
            raise self.changed("it is not JSON") from None

    def changed(self, what: str) -> FototecaError:
        """The error for an answer that is not as it was when the source was written."""
        return FototecaError(
            f"{self.source} answers otherwise than expected: {what}",
            f"it may have changed; mend sites/{self.source}.toml in your workspace or wait for a release",
            EXIT_OUTSIDE,
        )

    def _problem(self, error: FetchError, host: str) -> FototecaError:
        reason = error.reason
        if reason in ("http-401", "http-403") and self.source in KEYS:
            key = KEYS[self.source]
            return SourceStop(f"{self.source} refuses the key", f"check {key.variable}; see {key.page}", EXIT_OUTSIDE)
        if reason == "http-429":
            wait = f" in {error.wait:.0f} s" if error.wait else " later"
            return SourceStop(f"{self.source}: the quota is used up", f"ask again{wait}; see: fototeca doctor", EXIT_OUTSIDE)
        if reason == "private-address":
            return FototecaError(f"{host} is no public address", "pass --allow-local to ask this machine", EXIT_OUTSIDE)
        return FototecaError(f"{self.source} cannot be asked: {reason}", "check the network and try again later", EXIT_OUTSIDE)
