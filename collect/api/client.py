"""Interfaces made for programs: JSON with the same manners as images, errors in one line, quotas remembered."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from urllib3 import HTTPHeaderDict

from fototeca.collect.api.credentials import Key
from fototeca.collect.api.quotas import quota_of, remember_quota
from fototeca.collect.http.client import Downloader, Request
from fototeca.collect.http.responses import FetchError
from fototeca.collect.http.throttle import parse_retry_after
from fototeca.collect.http.urls import host_key
from fototeca.core.errors import EXIT_OUTSIDE, FototecaError

MAX_ANSWER = 50_000_000
"""Bytes of one answer."""


class SourceStop(FototecaError):
    """A source that wants to be left alone: no valid key, no quota left, a CAPTCHA."""


class UnansweredError(FototecaError):
    """A service gave no answer; `reason` is that of the fetch."""

    def __init__(self, source: str, reason: str, hint: str) -> None:
        super().__init__(f"{source} cannot be asked: {reason}", hint, EXIT_OUTSIDE)
        self.reason = reason


@dataclass(frozen=True)
class Web:
    """Asks one service. Neither its errors nor anything it writes shows the query or a header, in which keys may be; and where
    a service repeats the key in its answer, it is taken out before anybody reads that."""

    downloader: Downloader
    source: str
    pause: float = 0.0
    """Seconds between requests that the service asks for."""

    key: Key | None = None
    """What it is asked with."""

    def json(
        self,
        url: str,
        params: Mapping[str, str | int] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever the service answers
        """What the service answers; with `body`, to a POST. FototecaError (exit 4) when it does not."""
        return self.answer(url, params, headers=headers, body=body)[0]

    def answer(
        self,
        url: str,
        params: Mapping[str, str | int] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> tuple[Any, Mapping[str, str]]:
        """As `json`, with the headers of the answer."""
        self.downloader.hosts[url].set_delay(self.pause, after_request=False)
        query = f"{'&' if '?' in url else '?'}{urlencode(params)}" if params else ""
        sent = {"Accept": "application/json", **(headers or {})}
        content = None
        if body is not None:
            content = json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        try:
            answer = self.downloader.request(Request(url + query, MAX_ANSWER, sent, content))
        except FetchError as error:
            told = HTTPHeaderDict(self._without_key(dict(error.headers)))
            remember_quota(self.source, told)
            raise self._problem(error.reason, told, host_key(url)) from None
        told = HTTPHeaderDict(self._without_key(dict(answer.headers)))
        remember_quota(self.source, told)
        try:
            return self._without_key(json.loads(answer.data.decode("utf-8-sig"))), told
        except (ValueError, RecursionError):
            raise self.changed("it is not JSON") from None

    def _without_key(self, value: Any) -> Any:  # noqa: ANN401 - whatever the service answers
        """The same with the key left out of all texts; numbers stay, for a key may be of digits alone."""
        return _each_text(value, self.key.cleaner()) if self.key else value

    def wait(self, url: str, seconds: float) -> None:
        """Leave a host alone for so long, because it said that it is busy."""
        self.downloader.hosts[url].pause(seconds)

    def changed(self, what: str) -> FototecaError:
        """The error for an answer that is not as it was when the source was written."""
        return FototecaError(
            f"{self.source} answers otherwise than expected: {what}",
            f"it may have changed; mend sites/{self.source}.toml in your workspace or wait for a release",
            EXIT_OUTSIDE,
        )

    def refused(self) -> SourceStop:
        """The error for a key that the service does not take."""
        hint = f"check {self.key.variable}; see {self.key.page}" if self.key else "ask it on its own page"
        return SourceStop(f"{self.source} refuses {'the key' if self.key else 'access'}", hint, EXIT_OUTSIDE)

    def used_up(self, headers: Mapping[str, str]) -> SourceStop:
        """The error for a quota that is used up, with the time for which the service wants to be left alone."""
        wait = parse_retry_after(headers.get("Retry-After"))
        when = f" in {wait:.0f} s" if wait else " later"
        return SourceStop(f"{self.source}: the quota is used up", f"ask again{when}; see: fototeca doctor", EXIT_OUTSIDE)

    def _problem(self, reason: str, headers: Mapping[str, str], host: str) -> FototecaError:
        quota = quota_of(headers)
        if reason == "http-429" or (quota and quota.remaining == "0"):
            return self.used_up(headers)
        if reason in ("http-401", "http-403") and self.key:
            return self.refused()
        if reason == "private-address":
            return FototecaError(f"{host} is no public address", "pass --allow-loopback to ask this machine", EXIT_OUTSIDE)
        hint = "check the network and try again later"
        if reason == "http-400":
            hint = f"check the query{f' and {self.key.variable}' if self.key else ''}"
        return UnansweredError(self.source, reason, hint)


def _each_text(value: Any, change: Callable[[str], str]) -> Any:  # noqa: ANN401 - whatever JSON can say
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {change(name): _each_text(part, change) for name, part in value.items()}
    return [_each_text(part, change) for part in value] if isinstance(value, list) else value
