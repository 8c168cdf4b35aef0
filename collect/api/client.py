"""Client of JSON service APIs: throttled like images, quotas recorded, errors without keys."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from urllib3 import HTTPHeaderDict

from fototeca.collect.api.credentials import Key
from fototeca.collect.api.key_hosts import KeyHosts
from fototeca.collect.api.quotas import parse_quota, save_quota
from fototeca.collect.http.client import Downloader, Request
from fototeca.collect.http.responses import FetchError
from fototeca.collect.http.throttle import parse_retry_after
from fototeca.collect.http.urls import host_key
from fototeca.core.errors import ExternalError, FototecaError

MAX_RESPONSE_BYTES = 50_000_000


class SourceStoppedError(ExternalError):
    """A source must not be requested again in this run: no valid key, quota exhausted, or a CAPTCHA."""


class RequestFailedError(ExternalError):
    """A request to a service failed; `reason` is the reason of its FetchError."""

    def __init__(self, source: str, reason: str, hint: str) -> None:
        super().__init__(f"{source} request failed: {reason}", hint)
        self.reason = reason


@dataclass(frozen=True)
class JsonResponse:
    """A parsed response and its headers."""

    document: Any
    headers: Mapping[str, str]
    """Looked up in any case."""


@dataclass(frozen=True)
class ServiceClient:
    """Client of one service.

    Neither its errors nor what it records contain a query or a request header, which may hold the key; a key that a service
    repeats in its response is replaced before anything reads the response.
    """

    downloader: Downloader
    source: str
    """Name of the source or hub."""

    pause: float = 0.0
    """Seconds between requests that the service demands."""

    key: Key | None = None
    """The key that requests carry."""

    key_hosts: KeyHosts | None = None
    """The hosts to which a request with the key may be sent."""

    def fetch_json(
        self,
        url: str,
        params: Mapping[str, str | int] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - JSON
        """Return the parsed JSON of a GET, or of a POST with `body`. FototecaError (exit 4) if the request fails."""
        return self.request_json(url, params, headers=headers, body=body).document

    def request_json(
        self,
        url: str,
        params: Mapping[str, str | int] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> JsonResponse:
        """Like `fetch_json`, with the headers of the response. FototecaError for a host to which the key must not be sent."""
        if self.key:
            assert self.key_hosts is not None, "a key without the hosts to which it may be sent"
            self.key_hosts.check(url)
        self.downloader.hosts[url].set_delay(self.pause, after_request=False)
        query = f"{'&' if '?' in url else '?'}{urlencode(params)}" if params else ""
        request_headers = {"Accept": "application/json", **(headers or {})}
        content = None
        if body is not None:
            content = json.dumps(body).encode()
            request_headers["Content-Type"] = "application/json"
        try:
            response = self.downloader.request(Request(url + query, MAX_RESPONSE_BYTES, request_headers, content))
        except FetchError as error:
            response_headers = self._record_headers(error.headers)
            raise self._to_error(error.reason, response_headers, host_key(url)) from None
        response_headers = self._record_headers(response.headers)
        try:
            document = json.loads(response.data.decode("utf-8-sig"))
            return JsonResponse(self._without_key(document), response_headers)
        except (ValueError, RecursionError):
            raise self.unexpected_response("not JSON") from None

    def _record_headers(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        """Return response headers without the key, after recording the quota that they state."""
        redacted = HTTPHeaderDict(self._without_key(dict(headers)))
        save_quota(self.source, redacted)
        return redacted

    def _without_key(self, value: Any) -> Any:  # noqa: ANN401 - JSON
        """Return a copy whose texts do not contain the key; numbers stay, since a key may consist of digits."""
        return _map_texts(value, self.key.redactor()) if self.key else value

    def pause_host(self, url: str, seconds: float) -> None:
        """Make no request to a host for a time, because it reported to be busy."""
        self.downloader.hosts[url].pause(seconds)

    def unexpected_response(self, detail: str) -> FototecaError:
        """Return the error for a response in another format than the source was written for."""
        return ExternalError(
            f"{self.source} returned an unexpected response: {detail}",
            f"the service may have changed; fix sites/{self.source}.toml in your workspace or wait for a release",
        )

    def access_denied(self) -> SourceStoppedError:
        """Return the error for a key that the service rejects, or for a service that denies access without one."""
        if self.key:
            message, hint = "rejected the key", f"check {self.key.variable}; see {self.key.page}"
        else:
            message, hint = "denied access", "use its own page"
        return SourceStoppedError(f"{self.source} {message}", hint)

    def quota_exhausted(self, headers: Mapping[str, str]) -> SourceStoppedError:
        """Return the error for an exhausted quota, with the service's Retry-After."""
        seconds = parse_retry_after(headers.get("Retry-After"))
        when = f"in {seconds:.0f} s" if seconds else "later"
        return SourceStoppedError(f"{self.source}: the quota is exhausted", f"try again {when}; see: fototeca doctor")

    def _to_error(self, reason: str, headers: Mapping[str, str], host: str) -> FototecaError:
        quota = parse_quota(headers)
        if reason == "http-429" or (quota and quota.remaining == "0"):
            return self.quota_exhausted(headers)
        if reason in ("http-401", "http-403") and self.key:
            return self.access_denied()
        if reason == "private-address":
            return ExternalError(f"{host} is not a public address", "pass --allow-loopback to allow this machine")
        hint = "check the network and try again later"
        if reason == "http-400":
            hint = f"check the query{f' and {self.key.variable}' if self.key else ''}"
        return RequestFailedError(self.source, reason, hint)


def _map_texts(value: Any, function: Callable[[str], str]) -> Any:  # noqa: ANN401 - JSON
    """Return a JSON value with `function` applied to every text and key."""
    if isinstance(value, str):
        return function(value)
    if isinstance(value, dict):
        return {function(name): _map_texts(item, function) for name, item in value.items()}
    return [_map_texts(item, function) for item in value] if isinstance(value, list) else value
